package resilience

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/redstart-go/redstart/internal/outcome"
)

// RetryConfig says which failures a Retry repeats, how often and after which
// pause. The zero value is the default.
type RetryConfig struct {
	// Attempts is how often the function runs at most, the first run included.
	// Negative: no such limit. Default: 3.
	Attempts int

	// Base is the longest pause before the first retry; each further one
	// doubles it. A pause is drawn uniformly from zero to that (full jitter).
	// Negative: no pauses. Default: 100 ms.
	Base time.Duration

	// Cap bounds every pause, jitter and the server's hints included.
	// Negative: no such bound. Default: 10 s.
	Cap time.Duration

	// Elapsed bounds the time from the first attempt's beginning to the
	// beginning of the last; a slow first attempt may use it up. It is
	// independent of Attempts. Negative: none. Default: none; the context's
	// deadline bounds the whole in any case.
	Elapsed time.Duration

	// Budget bounds retries as a part of all calls. Share one among those who
	// call the same server. Default: one of its own, of 10 %.
	Budget *Budget

	// Retryable says which errors are worth another attempt. Default: those
	// that say that the call changed nothing, by a method Outcome() that gives
	// redstart.NotApplied or by SafeToRetry() bool, and never one of an ended
	// context. For a function that is idempotent, repeat more.
	Retryable func(error) bool
}

// Retry repeats what failed. It may be used by any number of goroutines.
type Retry struct {
	epoch     time.Time // for a clock that only goes forward
	attempts  int
	elapsed   time.Duration
	backoff   backoff
	budget    *Budget
	retryable func(error) bool
}

// NewRetry gives a Retry.
func NewRetry(cfg RetryConfig) (*Retry, error) {
	r := &Retry{
		epoch:    time.Now(),
		attempts: orDefault(cfg.Attempts, 3),
		elapsed:  min(max(cfg.Elapsed, 0), noLimit),
		backoff: backoff{
			base:   orDefault(cfg.Base, 100*time.Millisecond),
			limit:  orDefault(cfg.Cap, 10*time.Second),
			random: rand.Int64N,
		},
		budget:    cfg.Budget,
		retryable: cfg.Retryable,
	}
	if r.attempts < 0 && r.backoff.base < 0 && r.elapsed == 0 {
		v := invalid{kind: "retry"}
		v.add("Attempts", "and Base are off: it would repeat without end and without pause; give one of them, or Elapsed")
		return nil, v.err()
	}
	if r.backoff.limit < 0 {
		r.backoff.limit = noLimit
	}
	r.backoff.limit = min(r.backoff.limit, noLimit)
	if r.budget == nil {
		r.budget, _ = NewBudget(BudgetConfig{}) // the default is valid
	}
	if r.retryable == nil {
		r.retryable = safe
	}
	return r, nil
}

// safe is the default of Retryable.
func safe(err error) bool {
	return notApplied(err) && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded)
}

// Do runs fn until it succeeds or is not to be repeated, and pauses between.
// It never begins a pause that would end past ctx's deadline. An error with a
// method RetryAfter() time.Duration is obeyed; one that asks for longer than
// Cap, or the deadline, ends the attempts at once. The error is fn's own if
// its first failure was not to be repeated, else a [*RetryError].
//
// Cost beyond fn's: a few nanoseconds and no allocation if it succeeds (one
// reading of the clock with Elapsed). Nothing runs once Do has returned.
func (r *Retry) Do(ctx context.Context, fn func(context.Context) error) error {
	a := r.Begin()
	for {
		err := fn(ctx)
		if err == nil {
			return nil
		}
		if !a.Again(ctx, err) {
			return a.Err(err)
		}
	}
}

// Begin begins a series of attempts, for a loop without a function to pass:
//
//	for a := r.Begin(); ; {
//		err := send()
//		if err == nil {
//			return nil
//		}
//		if !a.Again(ctx, err) {
//			return a.Err(err)
//		}
//	}
func (r *Retry) Begin() Attempts {
	r.budget.Call()
	a := Attempts{retry: r}
	if r.elapsed > 0 {
		a.until = time.Since(r.epoch) + r.elapsed
	}
	return a
}

// Stop is why there was no further attempt.
type Stop uint8

const (
	// StopError: the error is not one to repeat.
	StopError Stop = iota + 1
	// StopContext: the context ended.
	StopContext
	// StopAttempts: Attempts were made.
	StopAttempts
	// StopHint: the server asks to be left alone for longer than Cap.
	StopHint
	// StopDeadline: the next pause would end past the context's deadline.
	StopDeadline
	// StopElapsed: the next pause would end past Elapsed.
	StopElapsed
	// StopBudget: the budget for retries is used up.
	StopBudget
)

var stops = [...]string{
	StopError:    "the error is not to be repeated",
	StopContext:  "the context ended",
	StopAttempts: "the limit of attempts",
	StopHint:     "told to stay away for longer than the cap",
	StopDeadline: "the deadline is too near for another",
	StopElapsed:  "the limit of time",
	StopBudget:   "the budget for retries is used up",
}

// String says it in a few words.
func (s Stop) String() string {
	if int(s) >= len(stops) {
		return ""
	}
	return stops[s]
}

// Attempts is one call's series of attempts. It is for one goroutine.
type Attempts struct {
	retry  *Retry
	until  time.Duration // since the epoch, the end of Elapsed; zero: no such limit
	failed int           // attempts that failed
	stop   Stop
	unsure bool  // some attempt may have changed something
	ended  error // of the context, during a pause
}

// Next says, after an attempt that failed with err (not nil), how long to
// pause before the next one, and counts that one against the budget. False:
// there is to be none. It does not pause.
func (a *Attempts) Next(ctx context.Context, err error) (time.Duration, bool) {
	a.failed++
	a.unsure = a.unsure || !notApplied(err)
	var pause time.Duration
	pause, a.stop = a.decide(ctx, err)
	return pause, a.stop == 0
}

// decide asks the budget last, so that nothing is taken from it in vain.
func (a *Attempts) decide(ctx context.Context, err error) (time.Duration, Stop) {
	r := a.retry
	switch {
	case ctx.Err() != nil:
		return 0, StopContext
	case !r.retryable(err):
		return 0, StopError
	case r.attempts > 0 && a.failed >= r.attempts:
		return 0, StopAttempts
	}
	hint := RetryAfter(err)
	if hint > r.backoff.limit {
		return 0, StopHint
	}
	pause := r.backoff.delay(a.failed-1, hint)
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= pause {
		return 0, StopDeadline
	}
	if a.until != 0 && time.Since(r.epoch)+pause > a.until {
		return 0, StopElapsed
	}
	if !r.budget.Take() {
		return 0, StopBudget
	}
	return pause, 0
}

// Again pauses after an attempt that failed with err (not nil) and reports
// whether to make another.
func (a *Attempts) Again(ctx context.Context, err error) bool {
	pause, ok := a.Next(ctx, err)
	if !ok {
		return false
	}
	if pause == 0 {
		return true
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		a.stop, a.ended = StopContext, ctx.Err()
		return false
	}
}

// Err is the error of the whole series, given its last attempt's: that one
// itself if it was the only one and not to be repeated, else a [*RetryError].
func (a *Attempts) Err(last error) error {
	alone := a.failed == 1 && a.ended == nil && (a.stop == StopError || a.stop == StopContext)
	if last == nil || alone {
		return last
	}
	e := &RetryError{Attempts: a.failed, Stop: a.stop, Err: last, ended: a.ended, outcome: outcome.NotApplied}
	if a.unsure {
		e.outcome = outcome.Unknown
	}
	return e
}
