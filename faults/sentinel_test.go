package faults

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redstart-go/redstart/faults/harness"
	"github.com/redstart-go/redstart/redstarttest"
	"github.com/redstart-go/redstart/redstarttest/proxy"
	"github.com/redstart-go/redstart/redstarttest/topology"
)

// What guards acknowledged writes in a failover: nothing, WAIT 1 after each,
// or a primary that takes none while no replica follows.
const (
	plainly   = ""
	waited    = "WAIT 1 100"
	twoOrNone = "min-replicas-to-write 1, min-replicas-max-lag 1"
)

// series is failovers of one kind, one after the other on one deployment: the
// old primary comes back as a replica before the next. One client lives
// through all of them.
type series struct {
	launcher redstarttest.Launcher
	fault    string // "kill", "freeze", "partition"
	deaf     bool   // the client hears no event of any sentinel
	guard    string
	bare     bool // the twin: a bare client
	rounds   int
}

func (s series) String() string {
	words := []string{s.launcher.Name, s.fault, "events heard"}
	if s.deaf {
		words[2] = "events lost"
	}
	if s.guard != plainly {
		words = append(words, s.guard)
	}
	if s.bare {
		words = append(words, "a bare client")
	}
	return strings.Join(words, ", ")
}

// failover is how one came out, as times after the sentinels had agreed that
// the primary is down (detection) or after the promotion.
type failover struct {
	firstGood time.Duration // after detection
	told      time.Duration // the sentinels' own word, after detection: the control
	exposed   time.Duration // how long after the promotion a write still went to the demoted primary
	acked     int
	lost      int // acknowledged, and not on the new primary
}

// observed is how long after a promotion writes are looked for on the demoted
// primary, which are promised to end within a second.
const observed = 3 * time.Second

// run makes the failovers, with the client in a process of its own, and gives
// what that has left open in the end.
func (s series) run(t *testing.T, client *harness.Child) (outs []failover, left resources) {
	t.Helper()
	cfg := topology.SentinelConfig{Path: s.launcher.Path, Proxies: true}
	if s.guard == twoOrNone {
		cfg.Args = []string{"--min-replicas-to-write", "1", "--min-replicas-max-lag", "1"}
	}
	deployment := topology.RunSentinel(t, cfg)
	if s.deaf {
		action := proxy.AnswerError("-ERR no events today")
		if s.bare { // which takes an error for a reason to ask anew
			action = proxy.HoldReply()
		}
		for _, sentinel := range deployment.Sentinels() {
			deployment.Links().Proxy(nil, sentinel).AddRule(proxy.Rule{Match: proxy.Named("SUBSCRIBE"), Action: action})
		}
	}
	ask(t, client, "open", openArg{URL: deployment.URL(), Bare: s.bare, Addr: deployment.Addrs(), Name: deployment.Name()}, nil)
	var first, now, spare resources
	if s.guard == waited { // the pool of WAIT keeps what it has opened, or not: two connections of two goroutines
		spare = resources{Goroutines: 4, Descriptors: 2}
	}
	defer func() {
		t.Logf("%v: the client held %v after the first of %d failovers, %v after the last", s, first, len(outs), now)
	}()
	for round := range s.rounds {
		outs = append(outs, s.failover(t, deployment, client, fmt.Sprintf("%d:", round)))
		if s.rounds == 1 {
			continue
		}
		if round == 0 {
			ask(t, client, "most", 0, &first)
		}
		redstarttest.Eventually(t, 20*time.Second, "the client holds no more than after its first failover", func() bool {
			ask(t, client, "holds", 0, &now)
			return now.Goroutines <= first.Goroutines+spare.Goroutines && now.Descriptors <= first.Descriptors+spare.Descriptors
		})
	}
	ask(t, client, "close", 0, &left)
	return outs, left
}

// ask lets a child do something that must work.
func ask(t *testing.T, child *harness.Child, verb string, arg, result any) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := child.Call(ctx, verb, arg, result); err != nil {
		t.Fatal(err)
	}
}

// failover makes one, measures it, and waits until all is well again.
func (s series) failover(t *testing.T, d *topology.Sentinel, client *harness.Child, prefix string) failover {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	old, err := d.Primary(ctx)
	if err != nil {
		t.Fatal(err)
	}
	write := writeArg{Prefix: prefix}
	if s.guard == waited {
		write.WaitMS = 100
	}
	ask(t, client, "write", write, nil)
	last := func() (a ack) { ask(t, client, "last", 0, &a); return a }
	redstarttest.Eventually(t, 20*time.Second, "writes arrive", func() bool { return last().N > 500 })

	began := time.Now()
	switch s.fault {
	case "kill":
		err = old.Kill()
	case "freeze":
		err = old.Freeze()
	case "partition":
		d.Links().Isolate(old)
	}
	if err != nil {
		t.Fatal(err)
	}
	await := func(name string) topology.Event {
		e, err := d.Await(ctx, began, func(e topology.Event) bool { return e.Name == name })
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	down := await("+odown")
	addr, promoted, err := d.WaitPromoted(ctx, old.Announced())
	if err != nil {
		t.Fatal(err)
	}
	told := await("+switch-master")
	var chosen *topology.Node
	for _, n := range d.Nodes() { // a sentinel may have heard of a node by its true address, past the proxy
		if n.Announced() == addr || n.Addr() == addr {
			chosen = n
		}
	}
	if chosen == nil {
		t.Fatalf("the sentinels promoted %s, which is no node", addr)
	}
	there := func(pattern string) map[string]bool {
		found, err := chosen.Do(ctx, "KEYS", pattern)
		if err != nil {
			t.Fatal(err)
		}
		keys := map[string]bool{}
		for _, k := range found.([]any) {
			keys[k.(string)] = true
		}
		return keys
	}
	key := func(n int) string { return fmt.Sprint(prefix, n) }
	redstarttest.Eventually(t, 30*time.Second, "the client writes to the new primary", func() bool {
		if s.fault == "partition" && time.Since(promoted) < observed {
			return false
		}
		if s.bare { // it may never come
			return true
		}
		a := last()
		return a.after(promoted) && len(there(key(a.N))) == 1
	})
	var acks []ack
	ask(t, client, "stop", 0, &acks)

	out := failover{told: told.At.Sub(down.At), acked: len(acks)}
	keys := there(prefix + "*")
	for _, a := range acks {
		switch after := a.after(promoted); {
		case keys[key(a.N)] && after && out.firstGood == 0:
			out.firstGood = time.Unix(0, a.At).Sub(down.At)
		case !keys[key(a.N)]:
			out.lost++
			if after {
				out.exposed = max(out.exposed, time.Unix(0, a.At).Sub(promoted))
			}
		}
	}
	switch s.fault {
	case "kill":
		err = old.Restart(ctx)
	case "freeze":
		err = old.Continue()
	case "partition":
		d.Links().Heal()
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Settle(ctx); err != nil {
		t.Fatal(err)
	}
	t.Logf("%v: first good write %v after detection (the sentinels' word: %v), the demoted primary written to for %v, %d of %d acknowledged writes lost",
		s, harness.Short3(out.firstGood), harness.Short3(out.told), harness.Short3(out.exposed), out.lost, out.acked)
	return out
}

// wrong says what a failover lacks of the promise. With a guard the new
// primary takes no write before it has a replica, so the first comes later.
func (s series) wrong(o failover) string {
	switch {
	case o.firstGood == 0:
		return "no write reached the new primary"
	case s.guard == plainly && o.firstGood > 2500*time.Millisecond && o.firstGood > 3*o.told:
		return fmt.Sprintf("the first good write came %s after detection", harness.Short3(o.firstGood))
	case o.exposed > time.Second:
		return fmt.Sprintf("the demoted primary was written to for %s after the promotion", harness.Short3(o.exposed))
	}
	return ""
}

var k3Faults = []string{"kill", "freeze", "partition"}

// k3 is every series of a form, over the servers in turn.
func k3(form harness.Form, all []redstarttest.Launcher) []series {
	var kinds []series
	add := func(s series) {
		s.launcher = all[len(kinds)%len(all)]
		kinds = append(kinds, s)
	}
	if form == harness.Short {
		add(series{fault: "kill", rounds: 1})
		add(series{fault: "freeze", deaf: true, rounds: 1})
		add(series{fault: "partition", deaf: true, rounds: 2})
		add(series{fault: "partition", guard: waited, rounds: 1})
		add(series{fault: "partition", guard: twoOrNone, rounds: 1})
		return kinds
	}
	for i := range 4 { // 20 failovers by each fault, half of them unheard
		for j, fault := range k3Faults {
			add(series{fault: fault, deaf: (i+j)%2 == 1, rounds: 5})
		}
	}
	for _, guard := range []string{waited, twoOrNone} {
		for _, fault := range k3Faults {
			add(series{fault: fault, guard: guard, rounds: 5})
		}
	}
	return kinds
}

// losses counts acknowledged writes.
type losses struct{ acked, lost int }

// K3: after a Sentinel failover the first good write comes soon, and the
// demoted primary is left at once, although no event may have told so. A
// client leaves nothing behind, however many failovers it has seen. How many
// acknowledged writes are lost is no promise, and counted.
func TestK3Failover(t *testing.T) {
	form := harness.Run(t)
	all := launchers(t, form, false)
	names := map[string]string{}
	for _, l := range all {
		_, names[l.Name] = start(t, l, redstarttest.ServerConfig{})
	}
	var used []string
	var worst failover
	var exposures, goods []time.Duration
	behind := time.Duration(0) // the sentinels' word
	failovers, unheard, counts := 0, 0, map[string]losses{}
	client := harness.Start(t, "writer", nil)
	for _, s := range k3(form, all) {
		if name := names[s.launcher.Name]; !slices.Contains(used, name) {
			used = append(used, name)
		}
		done := t.Run(s.String(), func(t *testing.T) {
			outs, left := s.run(t, client)
			if left != (resources{}) {
				t.Errorf("the closed client left %v behind", left)
			}
			for _, o := range outs {
				if wrong := s.wrong(o); wrong != "" {
					t.Error(wrong)
				}
				c := counts[s.guard+s.fault]
				counts[s.guard+s.fault] = losses{c.acked + o.acked, c.lost + o.lost}
				worst.exposed = max(worst.exposed, o.exposed)
				if s.fault == "partition" {
					exposures = append(exposures, o.exposed)
				}
				if s.guard == plainly {
					failovers++
					if s.deaf {
						unheard++
					}
					worst.firstGood, worst.told = max(worst.firstGood, o.firstGood), max(worst.told, o.told)
					goods, behind = append(goods, o.firstGood), max(behind, o.firstGood-o.told)
				}
			}
		})
		if !done {
			t.FailNow() // the client's process is not where the next series begins
		}
	}
	var twin failover
	t.Run("twin", func(t *testing.T) {
		bare := series{launcher: all[0], fault: "partition", deaf: true, bare: true, rounds: 1}
		outs, _ := bare.run(t, harness.Start(t, "writer", nil))
		if twin = outs[0]; twin.exposed <= time.Second || bare.wrong(twin) == "" {
			t.Errorf("the checker finds nothing wrong with a bare client: it wrote to the demoted primary for %v", twin.exposed)
		}
	})
	lost := func(guard string) string {
		var words []string
		for _, fault := range k3Faults {
			if c, tried := counts[guard+fault]; tried {
				words = append(words, fmt.Sprintf("%s %d of %d", fault, c.lost, c.acked))
			}
		}
		return strings.Join(words, ", ")
	}
	keep(t, form, "K3", used, "%d failovers by SIGKILL, SIGSTOP and partition, in %d of them without the sentinels' events: first good write at most %s after detection, median %s (the sentinels, who may take several elections, tell of it after at most %s: the write comes at most %s later), a demoted primary written to for at most %s after the promotion (partition, median %s; a bare client that heard no event: %s, when we stopped looking); clients that went through up to %d failovers held no more after the last than after the first, and left 0 goroutines and 0 descriptors behind; not promised, acknowledged writes lost: %s; with %s: %s; with %s: %s",
		failovers, unheard, harness.Short3(worst.firstGood), harness.Short3(harness.Quantile(goods, 0.5)), harness.Short3(worst.told), harness.Short3(behind), harness.Short3(worst.exposed), harness.Short3(harness.Quantile(exposures, 0.5)), harness.Short3(twin.exposed),
		harness.Choose(form, 2, 5), lost(plainly), waited, lost(waited), twoOrNone, lost(twoOrNone))
}
