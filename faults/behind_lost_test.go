package faults

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redstart-go/redstart/faults/harness"
	"github.com/redstart-go/redstart/faults/history"
	"github.com/redstart-go/redstart/redstarttest"
	"github.com/redstart-go/redstart/redstarttest/topology"
)

// kept is what an acknowledgement of one kind was worth.
type kept struct{ acked, lost, unsure int }

func (k *kept) add(o kept) {
	k.acked, k.lost, k.unsure = k.acked+o.acked, k.lost+o.lost, k.unsure+o.unsure
}

func (k kept) String() string { return fmt.Sprintf("%d of %d", k.lost, k.acked) }

// office is a writer whose every write has a key of its own, and the table to
// which it is brought in the end.
type office struct {
	*desk

	clerk *harness.Child
	arg   clerkArg
}

// newOffice starts a writer of a journal with a name and a durability.
func newOffice(t *testing.T, url, name, durable string, seed uint64, keys int) *office {
	t.Helper()
	arg := journalArg{URL: url, Name: name, Lease: 500 * time.Millisecond, Durable: durable}
	o := &office{desk: &desk{t: t, notes: sqliteIn(t.TempDir(), "notes").prepare(t), arg: arg, dir: t.TempDir()}}
	j, client, err := arg.open(nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	o.journal = j
	o.arg = clerkArg{Recipe: redstarts, Journal: arg, History: o.dir, Clock: o.dir + "/clock", Seed: seed, Keys: keys, Callers: 64, Deadline: 2 * time.Second}
	o.clerk = harness.Start(t, "clerk", o.arg)
	return o
}

func (o *office) acked() int64 {
	o.t.Helper()
	var n clerkCounts
	ask(o.t, o.clerk, "counts", 0, &n)
	return n.Acked
}

// more waits until n more are acknowledged.
func (o *office) more(n int64) {
	o.t.Helper()
	first := o.acked()
	redstarttest.Eventually(o.t, time.Minute, "writes are acknowledged", func() bool { return o.acked() >= first+n })
}

// halt ends the writing.
func (o *office) halt() {
	o.t.Helper()
	ask(o.t, o.clerk, "stop", 0, nil)
	o.clerk.Close()
}

// count brings what is pending to the table, and gives what is not there.
func (o *office) count() kept {
	o.t.Helper()
	if len(o.flushers) == 0 {
		o.flusher()
	}
	redstarttest.Eventually(o.t, time.Minute, "everything is flushed", func() bool {
		lag, err := o.journal.Lag(o.t.Context())
		return err == nil && lag.Records == 0
	})
	for _, f := range o.flushers {
		ask(o.t, f, "stop", 0, nil)
		f.Close()
	}
	events, err := history.ReadDir(o.dir)
	if err != nil {
		o.t.Fatal(err)
	}
	o.events = events
	rows := o.notes.rows()
	k := kept{acked: history.Count(events, history.Acked)}
	var wrong []string
	for _, w := range history.Unwritten(events, rows) {
		if strings.Contains(w, "never deleted") || o.arg.Keys > 0 {
			k.lost++
		} else {
			wrong = append(wrong, w)
		}
	}
	reportTexts(o.t, "not lost, but wrong", wrong)
	k.unsure = history.Count(events, history.Sent) - k.acked - history.Count(events, history.NotTaken)
	return k
}

// crash is a server that dies with a journal that nobody has flushed.
type crash struct {
	name, aof, durable string
	power              bool // the AOF loses what the last second brought, as by a power failure
	none               bool // nothing may be lost
}

var crashes = []crash{
	{name: "Memory, no AOF"},
	{name: "Memory, AOF everysec", aof: "everysec", none: true},
	{name: "EverySecond", aof: "everysec", durable: "EverySecond", none: true},
	{name: "EverySecond, power", aof: "everysec", durable: "EverySecond", power: true},
	{name: "AOF always", aof: "always", durable: "EverySecond", none: true},
	{name: "WaitAOF(0)", aof: "everysec", durable: "WaitAOF(0)", none: true},
}

// newest gives the last launcher, which has WAITAOF if any has.
func newest(t *testing.T, form harness.Form) redstarttest.Launcher {
	t.Helper()
	launchers(t, form, false)
	all := redstarttest.Launchers()
	i := slices.IndexFunc(all, func(l redstarttest.Launcher) bool { return l.Name == "redis8" })
	return all[max(i, 0)]
}

// crashed gives what was lost.
func (c crash) crashed(t *testing.T, l redstarttest.Launcher, seed uint64) kept {
	t.Helper()
	server, _ := start(t, l, redstarttest.ServerConfig{AOF: c.aof})
	o := newOffice(t, server.URL(), "notes", c.durable, seed, 0)
	acks := int64(128)
	if strings.HasPrefix(c.durable, "WaitAOF") { // a second each, for as many as are under way
		acks = 16
	}
	o.more(acks / 2)
	size := func() (n int64) {
		info, err := server.Do(t.Context(), "INFO", "persistence")
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(info.(string)) {
			_, _ = fmt.Sscanf(line, "aof_current_size:%d", &n)
		}
		return n
	}
	before := int64(0)
	if c.power {
		before = size()
		rest(t.Context(), time.Second)
	}
	o.more(acks)
	after := before
	if c.power {
		after = size()
	}
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	o.halt() // before anything new is written behind what is left
	if c.power {
		if err := server.Cut(after - before); err != nil {
			t.Fatal(err)
		}
	}
	if err := server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	k := o.count()
	if c.none && k.lost > 0 {
		t.Errorf("%s: %d of %d acknowledged writes are lost", c.name, k.lost, k.acked)
	}
	if c.aof == "" && k.lost == 0 {
		t.Errorf("%s: nothing is lost; the measure finds nothing", c.name)
	}
	return k
}

// levels are what acknowledgements wait for in a failover.
var levels = []string{"", "Replicated(1)", "WaitAOF(1)"}

// W8: what is acknowledged after a failover is neither refused nor lost, although
// the database holds a tail that the new primary never had; and how much was lost
// of what had been acknowledged before.
func TestW8LostTails(t *testing.T) {
	form := harness.Run(t)
	seed := harness.Seed(t)
	l := newest(t, form)
	_, name := start(t, l, redstarttest.ServerConfig{})
	died := make([]kept, len(crashes))
	t.Run("crashes", func(t *testing.T) { // each waits for most of its time
		for i, c := range crashes {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				for range harness.Choose(form, 1, 5) {
					died[i].add(c.crashed(t, l, seed))
				}
			})
		}
	})
	rounds := harness.Choose(form, 1, 10)
	lost := map[string]*kept{}
	var tails tail
	for round := range rounds {
		fault := []string{"partition", "kill"}[round%2]
		t.Run(fmt.Sprintf("%d: %s", round, fault), func(t *testing.T) {
			d := topology.RunSentinel(t, topology.SentinelConfig{Path: l.Path, AOF: "everysec", Proxies: true})
			for level, k := range failedOver(t, d, fault, seed+uint64(round), &tails) { //nolint:gosec // small
				at := fault + " " + level
				if lost[at] == nil {
					lost[at] = &kept{}
				}
				lost[at].add(k)
				if level != "" && k.lost > 0 {
					t.Logf("%s: %d of %d acknowledged writes are lost", at, k.lost, k.acked)
				}
			}
		})
	}
	var words []string
	for i, c := range crashes {
		words = append(words, fmt.Sprintf("%s %v", c.name, died[i]))
	}
	crashWords := strings.Join(words, ", ")
	words = nil
	for _, fault := range []string{"partition", "kill"} {
		for _, level := range levels {
			if k := lost[fault+" "+level]; k != nil {
				name := level
				if name == "" {
					name = "Memory"
				}
				words = append(words, fmt.Sprintf("%s, %s %v (%d without an answer)", name, fault, *k, k.unsure))
			}
		}
	}
	keep(t, form, "W8", []string{name, "SQLite"}, "after %d Sentinel failovers that left the database ahead of the new primary (%d rows with versions an hour ahead besides, as from a server whose clock was): 0 of %d writes acknowledged later refused or lost, %d stamped again; not promised, acknowledged and lost with a backlog that nobody flushed: by SIGKILL of the server %s; by failover %s",
		rounds, tails.raised, tails.later, tails.again, crashWords, strings.Join(words, ", "))
}

// tail is what was found of writes after a failover.
type tail struct{ later, again, raised int }

// failedOver makes a failover under writers of every level, and gives what each
// has lost.
func failedOver(t *testing.T, d *topology.Sentinel, fault string, seed uint64, sum *tail) map[string]kept {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	offices := map[string]*office{}
	for i, level := range levels {
		offices[level] = newOffice(t, d.URL(), fmt.Sprint("notes", i), level, seed, 0)
	}
	tailed := newOffice(t, d.URL(), "tailed", "", seed, 40)
	tailed.flusher()
	tailed.flusher()
	for _, o := range offices {
		o.more(50)
	}
	tailed.more(200)
	old, err := d.Primary(ctx)
	if err != nil {
		t.Fatal(err)
	}
	switch fault {
	case "kill":
		err = old.Kill()
	default:
		d.Links().Isolate(old)
		offices[""].more(50)
		tailed.more(100)
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := d.WaitPromoted(ctx, old.Announced()); err != nil {
		t.Fatal(err)
	}
	for _, o := range offices {
		if o != offices["Replicated(1)"] && o != offices["WaitAOF(1)"] {
			o.more(50)
		}
		o.halt()
	}
	tailed.more(100)
	tailed.halt()
	if fault == "kill" {
		err = old.Restart(ctx)
	}
	d.Links().Heal()
	if err == nil {
		err = d.Settle(ctx)
	}
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]kept{}
	for level, o := range offices {
		out[level] = o.count()
	}
	tailed.after(sum)
	return out
}

// after writes on after the failover, and fails the test when any of that is not
// in the table.
func (o *office) after(sum *tail) {
	o.t.Helper()
	redstarttest.Eventually(o.t, time.Minute, "the tail is flushed", func() bool {
		lag, err := o.journal.Lag(o.t.Context())
		return err == nil && lag.Records == 0
	})
	before, err := history.ReadDir(o.dir)
	if err != nil {
		o.t.Fatal(err)
	}
	sum.raised += len(o.notes.rows())
	o.notes.exec("UPDATE " + o.notes.Table + " SET version = version + 3600000000")
	o.arg.Life++
	o.arg.Callers, o.arg.Pause = 1, 10*time.Millisecond // so that a batch has a key's only change
	o.clerk = harness.Start(o.t, "clerk", o.arg)
	o.more(150)
	o.halt()
	k := o.count()
	// What had been acknowledged before may be lost: as if without an answer.
	all := slices.DeleteFunc(slices.Clone(o.events), func(e history.Event) bool {
		return e.Kind == history.Acked && slices.Contains(before, e)
	})
	wrong := history.Unwritten(all, o.notes.rows())
	for _, w := range wrong {
		o.t.Errorf("acknowledged after the failover: %s", w)
	}
	sum.later += k.acked - history.Count(before, history.Acked)
	told, versions := told(o.events), map[uint64]int64{}
	for _, c := range told {
		if v, ok := versions[c.Write]; ok && c.Write > 0 && v != c.Version {
			sum.again++
		}
		versions[c.Write] = c.Version
	}
	if sum.again == 0 {
		o.t.Error("nothing was stamped again; the run proves nothing")
	}
	if wrong := history.WentBack(o.notes.made(), told); len(wrong) > 0 {
		reportTexts(o.t, "versions that went back", wrong)
	}
}
