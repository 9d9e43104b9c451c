package faults

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/batch"
	"github.com/redstart-go/redstart/faults/harness"
	"github.com/redstart-go/redstart/faults/naive"
	"github.com/redstart-go/redstart/redstarttest"
	"github.com/redstart-go/redstart/redstarttest/proxy"
)

// batchVerbs are commands that leave behind how often they have run.
var batchVerbs = []string{"INCR", "LPUSH", "XADD"}

// counting is n of such a command, over 16 keys.
func counting(verb, prefix string, n int) []batch.Command {
	more := map[string][]string{"LPUSH": {"x"}, "XADD": {"*", "f", "v"}}[verb]
	commands := make([]batch.Command, n)
	for i := range commands {
		key := fmt.Sprint(prefix, verb, ":", i%16)
		commands[i] = batch.Command{Words: append([]string{verb, key}, more...), Key: key}
	}
	return commands
}

// sends is a recipe for many commands, which says of each what became of it.
type sends func(ctx context.Context, commands []batch.Command, each func(i int, err error))

func sendBatch(c *redstart.Client) sends {
	return func(ctx context.Context, commands []batch.Command, each func(int, error)) {
		for r := range batch.Do(ctx, c, slices.Values(commands), batch.Config{}) {
			each(r.Index, r.Err)
		}
	}
}

func sendPipeline(c rueidis.Client) sends {
	return func(ctx context.Context, commands []batch.Command, each func(int, error)) {
		words := make([][]string, len(commands))
		for i := range commands {
			words[i] = commands[i].Words
		}
		naive.Pipeline{Client: c, Size: 100}.Exec(ctx, words, func(i int, _ string, err error) { each(i, err) })
	}
}

// batchCount is what the sender was told and what the server has counted.
type batchCount struct {
	answered, unknown, notApplied, hidden int64
	lost                                  int // replies
}

// countBatch sends n counting commands in batches through a proxy that loses
// every 251st reply after its command has run, with the connection and all
// that is under way on it.
func countBatch(t *testing.T, s *redstarttest.Server, p *proxy.Proxy, verb, prefix string, n int, send sends) (out batchCount) {
	t.Helper()
	lose := loseReplies(p, 251)
	defer lose.Remove()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	commands := counting(verb, prefix, n)
	told, said := map[string]*tally{}, make([]int, n)
	for i := range commands {
		told[commands[i].Key] = &tally{}
	}
	send(ctx, commands, func(i int, err error) {
		said[i]++
		told[commands[i].Key].note(err)
	})
	if i := slices.IndexFunc(said, func(times int) bool { return times != 1 }); i >= 0 {
		t.Errorf("%s: item %d has %d results", verb, i, said[i])
	}
	out.lost = lose.Hits()
	total := int64(0)
	for key, k := range told {
		count := counted(t, s, strings.ToLower(verb), key)
		total += count
		out.answered, out.unknown, out.notApplied = out.answered+k.answered.Load(), out.unknown+k.unknown.Load(), out.notApplied+k.notApplied.Load()
		out.hidden += k.hidden(count)
	}
	t.Logf("%s%s in batches: %d answered, %d unknown, %d not applied, %d replies lost; the server counts %d; %d hidden",
		prefix, verb, out.answered, out.unknown, out.notApplied, out.lost, total, out.hidden)
	return out
}

// judge is for what must hide nothing.
func (b batchCount) judge(t *testing.T, verb string) {
	t.Helper()
	if b.lost == 0 || b.unknown == 0 {
		t.Errorf("%s in batches: no reply of it was lost", verb)
	}
	if b.hidden > 0 {
		t.Errorf("%s in batches: %d runs are hidden", verb, b.hidden)
	}
}

// N1: what the server has counted lies, for every key, between the results
// without an error and those and the Unknown ones.
func TestN1ItemsRunOnceOrSaySo(t *testing.T) {
	form := harness.Run(t)
	const items = 10_000
	var names []string
	var sum batchCount
	doubles := int64(0)
	for _, l := range launchers(t, form, false) {
		s, name := start(t, l, redstarttest.ServerConfig{})
		names = append(names, name)
		p := newProxy(t, s)
		c := openHere(t, p.URL(), redstart.Config{})
		for _, verb := range batchVerbs {
			b := countBatch(t, s, p, verb, "", items, sendBatch(c))
			b.judge(t, verb)
			sum.answered, sum.unknown, sum.notApplied = sum.answered+b.answered, sum.unknown+b.unknown, sum.notApplied+b.notApplied
			sum.hidden, sum.lost = sum.hidden+b.hidden, sum.lost+b.lost
		}
		bare, err := plain(p.URL())
		if err != nil {
			t.Fatal(err)
		}
		twin := countBatch(t, s, p, "INCR", "naive:", items, sendPipeline(bare))
		bare.Close()
		if doubles += twin.hidden; twin.hidden == 0 {
			t.Error("the checker does not find the naive recipe's doubles")
		}
	}
	keep(t, form, "N1", names, "%d hidden runs of %d items, a third each INCR, LPUSH and XADD: %d ran, %d were reported Unknown and %d NotApplied while %d replies were lost after the command ran, with the connection and all that was under way on it (pipelines of 100, executed again when they fail: %d hidden runs of %d INCR)",
		sum.hidden, items*len(batchVerbs)*len(names), sum.answered, sum.unknown, sum.notApplied, sum.lost, doubles, items*len(names))
}
