package cost

import (
	"context"

	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/circuitbreaker"
	"github.com/failsafe-go/failsafe-go/retrypolicy"
	"github.com/sony/gobreaker/v2"

	"github.com/redstart-go/redstart/resilience"
)

// Contestants that are named in what is said about the figures.
const (
	Ours     = "redstart, retry and breaker"
	Sony     = "gobreaker"
	Failsafe = "failsafe-go, retry and breaker"
)

// succeed is the function around which they stand. It is a variable, so that no compiler looks through it.
var succeed = func(context.Context) error { return nil }

// Policies gives breakers and retries around a function that does nothing and succeeds, at their defaults; the first,
// the function alone, is the control.
func Policies(ctx context.Context) ([]Contestant, error) {
	retry, err := resilience.NewRetry(resilience.RetryConfig{})
	if err != nil {
		return nil, err
	}
	breaker, err := resilience.NewBreaker(resilience.BreakerConfig{})
	if err != nil {
		return nil, err
	}
	byRate, err := resilience.NewBreaker(resilience.BreakerConfig{Rate: 0.5})
	if err != nil {
		return nil, err
	}
	sony := gobreaker.NewCircuitBreaker[int](gobreaker.Settings{})
	safeBreaker := failsafe.With[any](circuitbreaker.NewWithDefaults[any]())
	safeRetry := failsafe.With[any](retrypolicy.NewWithDefaults[any]())
	safeBoth := failsafe.With[any](retrypolicy.NewWithDefaults[any](), circuitbreaker.NewWithDefaults[any]())
	under := func(do func(context.Context, func(context.Context) error) error) func(int) error {
		return Repeat(func() error { return do(ctx, succeed) })
	}
	plain := func() error { return succeed(ctx) }
	return []Contestant{
		{Name: "nothing", About: "the function alone: the control", Loop: Repeat(plain)},
		{Name: "redstart, breaker", Loop: under(breaker.Do)},
		{Name: "redstart, breaker by rate", About: "opens at half of the calls in a window as well", Loop: under(byRate.Do)},
		{Name: "redstart, retry", About: "with a budget", Loop: under(retry.Do)},
		{Name: Ours, About: "without closures, by rate", Loop: Repeat(func() error { return attempt(ctx, retry, byRate) })},
		{Name: Sony, About: "a breaker by failures in a row", Loop: Repeat(func() error {
			_, err := sony.Execute(func() (int, error) { return 0, succeed(ctx) })
			return err
		})},
		{Name: "failsafe-go, breaker", About: "it takes the call's context by WithContext, as do those below", Loop: Repeat(func() error { return safeBreaker.WithContext(ctx).Run(plain) })},
		{Name: "failsafe-go, retry", Loop: Repeat(func() error { return safeRetry.WithContext(ctx).Run(plain) })},
		{Name: Failsafe, Loop: Repeat(func() error { return safeBoth.WithContext(ctx).Run(plain) })},
	}, nil
}

// attempt is a call under both policies, as a hot path writes it.
func attempt(ctx context.Context, r *resilience.Retry, b *resilience.Breaker) error {
	for a := r.Begin(); ; {
		t, err := b.Allow()
		if err == nil {
			err = succeed(ctx)
			b.Record(ctx, t, err)
		}
		if err == nil || !a.Again(ctx, err) {
			return a.Err(err)
		}
	}
}
