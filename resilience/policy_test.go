package resilience

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

var (
	_ Policy = (*Retry)(nil)
	_ Policy = (*Breaker)(nil)
	_ Policy = (*Bulkhead)(nil)
)

// In the order of the docs a breaker that opens ends the retries, and one
// whose cool-down is short is waited for.
func TestNesting(t *testing.T) {
	for name, test := range map[string]struct {
		cooldown time.Duration
		calls    int
		stop     Stop
	}{
		"a long cool-down": {time.Minute, 2, StopHint},
		"a short one":      {time.Second, 3, StopAttempts},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				room := must(NewBulkhead(BulkheadConfig{Limit: 1}))
				retry := must(NewRetry(RetryConfig{Attempts: 4}))
				breaker := must(NewBreaker(BreakerConfig{Failures: 2, Cooldown: test.cooldown}))
				calls := 0
				err := room.Do(t.Context(), func(ctx context.Context) error {
					return retry.Do(ctx, func(ctx context.Context) error {
						return breaker.Do(ctx, func(context.Context) error {
							calls++
							return refused
						})
					})
				})
				var e *RetryError
				if !errors.As(err, &e) || e.Stop != test.stop || calls != test.calls || !notApplied(err) {
					t.Errorf("%d calls, %v", calls, err)
				}
			})
		})
	}
}

// The loser of a hedge is no failure to a breaker around it.
func TestBreakerAroundHedge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		breaker := must(NewBreaker(BreakerConfig{Failures: 1}))
		hedge := must(NewHedge(HedgeConfig{Delay: time.Millisecond, Ratio: 1}))
		r := &reads{took: []time.Duration{time.Hour, time.Millisecond}}
		v, err := Get(t.Context(), breaker, func(ctx context.Context) (int, error) { return Hedged(ctx, hedge, r.read) })
		synctest.Wait()
		if _, cut := r.counts(); v != 1 || err != nil || breaker.State() != Closed || cut != 1 {
			t.Errorf("%v, %v, %v, %d cut off", v, err, breaker.State(), cut)
		}
	})
}

func TestGet(t *testing.T) {
	b := must(NewBreaker(BreakerConfig{}))
	if v, err := Get(t.Context(), b, func(context.Context) (string, error) { return "v", nil }); v != "v" || err != nil {
		t.Errorf("got %q, %v", v, err)
	}
	b.Trip(nil)
	if v, err := Get(t.Context(), b, func(context.Context) (string, error) { return "v", nil }); v != "" || !errors.Is(err, ErrOpen) {
		t.Errorf("got %q, %v", v, err)
	}
}
