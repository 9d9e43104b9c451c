package cache

import (
	"context"
	"errors"

	"github.com/redstart-go/redstart/internal/source"
)

// job is a load whose value is not cached.
type job[K comparable] struct {
	id     K
	outage error // why the server cannot be used; nil when it could
}

// duringOutage loads without the server, if a place is free.
func (c *Cache[K, V]) duringOutage(ctx context.Context, k string, id K, cause error) (V, error) {
	return c.handOver(ctx, k, job[K]{id: id, outage: cause})
}

// direct loads a value that is not to be cached.
func (c *Cache[K, V]) direct(ctx context.Context, k string, id K) (V, error) {
	return c.handOver(ctx, k, job[K]{id: id})
}

// handOver runs a job in its turn: one at a time for a key in this process,
// and nobody gets what a load begun before he asked gives.
func (c *Cache[K, V]) handOver(ctx context.Context, k string, j job[K]) (v V, err error) {
	v, shared, err := c.directs.Do(ctx, k, j)
	if p := (*source.Panic)(nil); errors.As(err, &p) {
		if !shared {
			panic(p)
		}
		err = ErrPanic
	}
	if err == nil && shared {
		return c.form.Copy(v), nil
	}
	return v, c.directError(k, err)
}

// directError is what a caller gets to know of a load that was not cached.
func (c *Cache[K, V]) directError(k string, err error) error {
	_, rejected := err.(*source.Unavailable) //nolint:errorlint // this very load, not one that it made in turn
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrNotFound):
		return ErrNotFound
	case rejected:
		c.stats.rejected.Add(1)
	default:
		c.stats.loadErrors.Add(1)
	}
	return c.failRead("load", k, err)
}

// loadDirect is the call behind handOver.
func (c *Cache[K, V]) loadDirect(ctx context.Context, _ string, j job[K]) (v V, err error) {
	release, err := c.place(j.outage)
	if err != nil {
		return v, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, c.cfg.LoadTimeout, ErrLoadTimeout)
	defer cancel()
	select {
	case r := <-c.source.Start(ctx, j.id, source.Old[V]{}, release):
		return r.Result.Value, r.Err
	case <-ctx.Done():
		return v, context.Cause(ctx)
	}
}

// place is one of those for loads without the server, if cause says that it is
// away.
func (c *Cache[K, V]) place(cause error) (release func(), err error) {
	if cause == nil {
		return nil, nil
	}
	if release, err = c.outage.Take(cause); err == nil {
		c.stats.uncached.Add(1)
	}
	return release, err
}

// loadManyDirect is one LoadMany without the server, if a place is free.
func (c *Cache[K, V]) loadManyDirect(ctx context.Context, ids []K, cause error) []source.Loaded[V] {
	release, err := c.place(cause)
	if err != nil {
		return source.Fail[V](len(ids), err)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, c.cfg.LoadTimeout, ErrLoadTimeout)
	defer cancel()
	return source.Await(ctx, c.source.StartMany(ctx, ids, release), len(ids))
}
