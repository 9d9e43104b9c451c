package resilience

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redstart-go/redstart/internal/outcome"
)

var errDown = errors.New("down")

// call runs one call through a breaker and reports whether it passed.
func call(t *testing.T, b *Breaker, err error) bool {
	t.Helper()
	token, refusal := b.Allow()
	if refusal != nil {
		if !errors.Is(refusal, ErrOpen) || !notApplied(refusal) {
			t.Errorf("refused with %v", refusal)
		}
		return false
	}
	b.Record(t.Context(), token, err)
	return true
}

func TestBreakerDefaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := must(NewBreaker(BreakerConfig{Name: "orders"}))
		for range 4 {
			call(t, b, errDown)
		}
		call(t, b, nil) // ends the row
		for range 4 {
			call(t, b, errDown)
		}
		if b.State() != Closed {
			t.Fatal("open after four in a row")
		}
		call(t, b, errDown)
		if b.State() != Open || call(t, b, nil) {
			t.Fatal("not open after five in a row")
		}

		time.Sleep(59 * time.Second)
		_, err := b.Allow()
		if want := "redstart/resilience: the breaker orders is open: the next probe is due in 1s"; err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
		if d := RetryAfter(err); d != time.Second {
			t.Errorf("come back in %v, want 1 s", d)
		}
		time.Sleep(time.Second)
		if !call(t, b, errDown) || b.State() != Open {
			t.Fatal("a failed probe does not open it again")
		}
		time.Sleep(time.Minute)
		if !call(t, b, nil) || b.State() != Closed {
			t.Fatal("a probe that succeeded does not close it")
		}
	})
}

// What counts as what: a row of two failures opens the breaker, a success ends
// the row, and what counts as nothing leaves it as it is.
func TestBreakerCountsFailuresOnly(t *testing.T) {
	missing := errors.New("no such key")
	expired, cancel := context.WithTimeout(t.Context(), -1)
	defer cancel()
	onlyDown := func(err error) bool { return errors.Is(err, errDown) }
	always := func(error) bool { return true }
	for name, test := range map[string]struct {
		failure func(error) bool
		ctx     context.Context
		err     error
		want    string
	}{
		"an error":                     {nil, t.Context(), errDown, "failure"},
		"success":                      {nil, t.Context(), nil, "success"},
		"cancelled":                    {nil, t.Context(), fmt.Errorf("x: %w", context.Canceled), "nothing"},
		"the caller's deadline":        {nil, expired, context.DeadlineExceeded, "nothing"},
		"a deadline of the call's own": {nil, t.Context(), context.DeadlineExceeded, "failure"},
		"an answer":                    {onlyDown, t.Context(), missing, "success"},
		"a timeout that is to count":   {always, expired, context.DeadlineExceeded, "failure"},
		"a cancelled call, not asked":  {onlyDown, t.Context(), context.Canceled, "nothing"},
	} {
		t.Run(name, func(t *testing.T) {
			b := must(NewBreaker(BreakerConfig{Failures: 2, Failure: test.failure}))
			record := func(ctx context.Context, err error) {
				token, _ := b.Allow()
				b.Record(ctx, token, err)
			}
			record(t.Context(), errDown)
			record(test.ctx, test.err)
			got := "failure"
			if b.State() == Closed {
				got = "success"
				if record(t.Context(), errDown); b.State() == Open {
					got = "nothing"
				}
			}
			if got != test.want {
				t.Errorf("counts as %s, want %s", got, test.want)
			}
		})
	}
}

func TestBreakerPanicCountsAndPassesOn(t *testing.T) {
	var changes []Change
	b := must(NewBreaker(BreakerConfig{Failures: 2, OnChange: func(c Change) { changes = append(changes, c) }}))
	func() {
		defer func() {
			if p := recover(); p != "boom" {
				t.Errorf("recovered %v", p)
			}
		}()
		_ = b.Do(t.Context(), func(context.Context) error { panic("boom") })
	}()
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		_ = b.Do(context.Background(), func(context.Context) error { runtime.Goexit(); return nil })
	}()
	<-gone
	if b.State() != Open || len(changes) != 1 || !strings.Contains(changes[0].Err.Error(), "panicked") {
		t.Errorf("%v, %v", b.State(), changes)
	}
	ran := false
	if err := b.Do(t.Context(), func(context.Context) error { ran = true; return nil }); !errors.Is(err, ErrOpen) || ran {
		t.Errorf("got %v, ran %v", err, ran)
	}
}

// Of 100 callers that come at once, exactly as many pass as there are probes.
func TestBreakerLetsExactlyItsProbesThrough(t *testing.T) {
	for _, probes := range []int{1, 3} {
		for range 20 {
			synctest.Test(t, func(t *testing.T) {
				b := must(NewBreaker(BreakerConfig{Probes: probes}))
				b.Trip(errDown)
				time.Sleep(time.Minute)
				passed := storm(b)
				if len(passed) != probes {
					t.Fatalf("%d passed, want %d", len(passed), probes)
				}
				if again := storm(b); len(again) != 0 {
					t.Fatalf("%d more passed", len(again))
				}
				b.Record(t.Context(), passed[0], context.Canceled) // says nothing: its place is free again
				if again := storm(b); len(again) != 1 {
					t.Fatalf("%d passed in the place of one that was cancelled", len(again))
				} else {
					passed[0] = again[0]
				}
				for i, token := range passed {
					if b.State() != HalfOpen {
						t.Fatalf("%v after %d of %d probes", b.State(), i, probes)
					}
					b.Record(t.Context(), token, nil)
				}
				if b.State() != Closed {
					t.Fatalf("%v after all probes succeeded", b.State())
				}
			})
		}
	}
}

// storm sends 100 callers at once and gives the tokens of those that passed.
func storm(b *Breaker) []Token {
	var mu sync.Mutex
	var passed []Token
	var wg sync.WaitGroup
	start := make(chan struct{})
	for range 100 {
		wg.Go(func() {
			<-start
			if token, err := b.Allow(); err == nil {
				mu.Lock()
				passed = append(passed, token)
				mu.Unlock()
			}
		})
	}
	close(start)
	wg.Wait()
	return passed
}

func TestBreakerSurvivesAProbeThatNeverReports(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := must(NewBreaker(BreakerConfig{ProbeTimeout: 2 * time.Second}))
		b.Trip(errDown)
		time.Sleep(time.Minute)
		lost, err := b.Allow()
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(1999 * time.Millisecond)
		if _, err := b.Allow(); err == nil || RetryAfter(err) != 0 || !strings.HasSuffix(err.Error(), "a probe is under way") {
			t.Fatalf("got %v beside a probe under way", err)
		}
		time.Sleep(time.Millisecond)
		second, err := b.Allow()
		if err != nil {
			t.Fatal(err)
		}
		b.Record(t.Context(), lost, errDown) // its place was taken: it has no say any more
		if b.State() != HalfOpen {
			t.Fatalf("%v: a probe whose time was over had a say", b.State())
		}
		b.Record(t.Context(), second, nil)
		if b.State() != Closed {
			t.Fatal(b.State())
		}
		b.Record(t.Context(), second, errDown) // twice is once
		for range 4 {
			call(t, b, errDown)
		}
		if b.State() != Closed {
			t.Error("a probe counted in the closed state")
		}
	})
}

// What began before the last change of state counts for nothing.
func TestBreakerForgetsOldCalls(t *testing.T) {
	b := must(NewBreaker(BreakerConfig{Failures: 2}))
	var old []Token
	for range 10 {
		token, _ := b.Allow()
		old = append(old, token)
	}
	b.Trip(errDown)
	b.Reset()
	for _, token := range append(old, Token{}) {
		b.Record(t.Context(), token, errDown)
	}
	call(t, b, errDown)
	if b.State() != Closed {
		t.Error("opened by calls from before it closed")
	}
	call(t, b, errDown)
	if b.State() != Open {
		t.Error("not opened by its own calls")
	}
}

// OnChange may use the breaker, and is told of every change in order.
func TestBreakerTellsChangesInOrder(t *testing.T) {
	var b *Breaker
	var told []string
	within := false
	b = must(NewBreaker(BreakerConfig{Name: "n", OnChange: func(c Change) {
		if within {
			t.Error("OnChange within OnChange")
		}
		within = true
		told = append(told, fmt.Sprintf("%s: %v to %v, %v", c.Name, c.From, c.To, c.Err))
		if len(told) == 1 { // whatever is called in here returns
			b.Reset()
			_ = b.Do(context.Background(), nothing)
			b.Trip(nil)
			_ = b.State()
		}
		within = false
	}}))
	b.Trip(errDown)
	b.Trip(errDown) // open already
	b.Reset()
	want := "n: closed to open, down; n: open to closed, <nil>; n: closed to open, <nil>; n: open to closed, <nil>"
	if got := strings.Join(told, "; "); got != want {
		t.Errorf("told %s\nwant %s", got, want)
	}

	// A panic in OnChange passes on and blocks nobody.
	b.cfg.OnChange = func(Change) { panic("boom") }
	func() {
		defer func() { _ = recover() }()
		b.Trip(nil)
	}()
	again := false
	b.cfg.OnChange = func(Change) { again = true }
	if b.Reset(); !again {
		t.Error("nothing is told after a panic")
	}
}

func TestBreakerTellsChangesOneByOne(t *testing.T) {
	var running, changes atomic.Int64
	last := Closed
	b := must(NewBreaker(BreakerConfig{OnChange: func(c Change) {
		if running.Add(1) != 1 {
			t.Error("two at once")
		}
		if c.From != last {
			t.Errorf("from %v, the last one was to %v", c.From, last)
		}
		last = c.To
		changes.Add(1)
		running.Add(-1)
	}}))
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range 500 {
				if i%2 == 0 {
					b.Trip(errDown)
				} else {
					b.Reset()
				}
			}
		})
	}
	wg.Wait()
	if changes.Load() == 0 || last != b.State() {
		t.Errorf("%d changes, the last to %v, now %v", changes.Load(), last, b.State())
	}
}

// However many fail at once, it opens once, and no call is lost to it.
func TestBreakerUnderConcurrency(t *testing.T) {
	for range 200 {
		var opened atomic.Int64
		b := must(NewBreaker(BreakerConfig{Failures: 64, OnChange: func(Change) { opened.Add(1) }}))
		var wg sync.WaitGroup
		start := make(chan struct{})
		for range 8 {
			wg.Go(func() {
				<-start
				for range 8 {
					if !call(t, b, errDown) {
						t.Error("refused before the 64th failure")
					}
				}
			})
		}
		close(start)
		wg.Wait()
		if b.State() != Open || opened.Load() != 1 {
			t.Fatalf("%v after 64 failures, opened %d times", b.State(), opened.Load())
		}
	}
}

func TestBreakerAllocatesNothing(t *testing.T) {
	ctx := t.Context()
	for name, cfg := range map[string]BreakerConfig{"in a row": {}, "by rate": {Rate: 0.5, Failures: 5}} {
		b := must(NewBreaker(cfg))
		if n := testing.AllocsPerRun(1000, func() {
			token, _ := b.Allow()
			b.Record(ctx, token, nil)
			_ = b.Do(ctx, nothing)
		}); n != 0 {
			t.Errorf("%s: %v allocations while closed", name, n)
		}
		b.Trip(errDown)
		if n := testing.AllocsPerRun(1000, func() { _, _ = b.Allow() }); n != 0 {
			t.Errorf("%s: %v allocations while open", name, n)
		}
		if b.window != nil {
			b.window.timer.Stop() // it would ring once more
		}
	}
}

var _ interface{ Outcome() outcome.Outcome } = (*openError)(nil)
