package limit

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/key"
	"github.com/redstart-go/redstart/redstarttest"
	"github.com/redstart-go/redstart/redstarttest/topology"
)

// Questions that travel together have each their own answer and their own error,
// while the server forgets its scripts.
func TestEachItsOwnAnswer(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		const people, calls = 48, 20
		c := open(t, url, redstart.Config{})
		l := limiter(t, c, Config{Limits: []Limit{PerHour(calls)}, Denials: -1})
		if err := c.Do(t.Context(), c.B().Rpush().Key("limit:{list}").Element("x").Build()).Error(); err != nil {
			t.Fatal(err)
		}
		flush := func() {
			for _, n := range c.Nodes() {
				_ = n.Do(t.Context(), n.B().ScriptFlush().Build()).Error() // a replica refuses, and has none
			}
		}
		var all sync.WaitGroup
		for i := range people {
			all.Go(func() {
				id := fmt.Sprint(i)
				for j := range int64(calls) {
					if d, err := l.Take(t.Context(), id, 1); err != nil || d.Source != SourceServer || !d.Allowed || d.Remaining != calls-1-j {
						t.Errorf("take %d of %s: %+v, %v", j, id, d, err)
					}
					switch {
					case i%4 == 1:
						if d, err := l.Peek(t.Context(), id); err != nil || d.Remaining != calls-1-j || d.Granted != 0 {
							t.Errorf("peek %d of %s: %+v, %v", j, id, d, err)
						}
					case i%4 == 2:
						if _, err := l.Take(t.Context(), "list", 1); err == nil || redstart.Away(err) {
							t.Errorf("of a list: %v", err)
						}
					case i == 3 && j%5 == 0:
						flush()
					}
				}
				if d, err := l.TakeUpTo(t.Context(), id, 3); err != nil || d.Allowed || d.RetryAfter <= 0 {
					t.Errorf("beyond: %+v, %v", d, err)
				}
			})
		}
		all.Wait()
	})
}

// While the first groups are away the next waits for company, and not for them.
func TestGroupsDoNotWait(t *testing.T) {
	alone(t, func(t *testing.T, s *redstarttest.Server) {
		l := limiter(t, open(t, s.URL(), redstart.Config{Timeout: 20 * time.Second}), Config{Limits: []Limit{PerHour(100)}, Timeout: 15 * time.Second})
		take(t, l, "a", 1)
		if err := s.Freeze(); err != nil {
			t.Fatal(err)
		}
		var all sync.WaitGroup
		redstarttest.Eventually(t, 10*time.Second, "groups that are under way", func() bool {
			all.Go(func() { take(t, l, "a", 1) })
			ln := &l.lanes.one
			ln.mu.Lock()
			defer ln.mu.Unlock()
			return ln.underWay > groupsAtOnce+2
		})
		if err := s.Continue(); err != nil {
			t.Fatal(err)
		}
		all.Wait()
	})
}

// A caller's time is his own, whoever travels with him.
func TestCallerLeavesGroup(t *testing.T) {
	alone(t, func(t *testing.T, s *redstarttest.Server) {
		l := limiter(t, open(t, s.URL(), redstart.Config{Timeout: 20 * time.Second}), Config{Limits: []Limit{PerHour(100)}, Timeout: 15 * time.Second})
		take(t, l, "a", 1)
		if err := s.Freeze(); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var hasty, patient sync.WaitGroup
		for range 100 {
			patient.Go(func() {
				if d := take(t, l, "b", 1); !d.Allowed || d.Source != SourceServer {
					t.Errorf("%+v", d)
				}
			})
			hasty.Go(func() {
				if d, err := l.Take(ctx, "c", 1); !errors.Is(err, context.Canceled) || redstart.OutcomeOf(err) != redstart.Unknown {
					t.Errorf("%+v, %v", d, err)
				}
			})
		}
		redstarttest.Eventually(t, 10*time.Second, "a question under way", func() bool {
			l.lanes.one.mu.Lock()
			defer l.lanes.one.mu.Unlock()
			return l.lanes.one.underWay >= groupsAtOnce
		})
		time.AfterFunc(10*time.Millisecond, cancel)
		hasty.Wait()
		if err := s.Continue(); err != nil {
			t.Fatal(err)
		}
		patient.Wait()
		if d, err := l.Peek(t.Context(), "b"); err != nil || d.Remaining != 0 {
			t.Errorf("%+v, %v", d, err)
		}
	})
}

// A client that is closed answers those who ask meanwhile, and ends.
func TestClosedClient(t *testing.T) {
	alone(t, func(t *testing.T, s *redstarttest.Server) {
		c := open(t, s.URL(), redstart.Config{})
		l := limiter(t, c, Config{Limits: []Limit{PerHour(maxRate / 3600)}})
		var all sync.WaitGroup
		var some atomic.Int64
		for i := range 32 {
			all.Go(func() {
				for {
					d, err := l.Take(t.Context(), fmt.Sprint(i), 1)
					if errors.Is(err, redstart.ErrClosed) {
						return
					}
					if err != nil || d.Source != SourceServer {
						t.Errorf("%+v, %v", d, err)
						return
					}
					some.Add(1)
				}
			})
		}
		redstarttest.Eventually(t, 20*time.Second, "some decisions", func() bool { return some.Load() > 1000 })
		c.Close()
		all.Wait()
		for i := range 1000 {
			all.Go(func() {
				if d, err := l.Take(t.Context(), fmt.Sprint(i), 1); !errors.Is(err, redstart.ErrClosed) || redstart.OutcomeOf(err) != redstart.NotApplied {
					t.Errorf("after the end: %+v, %v", d, err)
				}
			})
		}
		all.Wait()
		if ln := &l.lanes.one; ln.open != nil || ln.underWay != 0 {
			t.Errorf("%d groups under way, one open: %v", ln.underWay, ln.open != nil)
		}
	})
}

// A frozen node of a cluster decides for no id of another, and for its own ids
// there is a decision in time. If all went one way, it would.
func TestFrozenNode(t *testing.T) {
	const timeout = time.Second
	if _, err := redstarttest.Find(); err != nil {
		redstarttest.Run(t, redstarttest.ServerConfig{}) // skips, or fails where a server is required
	}
	cl, err := topology.StartCluster(t.Context(), topology.ClusterConfig{Replicas: -1, NodeTimeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cl.Close() })
	for name, naive := range map[string]bool{"lanes": false, "one way": true} {
		t.Run(name, func(t *testing.T) {
			c := open(t, cl.URL(), redstart.Config{})
			l := limiter(t, c, Config{Limits: []Limit{{Rate: 1000, Burst: maxRate / 1000}}, OnOutage: Deny, Timeout: timeout})
			if naive {
				l.lanes.bySlot, l.lanes.most = nil, groupMost
			}
			var ids [2][]string // of the frozen node, of the others
			for i := 0; len(ids[0]) < 50 || len(ids[1]) < 50; i++ {
				id := fmt.Sprint("id", i)
				n, err := cl.PrimaryOf(t.Context(), int(key.Slot(l.keys.of(id))))
				if err != nil {
					t.Fatal(err)
				}
				of := &ids[1]
				if n == cl.Nodes()[0] {
					of = &ids[0]
				}
				if len(*of) < 50 {
					*of = append(*of, id)
				}
			}
			for _, id := range append(ids[0], ids[1]...) {
				redstarttest.Eventually(t, 20*time.Second, "the cluster", func() bool {
					d, err := l.Take(t.Context(), id, 1)
					return err == nil && d.Source == SourceServer
				})
			}
			if err := cl.Nodes()[0].Freeze(); err != nil {
				t.Fatal(err)
			}
			var all sync.WaitGroup
			var decided, without [2]atomic.Int64
			var longest atomic.Int64
			begun := time.Now()
			for i := range 100 {
				all.Go(func() {
					side := i % 2
					for time.Since(begun) < 3*timeout {
						start := time.Now()
						d, err := l.Take(t.Context(), ids[side][i/2], 1)
						took := int64(time.Since(start))
						for m := longest.Load(); took > m && !longest.CompareAndSwap(m, took); m = longest.Load() {
						}
						decided[side].Add(1)
						switch {
						case err != nil:
							t.Error(err)
							return
						case d.Source != SourceServer:
							without[side].Add(1)
							time.Sleep(time.Millisecond) // as one who is denied would
						}
					}
				})
			}
			all.Wait()
			if err := cl.Nodes()[0].Continue(); err != nil {
				t.Fatal(err)
			}
			t.Logf("the frozen node: %d decisions, %d of them without it; the others: %d, %d without; the longest took %v (timeout %v)",
				decided[0].Load(), without[0].Load(), decided[1].Load(), without[1].Load(), time.Duration(longest.Load()), timeout)
			switch {
			case without[0].Load() == 0 || decided[1].Load() == 0:
				t.Error("nothing was tried")
			case naive && without[1].Load() == 0:
				t.Error("the test does not see a node that decides for others")
			case !naive && without[1].Load() != 0:
				t.Errorf("%d decisions for ids of other nodes were made without them", without[1].Load())
			}
			if time.Duration(longest.Load()) > timeout+300*time.Millisecond {
				t.Errorf("a decision took %v", time.Duration(longest.Load()))
			}
		})
	}
}
