package resilience

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redstart-go/redstart/internal/outcome"
)

// Refusals, for errors.Is. A refused call did not run: its Outcome is
// NotApplied.
var (
	// ErrOpen: the breaker is open, or half open and its probes are under way.
	ErrOpen = errors.New("redstart/resilience: the breaker is open")
	// ErrFull: the bulkhead had no room within its wait.
	ErrFull = errors.New("redstart/resilience: the bulkhead is full")
)

// RetryAfter gives how long err asks to be left alone, from the first error in
// its chain with a method RetryAfter() time.Duration. Zero: it does not say.
func RetryAfter(err error) time.Duration {
	if e := (interface{ RetryAfter() time.Duration })(nil); errors.As(err, &e) {
		return max(e.RetryAfter(), 0)
	}
	return 0
}

// notApplied reports whether err says of itself that the call changed nothing.
func notApplied(err error) bool {
	if e := (interface{ Outcome() outcome.Outcome })(nil); errors.As(err, &e) {
		return e.Outcome() == outcome.NotApplied
	}
	e := (interface{ SafeToRetry() bool })(nil)
	return errors.As(err, &e) && e.SafeToRetry()
}

// ended reports whether err tells of an ended context: a cancelled one, whose
// ever, or the deadline of ctx. A deadline that passed while ctx lives is one
// that the function set itself.
func ended(ctx context.Context, err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) && ctx.Err() != nil
}

// refusal is a call that did not run because of what err says.
type refusal struct {
	err  error
	text string
}

func (r *refusal) Error() string            { return r.text }
func (r *refusal) Unwrap() error            { return r.err }
func (r *refusal) Outcome() outcome.Outcome { return outcome.NotApplied }

// RetryError is what a [Retry] that gave up returns: how often it tried, why
// it stopped, and the last attempt's error. An error that ended the first
// attempt and was not to be repeated is returned as it is.
type RetryError struct {
	// Attempts is how often the function ran.
	Attempts int
	// Stop is why there was no further attempt.
	Stop Stop
	// Err is the last attempt's error.
	Err error

	ended   error // of the context, where it ended during a pause
	outcome outcome.Outcome
}

// Error is "redstart/resilience: gave up after n attempts (why): the last error".
func (e *RetryError) Error() string {
	plural := "s"
	if e.Attempts == 1 {
		plural = ""
	}
	return fmt.Sprintf("redstart/resilience: gave up after %d attempt%s (%s): %v", e.Attempts, plural, e.Stop, e.Err)
}

// Unwrap gives the last attempt's error, and that of the context if it ended
// during a pause.
func (e *RetryError) Unwrap() []error {
	if e.ended != nil {
		return []error{e.Err, e.ended}
	}
	return []error{e.Err}
}

// Outcome is what is known of all attempts together: NotApplied only if each
// of them said so of itself.
func (e *RetryError) Outcome() outcome.Outcome { return e.outcome }

// invalid gathers what is wrong with a Config, all at once.
type invalid struct {
	kind  string
	wrong []error
}

func (v *invalid) add(field, format string, args ...any) {
	v.wrong = append(v.wrong, fmt.Errorf("redstart/resilience: %s: %s %s", v.kind, field, fmt.Sprintf(format, args...)))
}

func (v *invalid) err() error { return errors.Join(v.wrong...) }

// orDefault is v, or def where v is zero.
func orDefault[T int | float64 | time.Duration](v, def T) T {
	if v == 0 {
		return def
	}
	return v
}
