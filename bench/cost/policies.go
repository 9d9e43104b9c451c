package cost

import (
	"context"
	"runtime"
	"sync"
	"time"

	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/circuitbreaker"
	"github.com/failsafe-go/failsafe-go/retrypolicy"
	"github.com/sony/gobreaker/v2"

	"github.com/redstart-go/redstart/resilience"
)

// Policy is a contestant: a breaker, a retry or both around a function that does nothing and succeeds.
type Policy struct {
	Name, About string
	loop        func(n int) error // makes n calls
}

// Measure finds how many calls take so long, then times them, alone and on every core.
func (p Policy) Measure(long time.Duration) (c Call, err error) {
	n := 1
	for took := time.Duration(0); took < long/2; n *= 2 {
		begin := time.Now()
		if err := p.loop(n); err != nil {
			return c, err
		}
		took = time.Since(begin)
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	begin := time.Now()
	err = p.loop(n)
	c.Alone = float64(time.Since(begin).Nanoseconds()) / float64(n)
	runtime.ReadMemStats(&after)
	c.Allocs = float64((after.Mallocs - before.Mallocs) / uint64(n)) // what the runtime allocates by itself is no whole one a call
	if err != nil {
		return c, err
	}
	errs := make([]error, runtime.GOMAXPROCS(0))
	var every sync.WaitGroup
	begin = time.Now()
	for i := range errs {
		every.Go(func() { errs[i] = p.loop(n) })
	}
	every.Wait()
	c.Shared = float64(time.Since(begin).Nanoseconds()) / float64(n)
	for _, e := range errs {
		if e != nil {
			return c, e
		}
	}
	return c, nil
}

// Contestants that are named in what is said about the figures.
const (
	Ours     = "redstart, retry and breaker"
	Sony     = "gobreaker"
	Failsafe = "failsafe-go, retry and breaker"
)

// succeed is the function around which they stand. It is a variable, so that no compiler looks through it.
var succeed = func(context.Context) error { return nil }

// Policies gives all contestants at their defaults; the first is the control.
func Policies(ctx context.Context) ([]Policy, error) {
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
		return repeat(func() error { return do(ctx, succeed) })
	}
	plain := func() error { return succeed(ctx) }
	return []Policy{
		{Name: "nothing", About: "the function alone: the control", loop: repeat(plain)},
		{Name: "redstart, breaker", loop: under(breaker.Do)},
		{Name: "redstart, breaker by rate", About: "opens at half of the calls in a window as well", loop: under(byRate.Do)},
		{Name: "redstart, retry", About: "with a budget", loop: under(retry.Do)},
		{Name: Ours, About: "without closures, by rate", loop: repeat(func() error { return attempt(ctx, retry, byRate) })},
		{Name: Sony, About: "a breaker by failures in a row", loop: repeat(func() error {
			_, err := sony.Execute(func() (int, error) { return 0, succeed(ctx) })
			return err
		})},
		{Name: "failsafe-go, breaker", About: "it takes the call's context by WithContext, as do those below", loop: repeat(func() error { return safeBreaker.WithContext(ctx).Run(plain) })},
		{Name: "failsafe-go, retry", loop: repeat(func() error { return safeRetry.WithContext(ctx).Run(plain) })},
		{Name: Failsafe, loop: repeat(func() error { return safeBoth.WithContext(ctx).Run(plain) })},
	}, nil
}

func repeat(one func() error) func(n int) error {
	return func(n int) error {
		for range n {
			if err := one(); err != nil {
				return err
			}
		}
		return nil
	}
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
