package resilience

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redstart-go/redstart/internal/outcome"
)

// failing counts its calls and gives the next of its errors each time, the
// last one for ever.
type failing struct {
	errs  []error
	calls int
}

func (f *failing) run(context.Context) error {
	err := f.errs[min(f.calls, len(f.errs)-1)]
	f.calls++
	return err
}

func TestRetryDefaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &failing{errs: []error{refused, refused, nil}}
		began := time.Now()
		if err := must(NewRetry(RetryConfig{})).Do(t.Context(), f.run); err != nil || f.calls != 3 {
			t.Errorf("%v after %d calls", err, f.calls)
		}
		if took := time.Since(began); took > 300*time.Millisecond {
			t.Errorf("paused for %v, at most 0.1 s and 0.2 s were due", took)
		}

		f = &failing{errs: []error{refused}}
		err := must(NewRetry(RetryConfig{})).Do(t.Context(), f.run)
		var e *RetryError
		if !errors.As(err, &e) || e.Attempts != 3 || e.Stop != StopAttempts || f.calls != 3 || !errors.Is(err, refused) {
			t.Errorf("%v after %d calls", err, f.calls)
		}
	})
}

func TestRetryStops(t *testing.T) {
	hint := func(d time.Duration) error { return reply{outcome: outcome.NotApplied, after: d} }
	lost := errors.New("EOF")
	empty := must(NewBudget(BudgetConfig{Burst: 1}))
	empty.Take()
	for name, test := range map[string]struct {
		cfg     RetryConfig
		errs    []error
		timeout time.Duration
		calls   int
		stop    Stop // zero: the function's own error comes back
	}{
		"not to be repeated":          {errs: []error{lost}, calls: 1},
		"then not to be repeated":     {errs: []error{refused, lost}, calls: 2, stop: StopError},
		"attempts":                    {cfg: RetryConfig{Attempts: 5}, errs: []error{refused}, calls: 5, stop: StopAttempts},
		"one attempt":                 {cfg: RetryConfig{Attempts: 1}, errs: []error{refused}, calls: 1, stop: StopAttempts},
		"a hint beyond the cap":       {errs: []error{hint(11 * time.Second)}, calls: 1, stop: StopHint},
		"a hint beyond the deadline":  {errs: []error{hint(5 * time.Second)}, timeout: 5 * time.Second, calls: 1, stop: StopDeadline},
		"elapsed":                     {cfg: RetryConfig{Elapsed: 5 * time.Second}, errs: []error{hint(4 * time.Second)}, calls: 2, stop: StopElapsed},
		"elapsed, attempts unlimited": {cfg: RetryConfig{Attempts: -1, Elapsed: 9 * time.Second}, errs: []error{hint(4900 * time.Millisecond)}, calls: 2, stop: StopElapsed},
		"budget":                      {cfg: RetryConfig{Budget: empty}, errs: []error{refused}, calls: 1, stop: StopBudget},
		"any error":                   {cfg: RetryConfig{Retryable: func(error) bool { return true }}, errs: []error{lost}, calls: 3, stop: StopAttempts},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx := t.Context()
				if test.timeout > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, test.timeout)
					defer cancel()
				}
				f := &failing{errs: test.errs}
				err := must(NewRetry(test.cfg)).Do(ctx, f.run)
				if f.calls != test.calls {
					t.Errorf("%d calls, want %d", f.calls, test.calls)
				}
				last := test.errs[min(f.calls, len(test.errs))-1]
				if !errors.Is(err, last) {
					t.Errorf("%v does not wrap %v", err, last)
				}
				var e *RetryError
				switch {
				case test.stop == 0 && err != last: //nolint:errorlint // the very error is wanted
					t.Errorf("got %v, want the function's own error", err)
				case test.stop != 0 && (!errors.As(err, &e) || e.Stop != test.stop || e.Attempts != test.calls):
					t.Errorf("got %v, want %v after %d", err, test.stop, test.calls)
				}
			})
		})
	}
}

func TestRetryObeysHints(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &failing{errs: []error{reply{outcome: outcome.NotApplied, after: 3 * time.Second}, nil}}
		began := time.Now()
		if err := must(NewRetry(RetryConfig{})).Do(t.Context(), f.run); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took < 3*time.Second || took > 3100*time.Millisecond {
			t.Errorf("came back after %v, was told 3 s", took)
		}
	})
}

// Whatever the deadline, the attempts are over by it and no pause reaches it.
func TestRetryNeverPausesPastTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := must(NewRetry(RetryConfig{Attempts: -1, Budget: must(NewBudget(BudgetConfig{Ratio: -1}))}))
		source := rand.New(rand.NewPCG(7, 8))
		for range 2000 {
			timeout := time.Duration(1 + source.Int64N(int64(30*time.Second)))
			ctx, cancel := context.WithTimeout(t.Context(), timeout)
			began := time.Now()
			err := r.Do(ctx, func(ctx context.Context) error {
				if ctx.Err() != nil {
					t.Errorf("an attempt after the deadline of %v", timeout)
				}
				return refused
			})
			cancel()
			var e *RetryError
			if !errors.As(err, &e) || e.Stop != StopDeadline {
				t.Fatalf("%v, want to stop for the deadline", err)
			}
			if took := time.Since(began); took >= timeout {
				t.Fatalf("slept until %v, the deadline is %v", took, timeout)
			}
		}
	})
}

func TestRetryEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		began := time.Now()
		err := must(NewRetry(RetryConfig{})).Do(ctx, func(context.Context) error {
			return reply{outcome: outcome.NotApplied, after: 5 * time.Second}
		})
		var e *RetryError
		if !errors.As(err, &e) || e.Stop != StopContext || e.Attempts != 1 || !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		if took := time.Since(began); took != time.Second {
			t.Errorf("returned after %v, was cancelled after 1 s", took)
		}

		calls := 0
		err = must(NewRetry(RetryConfig{})).Do(ctx, func(context.Context) error {
			calls++
			return refused
		})
		if err != refused || calls != 1 { //nolint:errorlint // the very error is wanted
			t.Errorf("with an ended context: %v after %d calls", err, calls)
		}
	})
}

// All attempts together are NotApplied only if each was.
func TestRetryOutcome(t *testing.T) {
	for name, test := range map[string]struct {
		errs []error
		want outcome.Outcome
	}{
		"all refused":            {[]error{refused}, outcome.NotApplied},
		"one may have run":       {[]error{errors.New("EOF"), refused}, outcome.Unknown},
		"the last may have run":  {[]error{refused, refused, errors.New("EOF")}, outcome.Unknown},
		"one of another package": {[]error{pgxLike(true), refused}, outcome.NotApplied},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := must(NewRetry(RetryConfig{Retryable: func(error) bool { return true }}))
				err := r.Do(t.Context(), (&failing{errs: test.errs}).run)
				var e interface{ Outcome() outcome.Outcome }
				if !errors.As(err, &e) || e.Outcome() != test.want {
					t.Errorf("got %v", err)
				}
			})
		})
	}
}

// In an outage retries add a tenth of the calls, and the burst.
func TestRetryKeepsItsBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := must(NewRetry(RetryConfig{}))
		f := &failing{errs: []error{refused}}
		const calls = 10_000
		for range calls {
			_ = r.Do(t.Context(), f.run)
		}
		if want := calls + calls/10 + 10; f.calls > want || f.calls < want-1 {
			t.Errorf("%d attempts for %d calls, want %d", f.calls, calls, want)
		}
	})
}

func TestRetryAllocatesNothingOnSuccess(t *testing.T) {
	r := must(NewRetry(RetryConfig{Elapsed: time.Minute}))
	ctx := t.Context()
	if n := testing.AllocsPerRun(1000, func() { _ = r.Do(ctx, nothing) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
