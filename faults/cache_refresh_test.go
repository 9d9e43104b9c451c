package faults

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/redstart-go/redstart/cache"
	"github.com/redstart-go/redstart/faults/harness"
	"github.com/redstart-go/redstart/faults/history"
	"github.com/redstart-go/redstart/redstarttest"
)

const (
	aheadTTL    = 1500 * time.Millisecond
	aheadWindow = 600 * time.Millisecond
	aheadPart   = float64(aheadWindow) / float64(aheadTTL)
	aheadLease  = 200 * time.Millisecond
)

// aheadRun is processes that read all keys again and again, and what the source
// has seen of their loads, each of which gives a version of its own.
type aheadRun struct {
	*crowd

	mu      sync.Mutex
	loads   []history.Load
	victims map[int][][2]uint64    // when a process was struck, and when it was well again
	trap    chan harness.Ask       // the next load over something is told here, and held
	ways    []func() (delayed int) // to prove the delays
}

func newAheadRun(t *testing.T, l redstarttest.Launcher, seed uint64, processes int, recipe string, refresh cache.Refresh) (*aheadRun, string) {
	t.Helper()
	server, name := start(t, l, redstarttest.ServerConfig{})
	slow := newProxy(t, server)
	slow.Delay(time.Millisecond, time.Millisecond)
	slow.Jitter(4*time.Millisecond, seed)
	a := &aheadRun{victims: map[int][][2]uint64{}}
	a.ways = append(a.ways, func() int { return int(slow.Faults().Delayed) })
	a.crowd = newCrowd(t, seed, processes, refinedArg{
		memberArg: memberArg{Recipe: recipe, URL: server.URL(), TTL: aheadTTL, Lease: aheadLease, LoadTimeout: 5 * time.Second, ErrorTTL: 50 * time.Millisecond},
		Refresh:   refresh,
	}, bustleArg{Keys: 20, Readers: 1, Every: 50 * time.Millisecond, Rounds: true}, func(i int, arg *refinedArg) {
		if i%2 == 1 {
			arg.URL = slow.URL()
		}
	})
	a.source.Behave(a.answer)
	return a, name
}

// answer takes 20 ms, and notes the load.
func (a *aheadRun) answer(ctx context.Context, ask harness.Ask, answer harness.Answer) harness.Answer {
	l := history.Load{Key: rowNumber(ask.Key), Process: uint16(ask.Process), Old: ask.Old, Begin: harness.Monotonic()}
	a.mu.Lock()
	trap := a.trap
	if ask.Old != 0 && trap != nil {
		a.trap = nil
	} else {
		trap = nil
	}
	answer.Version = a.source.Commit(ask.Key)
	l.Version = answer.Version
	at := len(a.loads)
	a.loads = append(a.loads, l)
	a.mu.Unlock()
	if trap != nil {
		trap <- ask
		rest(ctx, aheadWindow) // longer than a lease
	}
	rest(ctx, 20*time.Millisecond)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.loads[at].End = harness.Monotonic()
	return answer
}

// strike lets something happen to the process that refreshes next, in the midst
// of it.
func (a *aheadRun) strike(what func(m *harness.Child)) {
	a.t.Helper()
	trap := make(chan harness.Ask, 1)
	a.mu.Lock()
	a.trap = trap
	a.mu.Unlock()
	select {
	case ask := <-trap:
		from := harness.Monotonic()
		what(a.members[ask.Process])
		a.mu.Lock()
		defer a.mu.Unlock()
		a.victims[ask.Process] = append(a.victims[ask.Process], [2]uint64{from, harness.Monotonic()})
	case <-time.After(time.Minute):
		a.t.Fatal("nobody refreshes")
	}
}

// struck reports whether a load was under way while its process was struck; one
// that it was about to begin comes a little later.
func (a *aheadRun) struck(l history.Load) bool {
	for _, v := range a.victims[int(l.Process)] {
		if l.Begin <= v[1]+uint64(aheadLease/2) && (l.End == 0 || l.End >= v[0]) {
			return true
		}
	}
	return false
}

// aheadResult is what came of a run.
type aheadResult struct {
	keys, refreshes, again, unread int
	sooner                         int // refreshes before the last part of the TTL: by chance
	wrong                          []string
}

// judge ends the run. early is what RefreshedOnce takes.
func (a *aheadRun) judge(early time.Duration) (r aheadResult) {
	a.t.Helper()
	events := a.stop()
	a.mu.Lock()
	defer a.mu.Unlock()
	r.keys = a.traffic.Keys
	// The lease began with the claim, some time before the load that is seen here.
	r.wrong = history.RefreshedOnce(a.loads, a.struck, aheadLease/2, early)
	type of struct {
		key     uint32
		version uint64
	}
	overs, given := map[of]int{}, map[of]uint64{}
	for _, l := range a.loads {
		given[of{l.Key, l.Version}] = l.End
	}
	for _, l := range a.loads {
		if l.Old == 0 {
			continue
		}
		at := of{l.Key, l.Old}
		r.refreshes++
		if overs[at]++; overs[at] > 1 {
			r.again++
		}
		if l.Begin < given[at]+uint64(aheadTTL-aheadWindow)-uint64(5*time.Millisecond) {
			r.sooner++
		}
	}
	r.unread = a.notRead(events)
	if n := history.Count(events, history.ReadFailed); n != 0 {
		a.t.Errorf("%d reads failed", n)
	}
	for _, n := range a.ways {
		if n() == 0 {
			a.t.Error("the proxy delayed nothing")
		}
	}
	a.t.Logf("%d keys, %d reads, %d refreshes (%d again after a process was struck), %d windows in which nobody read", r.keys, history.Count(events, history.Read), r.refreshes, r.again, r.unread)
	return r
}

// notRead is how many windows of a value's life passed without anyone reading
// the key: of those nothing is promised.
func (a *aheadRun) notRead(events []history.Event) (n int) {
	begins := map[uint32][]uint64{}
	for _, e := range events {
		if e.Kind == history.Read {
			begins[e.Key] = append(begins[e.Key], e.Begin)
		}
	}
	for _, all := range begins {
		slices.Sort(all)
		for i := 1; i < len(all); i++ {
			if all[i]-all[i-1] > uint64(aheadWindow)/2 { // so that the load has the other half
				n++
			}
		}
	}
	return n
}

// TestC7RefreshAhead: eight processes read keys whose values end soon, half of
// them behind a slow network; refreshing ones are killed and frozen. The source
// counts the loads over each version.
func TestC7RefreshAhead(t *testing.T) {
	form := harness.Run(t)
	seed := harness.Seed(t)
	const processes = 8
	calm := harness.Choose(form, 2*time.Second, 30*time.Second)
	strikes := harness.Choose(form, 1, 4)
	var servers []string
	var total aheadResult
	killed, frozen := 0, 0
	run := func(l redstarttest.Launcher, what string, refresh cache.Refresh, early time.Duration) {
		t.Run(l.Name+", "+what, func(t *testing.T) {
			a, name := newAheadRun(t, l, seed, processes, redstarts, refresh)
			if !slices.Contains(servers, name) {
				servers = append(servers, name)
			}
			a.begin()
			a.pause(calm)
			for range strikes {
				a.strike(func(m *harness.Child) {
					m.Freeze()
					a.pause(2 * aheadLease)
					m.Continue()
					frozen++
				})
				a.strike(func(m *harness.Child) {
					m.Kill()
					killed++
					a.members[slices.Index(a.members, m)] = nil
				})
			}
			a.pause(aheadTTL)
			r := a.judge(early)
			for i, wrong := range r.wrong {
				if i < 5 {
					t.Error(wrong)
				}
			}
			if r.unread > 0 {
				t.Errorf("%d windows passed without a read; this machine is too busy for the run to prove anything", r.unread)
			}
			if early == 0 && r.sooner == 0 {
				t.Error("no refresh was by chance")
			}
			total.sooner += r.sooner
			if r.refreshes < 2*r.keys {
				t.Errorf("only %d refreshes of %d keys", r.refreshes, r.keys)
			}
			total.refreshes, total.again, total.keys = total.refreshes+r.refreshes, total.again+r.again, total.keys+r.keys
		})
	}
	for _, l := range launchers(t, form, false) {
		run(l, "by fraction", cache.Refresh{Fraction: aheadPart}, aheadTTL-aheadWindow-5*time.Millisecond)
		run(l, "by chance too", cache.Refresh{Fraction: aheadPart, Beta: 20}, 0)
	}
	naive := 0
	t.Run(aThread, func(t *testing.T) {
		a, _ := newAheadRun(t, launchers(t, form, false)[0], seed, processes, aThread, cache.Refresh{})
		a.begin()
		a.pause(2 * aheadTTL)
		r := a.judge(0)
		if naive = r.again; len(r.wrong) == 0 || naive == 0 {
			t.Error("the checker finds no fault with a thread at 20 %")
		}
	})
	keep(t, form, "C7", servers, "%d refreshes of %d keys by %d processes, half of them behind a proxy of 2 to 10 ms: each version was loaded over once, %d times once more, a lease after its process was struck (%d killed, %d frozen past it in the midst of a refresh); "+
		"0 misses after the first load; by fraction and, %d times sooner than that, by chance (XFetch) (a thread at 20 %%: %d loads too many in %v)", total.refreshes, total.keys, processes, total.again, killed, frozen, total.sooner, naive, 2*aheadTTL)
}
