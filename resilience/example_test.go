package resilience_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redstart-go/redstart/resilience"
)

// From the outside in: room, attempts, the breaker, and a deadline for each
// attempt.
func Example() {
	room, _ := resilience.NewBulkhead(resilience.BulkheadConfig{Limit: 20, Wait: 50 * time.Millisecond})
	retry, _ := resilience.NewRetry(resilience.RetryConfig{
		Base:      time.Millisecond,
		Retryable: func(error) bool { return true }, // the lookup changes nothing
	})
	breaker, _ := resilience.NewBreaker(resilience.BreakerConfig{Name: "prices"})

	attempts := 0
	lookup := func(context.Context) (int, error) {
		if attempts++; attempts < 3 {
			return 0, errors.New("connection reset")
		}
		return 42, nil
	}

	price, err := resilience.Get(context.Background(), room, func(ctx context.Context) (int, error) {
		return resilience.Get(ctx, retry, func(ctx context.Context) (int, error) {
			return resilience.Get(ctx, breaker, func(ctx context.Context) (int, error) {
				ctx, cancel := context.WithTimeout(ctx, time.Second)
				defer cancel()
				return lookup(ctx)
			})
		})
	})
	fmt.Println(price, err, "after", attempts, "attempts")
	// Output: 42 <nil> after 3 attempts
}

func ExampleRetry_Do() {
	retry, err := resilience.NewRetry(resilience.RetryConfig{
		Base:      time.Millisecond,
		Retryable: func(error) bool { return true },
	})
	if err != nil {
		panic(err)
	}
	err = retry.Do(context.Background(), func(context.Context) error { return errors.New("connection reset") })
	fmt.Println(err)

	var gaveUp *resilience.RetryError
	fmt.Println(errors.As(err, &gaveUp), gaveUp.Attempts, gaveUp.Stop == resilience.StopAttempts)
	// Output:
	// redstart/resilience: gave up after 3 attempts (the limit of attempts): connection reset
	// true 3 true
}

func ExampleRetry_Begin() {
	retry, err := resilience.NewRetry(resilience.RetryConfig{
		Base:      time.Millisecond,
		Retryable: func(error) bool { return true },
	})
	if err != nil {
		panic(err)
	}
	send := func(n int) error {
		if n < 2 {
			return errors.New("connection reset")
		}
		return nil
	}

	ctx := context.Background()
	n := 0
	for a := retry.Begin(); ; {
		n++
		err = send(n)
		if err == nil || !a.Again(ctx, err) {
			err = a.Err(err)
			break
		}
	}
	fmt.Println(n, err)
	// Output: 2 <nil>
}

func ExampleBreaker_Do() {
	breaker, err := resilience.NewBreaker(resilience.BreakerConfig{
		Name:     "mail",
		Failures: 2,
		OnChange: func(c resilience.Change) { fmt.Println(c.Name, "is", c.To) },
	})
	if err != nil {
		panic(err)
	}
	send := func(context.Context) error { return errors.New("refused") }
	for range 3 {
		err := breaker.Do(context.Background(), send)
		fmt.Println(errors.Is(err, resilience.ErrOpen), resilience.RetryAfter(err).Round(time.Minute))
	}
	// Output:
	// false 0s
	// mail is open
	// false 0s
	// true 1m0s
}

func ExampleBreaker_Allow() {
	breaker, err := resilience.NewBreaker(resilience.BreakerConfig{Rate: 0.5, MinCalls: 4})
	if err != nil {
		panic(err)
	}
	ctx := context.Background()
	for _, answer := range []error{nil, errors.New("reset"), nil, errors.New("reset")} {
		call, err := breaker.Allow()
		if err != nil {
			fmt.Println(err)
			continue
		}
		breaker.Record(ctx, call, answer)
		fmt.Println(breaker.State())
	}
	// Output:
	// closed
	// closed
	// closed
	// open
}

func ExampleBulkhead_Do() {
	room, err := resilience.NewBulkhead(resilience.BulkheadConfig{Limit: 1})
	if err != nil {
		panic(err)
	}
	ctx := context.Background()
	err = room.Do(ctx, func(ctx context.Context) error {
		return room.Do(ctx, func(context.Context) error { return nil }) // there is no room for a second
	})
	fmt.Println(errors.Is(err, resilience.ErrFull))
	fmt.Println(err)
	// Output:
	// true
	// redstart/resilience: the bulkhead is full (limit 1)
}

func ExampleHedged() {
	hedge, err := resilience.NewHedge(resilience.HedgeConfig{Delay: time.Millisecond, Ratio: 1})
	if err != nil {
		panic(err)
	}
	replicas := make(chan string, 2)
	replicas <- "slow"
	replicas <- "fast"
	read := func(ctx context.Context) (string, error) {
		replica := <-replicas
		if replica == "slow" {
			<-ctx.Done() // until it has lost
			return "", ctx.Err()
		}
		return "from the " + replica + " replica", nil
	}
	answer, err := resilience.Hedged(context.Background(), hedge, read)
	fmt.Println(answer, err)
	// Output: from the fast replica <nil>
}
