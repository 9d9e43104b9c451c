package resilience

import "context"

// Policy runs a function under some rule: it may refuse to, or run it more
// than once, one run after the other and in the caller's goroutine.
// [*Retry], [*Breaker] and [*Bulkhead] are policies; they nest.
type Policy interface {
	Do(ctx context.Context, fn func(context.Context) error) error
}

// Get runs a function that gives a value under a policy. With an error the
// value means nothing. Cost: one closure more than p.Do.
func Get[T any](ctx context.Context, p Policy, fn func(context.Context) (T, error)) (T, error) {
	var v T
	err := p.Do(ctx, func(ctx context.Context) error {
		var err error
		v, err = fn(ctx)
		return err
	})
	return v, err
}
