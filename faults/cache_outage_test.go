package faults

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/redstart-go/redstart/faults/harness"
	"github.com/redstart-go/redstart/faults/history"
	"github.com/redstart-go/redstart/redstarttest"
)

const (
	outagePlaces = 4
	outageLoad   = 50 * time.Millisecond // how long one takes
)

// gauge is a source that counts the loads of each process that are under way.
type gauge struct {
	mu     sync.Mutex
	now    map[int]int
	most   map[int]int
	since  map[string]int // loads of each key
	number int
}

// reset begins to count anew.
func (g *gauge) reset() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.most, g.since, g.number = map[int]int{}, map[string]int{}, 0
}

func (g *gauge) answer(ctx context.Context, ask harness.Ask, answer harness.Answer) harness.Answer {
	g.mu.Lock()
	g.now[ask.Process]++
	g.most[ask.Process] = max(g.most[ask.Process], g.now[ask.Process])
	g.since[ask.Key]++
	g.number++
	g.mu.Unlock()
	rest(ctx, outageLoad)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.now[ask.Process]--
	return answer
}

// seen is the most that one process had under way, all loads, and the loads of
// each key.
func (g *gauge) seen() (most, number int, each map[string]int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, n := range g.most {
		most = max(most, n)
	}
	each = g.since
	g.since = map[string]int{}
	return most, g.number, each
}

// outageRun is processes that read at a rate, whatever becomes of it.
type outageRun struct {
	*crowd
	*gauge

	server *redstarttest.Server
}

func newOutageRun(t *testing.T, l redstarttest.Launcher, seed uint64, recipe string, keys int) (*outageRun, string) {
	t.Helper()
	const processes = 4
	server, name := start(t, l, redstarttest.ServerConfig{})
	o := &outageRun{server: server, gauge: &gauge{now: map[int]int{}}}
	o.reset()
	o.crowd = newCrowd(t, seed, processes, refinedArg{
		memberArg:   memberArg{Recipe: recipe, URL: server.URL(), TTL: 10 * time.Minute, Lease: 3 * time.Second, LoadTimeout: 5 * time.Second},
		OutageLoads: outagePlaces,
	}, bustleArg{Keys: keys, Rate: 5000 / processes}, nil)
	o.source.Behave(o.answer)
	o.begin()
	o.more("reads", 1000, func(n counts) int64 { return n.Reads })
	return o, name
}

// away kills the server for a while, and gives the most loads that one process
// had under way, and all.
func (o *outageRun) away(d time.Duration) (most, loads int) {
	o.t.Helper()
	if err := o.server.Kill(); err != nil {
		o.t.Fatal(err)
	}
	o.more("reads without the server", 20, func(n counts) int64 { return n.Reads })
	o.drained()
	o.reset()
	o.pause(d)
	most, loads, _ = o.seen()
	return most, loads
}

// drained waits until the loads that began under the server are done: each
// waits in the source no longer than its time.
func (o *outageRun) drained() {
	o.t.Helper()
	o.reset()
	o.pause(4 * outageLoad)
}

// back starts the server again, and counts the loads of each key from when the
// last process has seen it and has answered who asked before.
func (o *outageRun) back() (before int, each map[string]int, took time.Duration) {
	o.t.Helper()
	o.reset()
	began := time.Now()
	if err := o.server.Restart(o.t.Context()); err != nil {
		o.t.Fatal(err)
	}
	var all sync.WaitGroup
	for i, m := range o.members {
		all.Go(func() {
			if err := m.Call(o.t.Context(), "back", 0, nil); err != nil {
				o.t.Errorf("process %d: %v", i, err)
			}
		})
	}
	all.Wait()
	took = time.Since(began)
	_, before, _ = o.seen()
	o.reset()
	o.pause(2 * time.Second)
	_, _, each = o.seen()
	return before, each, took
}

// TestC11Outage: the server is killed under load, stays away and comes back
// empty. The source counts.
func TestC11Outage(t *testing.T) {
	form := harness.Run(t)
	seed := harness.Seed(t)
	rounds, down := harness.Choose(form, 1, 5), harness.Choose(form, 1500*time.Millisecond, 10*time.Second)
	var servers []string
	most, during, transition, after, rejected, rate := 0, 0, 0, 0, int64(0), int64(0)
	for _, l := range launchers(t, form, false) {
		t.Run(l.Name, func(t *testing.T) {
			o, name := newOutageRun(t, l, seed, redstarts, 20_000)
			servers = append(servers, name)
			for range rounds {
				failed, reads := o.sum()
				began := time.Now()
				m, n := o.away(down)
				f, r := o.sum()
				rejected, rate = rejected+f-failed, max(rate, int64(float64(r-reads)/time.Since(began).Seconds()))
				most, during = max(most, m), during+n
				if m > outagePlaces {
					t.Errorf("a process had %d loads under way, want at most %d", m, outagePlaces)
				}
				if n < outagePlaces || f == failed {
					t.Errorf("%d loads, %d reads failed without the server; the run proves nothing", n, f-failed)
				}
				before, each, took := o.back()
				transition, after = transition+before, after+len(each)
				for i, wrong := range history.LoadedOnce(each) {
					if i < 5 {
						t.Error(wrong)
					}
				}
				if len(each) < 500 {
					t.Errorf("only %d keys were loaded after the return", len(each))
				}
				t.Logf("away: %d loads, at most %d at once in a process; %d reads failed; back after %v, %d loads until all had seen it, then %d keys", n, m, f-failed, took, before, len(each))
			}
			o.stop()
		})
	}
	naive := 0
	t.Run(fallThrough, func(t *testing.T) {
		o, _ := newOutageRun(t, launchers(t, form, false)[0], seed, fallThrough, 20_000)
		naive, _ = o.away(time.Second)
		if naive <= outagePlaces {
			t.Errorf("the count finds no fault with it: %d loads at once", naive)
		}
		if err := o.server.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		o.stop()
	})
	keep(t, form, "C11", servers, "the server killed %d times under %d reads a second by 4 processes: at most %d loads at once in a process (OutageLoads %d), %d in all, %d reads failed fast; on its return, empty, 0 of %d keys loaded more than once after all processes had seen it (%d loads before that) (GET/SETEX, else the source: %d at once in a process)",
		rounds*len(servers), rate, most, outagePlaces, during, rejected, after, transition, naive)
}

// sum is how many reads failed, and all.
func (o *outageRun) sum() (failed, reads int64) {
	o.t.Helper()
	for i := range o.members {
		n := o.counts(i)
		failed, reads = failed+n.Failed, reads+n.Reads
	}
	return failed, reads
}
