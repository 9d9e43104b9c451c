package resilience

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redstart-go/redstart/internal/outcome"
)

// reply is an error that says what the call did, as those of Redstart do.
type reply struct {
	outcome outcome.Outcome
	after   time.Duration
}

func (r reply) Error() string             { return "reply: " + r.outcome.String() }
func (r reply) Outcome() outcome.Outcome  { return r.outcome }
func (r reply) RetryAfter() time.Duration { return r.after }

var refused = reply{outcome: outcome.NotApplied}

// pgxLike says it as the errors of pgx do.
type pgxLike bool

func (pgxLike) Error() string       { return "pgx-like" }
func (p pgxLike) SafeToRetry() bool { return bool(p) }

func TestDefaultRetryable(t *testing.T) {
	for _, test := range []struct {
		err  error
		want bool
	}{
		{refused, true},
		{fmt.Errorf("wrapped: %w", refused), true},
		{reply{outcome: outcome.Unknown}, false},
		{reply{outcome: outcome.Applied}, false},
		{pgxLike(true), true},
		{pgxLike(false), false},
		{errors.New("EOF"), false},
		{context.DeadlineExceeded, false},
		{&refusal{err: context.Canceled}, false},
		{&refusal{err: ErrFull}, true},
	} {
		if got := safe(test.err); got != test.want {
			t.Errorf("safe(%v) = %v, want %v", test.err, got, test.want)
		}
	}
}

func TestConfigsReportEveryInvalidField(t *testing.T) {
	errOf := func(_ any, err error) error { return err }
	for _, test := range []struct {
		err    error
		fields []string
	}{
		{errOf(NewRetry(RetryConfig{Attempts: -1, Base: -1})), []string{"Attempts"}},
		{errOf(NewBudget(BudgetConfig{Ratio: 1e6, Burst: -1})), []string{"Ratio", "Burst"}},
		{errOf(NewBreaker(BreakerConfig{
			Failures: 1 << 20, Rate: 1.5, Window: time.Microsecond, MinCalls: -1,
			Cooldown: -1, Probes: -1, ProbeTimeout: -1,
		})), []string{"Failures", "Rate", "Window", "MinCalls", "Cooldown", "Probes", "ProbeTimeout"}},
		{errOf(NewBulkhead(BulkheadConfig{})), []string{"Limit"}},
		{errOf(NewHedge(HedgeConfig{Delay: -1, Quantile: 1, Ratio: 2})), []string{"Delay", "Quantile", "Ratio"}},
	} {
		if test.err == nil {
			t.Errorf("no error for %v", test.fields)
			continue
		}
		for _, field := range test.fields {
			if !strings.Contains(test.err.Error(), ": "+field+" ") {
				t.Errorf("%q does not name %s", test.err, field)
			}
		}
		if got := strings.Count(test.err.Error(), "\n") + 1; got != len(test.fields) {
			t.Errorf("%d complaints, want %d: %v", got, len(test.fields), test.err)
		}
	}
	for _, err := range []error{
		errOf(NewRetry(RetryConfig{Attempts: -1, Base: -1, Elapsed: time.Second})),
		errOf(NewRetry(RetryConfig{Attempts: -1, Cap: -1})),
		errOf(NewBudget(BudgetConfig{Ratio: -1})),
		errOf(NewBreaker(BreakerConfig{Failures: -1, Rate: -1})),
		errOf(NewHedge(HedgeConfig{Ratio: -1})),
	} {
		if err != nil {
			t.Errorf("refused: %v", err)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	for _, test := range []struct {
		err  error
		want time.Duration
	}{
		{fmt.Errorf("x: %w", reply{after: time.Second}), time.Second},
		{reply{after: -time.Second}, 0},
		{errors.New("x"), 0},
		{nil, 0},
	} {
		if got := RetryAfter(test.err); got != test.want {
			t.Errorf("RetryAfter(%v) = %v, want %v", test.err, got, test.want)
		}
	}
}
