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
	"github.com/redstart-go/redstart/redstarttest"
)

// A denial is remembered until its units can be there; Refund and Reset end it.
func TestDenialIsRemembered(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		l := limiter(t, open(t, url, redstart.Config{}), Config{Limits: []Limit{PerHour(5)}})
		var off atomic.Int64
		own := l.clock
		l.clock = func() time.Duration { return own() + time.Duration(off.Load()) }
		take(t, l, "a", 3)
		want := func(what string, n int64, source Source, allowed bool) {
			t.Helper()
			if d := take(t, l, "a", n); d.Source != source || d.Allowed != allowed {
				t.Errorf("%s: Take(%d) = %+v, want %v from %v", what, n, d, allowed, source)
			}
		}
		want("first", 4, SourceServer, false)
		want("again", 4, SourceDenied, false)
		want("more", 5, SourceDenied, false)
		want("less", 3, SourceServer, false)
		want("less again", 3, SourceDenied, false)
		if n := testing.AllocsPerRun(20, func() { _, _ = l.Take(t.Context(), "a", 3) }); n != 0 {
			t.Errorf("a denial that is remembered allocates %v times", n)
		}
		if err := l.Refund(t.Context(), "a", 2); err != nil {
			t.Fatal(err)
		}
		want("after a refund", 4, SourceServer, true)
		want("none left", 2, SourceServer, false)
		d := take(t, l, "a", 2)
		off.Add(int64(d.RetryAfter))
		want("when they can be there", 2, SourceServer, false) // the server's clock did not move
		if err := l.Reset(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		want("after a reset", 5, SourceServer, true)
		if s := l.Stats(); s.FromDenials != 4+21 || s.Denied != 8+21 || s.Taken != 3 {
			t.Errorf("%+v", s)
		}
		if d, err := l.Peek(t.Context(), "a"); err != nil || d.Allowed || d.Remaining != 0 || d.Limit != 5 {
			t.Errorf("Peek = %+v, %v", d, err)
		}
	})
}

func TestDenialsAreBounded(t *testing.T) {
	l := limiter(t, open(t, inProcess(t), redstart.Config{}), Config{Limits: []Limit{PerHour(1)}, Denials: 64})
	for i := range 300 {
		take(t, l, fmt.Sprint(i), 1)
		take(t, l, fmt.Sprint(i), 1)
	}
	n := 0
	for i := range l.denials.parts {
		n += len(l.denials.parts[i].ids)
	}
	if n > 64 || n < 32 {
		t.Errorf("%d denials remembered, of 64", n)
	}
}

// A frozen server: a decision within the timeout, by policy, for thousands who
// ask at once; and everything as before when it goes on.
func TestFrozenServer(t *testing.T) {
	alone(t, func(t *testing.T, s *redstarttest.Server) {
		const timeout = 100 * time.Millisecond
		c := open(t, s.URL(), redstart.Config{})
		for policy, want := range map[Outage]Source{Allow: SourceOutage, Deny: SourceOutage, Local: SourceLocal} {
			l := limiter(t, c, Config{
				Key: fmt.Sprintf("l%d:{<id>}", policy), Limits: []Limit{PerHour(100)}, OnOutage: policy, Timeout: timeout, Processes: 10,
			})
			redstarttest.Eventually(t, 20*time.Second, "the server", func() bool {
				d, err := l.Take(t.Context(), "warm", 1)
				return err == nil && d.Source == SourceServer
			})
			if err := s.Freeze(); err != nil {
				t.Fatal(err)
			}
			var all sync.WaitGroup
			var allowed, denied, wrong atomic.Int64
			var longest atomic.Int64
			for range 2000 {
				all.Go(func() {
					start := time.Now()
					d, err := l.Take(t.Context(), "a", 1)
					took := int64(time.Since(start))
					for m := longest.Load(); took > m && !longest.CompareAndSwap(m, took); m = longest.Load() {
					}
					switch {
					case err != nil || d.Source != want || d.Err == nil || !errors.Is(d.Err, redstart.ErrUnavailable):
						wrong.Add(1)
					case d.Allowed:
						allowed.Add(1)
					default:
						denied.Add(1)
					}
				})
			}
			all.Wait()
			t.Logf("policy %d: %d allowed, %d denied, the longest took %v (timeout %v)", policy, allowed.Load(), denied.Load(), time.Duration(longest.Load()), timeout)
			wantAllowed := map[Outage]int64{Allow: 2000, Deny: 0, Local: 10}[policy]
			if wrong.Load() != 0 || allowed.Load() != wantAllowed {
				t.Errorf("policy %d: %d wrong, %d allowed, want %d", policy, wrong.Load(), allowed.Load(), wantAllowed)
			}
			if time.Duration(longest.Load()) > timeout+300*time.Millisecond { // a busy machine, but less than a dial's deadline
				t.Errorf("a decision took %v", time.Duration(longest.Load()))
			}
			if err := s.Continue(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestKilledServer(t *testing.T) {
	alone(t, func(t *testing.T, s *redstarttest.Server) {
		var events sync.Map
		c := open(t, s.URL(), redstart.Config{Events: redstart.Events{Pattern: func(i redstart.PatternInfo) { events.Store(i.Event, i) }}})
		l := limiter(t, c, Config{Limits: []Limit{PerHour(3)}, OnOutage: Deny})
		if err := s.Kill(); err != nil {
			t.Fatal(err)
		}
		if d, err := l.Take(t.Context(), "a", 1); err != nil || d.Allowed || d.RetryAfter != outagePause || d.Err == nil {
			t.Errorf("%+v, %v", d, err)
		}
		if _, err := l.Peek(t.Context(), "a"); !errors.Is(err, redstart.ErrUnavailable) {
			t.Errorf("Peek: %v", err)
		}
		if err := s.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		redstarttest.Eventually(t, 20*time.Second, "the server's decision", func() bool {
			d, err := l.Take(t.Context(), "a", 1)
			return err == nil && d.Source == SourceServer && d.Allowed
		})
		command(t, s, "SCRIPT", "FLUSH")
		take(t, l, "a", 1)
		for _, e := range []string{"outage", "back"} {
			if _, ok := events.Load(e); !ok {
				t.Errorf("no event %q", e)
			}
		}
	})
}

// A caller's own end is his error, not an outage.
func TestCallersContext(t *testing.T) {
	l := limiter(t, open(t, inProcess(t), redstart.Config{}), Config{Limits: []Limit{PerHour(3)}})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, err := range []error{
		func() error { _, err := l.Take(ctx, "a", 1); return err }(), l.Wait(ctx, "a", 1),
	} {
		if !errors.Is(err, context.Canceled) || redstart.OutcomeOf(err) != redstart.NotApplied {
			t.Errorf("%v", err)
		}
	}
}

func TestWait(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		l := limiter(t, open(t, url, redstart.Config{}), Config{Limits: []Limit{{Rate: 100, Burst: 1}}})
		start := time.Now()
		var all sync.WaitGroup
		for range 11 {
			all.Go(func() {
				if err := l.Wait(t.Context(), "a", 1); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if took := time.Since(start); took < 95*time.Millisecond {
			t.Errorf("11 units at 100 a second took %v", took)
		}
		slow := limiter(t, l.client, Config{Key: "slow:{<id>}", Limits: []Limit{PerHour(1)}})
		take(t, slow, "a", 1)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		start = time.Now()
		if err := slow.Wait(ctx, "a", 1); !errors.Is(err, context.DeadlineExceeded) || redstart.OutcomeOf(err) != redstart.NotApplied {
			t.Errorf("a unit beyond the deadline: %v", err)
		}
		if took := time.Since(start); took > time.Minute {
			t.Errorf("it took %v to say so", took)
		}
		ctx, cancel = context.WithCancel(t.Context())
		time.AfterFunc(20*time.Millisecond, cancel)
		if err := slow.Wait(ctx, "a", 1); !errors.Is(err, context.Canceled) {
			t.Errorf("a cancelled wait: %v", err)
		}
		if len(l.lines.of) != 0 || len(slow.lines.of) != 0 {
			t.Error("a line is left behind")
		}
	})
}

// Several processes with units in hand admit at most what the limit says and a
// batch for each, and far fewer questions are asked than units taken.
func TestBatches(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		const processes, batch, rate = 3, 50, 2000
		var all sync.WaitGroup
		var admitted, fromBatch atomic.Int64
		var limiters [processes]*Limiter
		for i := range limiters {
			limiters[i] = limiter(t, open(t, url, redstart.Config{}), Config{Limits: []Limit{{Rate: rate, Burst: 100}}, Batch: batch})
		}
		start := time.Now()
		for _, l := range limiters {
			for range 8 {
				all.Go(func() {
					for time.Since(start) < 500*time.Millisecond {
						d, err := l.Take(t.Context(), "hot", 1)
						if err != nil || d.Err != nil {
							t.Error(d, err)
							return
						}
						admitted.Add(d.Granted)
						if d.Source == SourceBatch {
							fromBatch.Add(1)
						}
					}
				})
			}
		}
		all.Wait()
		took := time.Since(start)
		most := int64(100 + rate*took.Seconds() + processes*batch)
		t.Logf("%d admitted in %v, %d of them from a batch; at most %d", admitted.Load(), took.Round(time.Millisecond), fromBatch.Load(), most)
		if admitted.Load() > most || admitted.Load() < 200 || fromBatch.Load() == 0 {
			t.Errorf("%d admitted, at most %d", admitted.Load(), most)
		}
	})
}

// An id that is asked for now and then costs what is asked for.
func TestBatchesOfColdIDs(t *testing.T) {
	l := limiter(t, open(t, inProcess(t), redstart.Config{}), Config{Limits: []Limit{PerHour(100)}, Batch: 50})
	var off atomic.Int64
	l.clock = func() time.Duration { return time.Duration(off.Load()) }
	for i := range int64(20) {
		if d := take(t, l, "a", 2); d.Remaining != 100-2*(i+1) || d.Source != SourceServer {
			t.Fatalf("take %d: %+v", i, d)
		}
		off.Add(int64(time.Second))
	}
	for range 4 { // and then it is hot: 2, 4 in hand of which 2 are used, …
		take(t, l, "a", 2)
	}
	if err := l.Reset(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	if d := take(t, l, "a", 100); !d.Allowed || d.Source != SourceServer {
		t.Errorf("after a reset %+v", d)
	}
}

func TestSlots(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		bound := func(c *redstart.Client) *Concurrency {
			b, err := NewConcurrency(c, ConcurrencyConfig{Slots: 2, Lease: 2 * time.Second, Timeout: 5 * time.Second})
			if err != nil {
				t.Fatal(err)
			}
			return b
		}
		mine, other := bound(open(t, url, redstart.Config{})), open(t, url, redstart.Config{})
		first, err := mine.Enter(t.Context(), "a")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := bound(other).Enter(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		if _, err := mine.Enter(t.Context(), "a"); !errors.Is(err, ErrBusy) || redstart.OutcomeOf(err) != redstart.NotApplied {
			t.Fatalf("a third of two: %v", err)
		}
		other.Close() // its holder is dead; mine lives on
		var third *Slot
		redstarttest.Eventually(t, 20*time.Second, "the dead holder's slot", func() bool {
			third, err = mine.Enter(t.Context(), "a")
			return err == nil
		})
		if err := first.Context().Err(); err != nil {
			t.Errorf("a slot that is held: %v", context.Cause(first.Context()))
		}
		for range 2 {
			if err := first.Leave(t.Context()); err != nil {
				t.Error(err)
			}
		}
		if first.Context().Err() == nil {
			t.Error("the context of a slot that was left goes on")
		}
		if s, err := mine.Enter(t.Context(), "a"); err != nil {
			t.Error(err)
		} else if err := s.Leave(t.Context()); err != nil {
			t.Error(err)
		}
		if err := mine.client.Do(t.Context(), mine.client.B().Del().Key(mine.keys.of("a")).Build()).Error(); err != nil {
			t.Fatal(err)
		}
		<-third.Context().Done()
		if err := third.Leave(t.Context()); !errors.Is(context.Cause(third.Context()), ErrLost) || !errors.Is(err, ErrLost) {
			t.Errorf("a slot that was lost: %v, %v", context.Cause(third.Context()), err)
		}
	})
}

func TestSlotsWithoutServer(t *testing.T) {
	alone(t, func(t *testing.T, s *redstarttest.Server) {
		c := open(t, s.URL(), redstart.Config{})
		var bounds [2]*Concurrency
		for i, policy := range []Outage{Allow, Deny} {
			var err error
			if bounds[i], err = NewConcurrency(c, ConcurrencyConfig{Slots: 1, Lease: time.Second, OnOutage: policy, Timeout: 200 * time.Millisecond}); err != nil {
				t.Fatal(err)
			}
		}
		var held *Slot
		redstarttest.Eventually(t, 20*time.Second, "a slot", func() (ok bool) {
			var err error
			held, err = bounds[1].Enter(t.Context(), "a")
			return err == nil
		})
		start := time.Now()
		if err := s.Freeze(); err != nil {
			t.Fatal(err)
		}
		free, err := bounds[0].Enter(t.Context(), "a")
		if err != nil {
			t.Fatalf("Allow: %v", err)
		}
		if err := free.Leave(t.Context()); err != nil {
			t.Error(err)
		}
		if _, err := bounds[1].Enter(t.Context(), "a"); !errors.Is(err, redstart.ErrUnavailable) {
			t.Errorf("Deny: %v", err)
		}
		<-held.Context().Done()
		if took := time.Since(start); !errors.Is(context.Cause(held.Context()), ErrLost) || took > 3*time.Second {
			t.Errorf("a holder without a server knew it after %v: %v", took, context.Cause(held.Context()))
		}
		if err := s.Continue(); err != nil {
			t.Fatal(err)
		}
	})
}
