package cache

import (
	"context"
	"time"

	"github.com/redstart-go/redstart/internal/source"
	"github.com/redstart-go/redstart/internal/stamp"
)

// Set caches a value for Config.TTL, over whatever is there: a load under way
// will not overwrite it. One SET. It does not touch the source of truth; to
// change that, change it and then Invalidate. When Set fails, OutcomeOf says
// whether the entry may have changed; one that was given up (Outcome Unknown)
// may still run later, even after an Invalidate, so follow it with an
// Invalidate only once it has returned nil, or let the TTL end it.
//
// With tags their stamps are sampled first: one round trip more.
func (c *Cache[K, V]) Set(ctx context.Context, id K, v V) error {
	return c.set(ctx, id, Result[V]{Value: v})
}

// SetTTL is Set for a time of its own, which must be positive.
func (c *Cache[K, V]) SetTTL(ctx context.Context, id K, v V, ttl time.Duration) error {
	if ttl <= 0 {
		return c.failRead("set", "", errTTL)
	}
	return c.set(ctx, id, Result[V]{Value: v, TTL: ttl})
}

// SetResult is Set with what a LoadResult may say: a TTL and tags. NotModified
// is not for it.
func (c *Cache[K, V]) SetResult(ctx context.Context, id K, r Result[V]) error {
	if r.NotModified {
		return c.failRead("set", "", source.ErrNotModified)
	}
	return c.set(ctx, id, r)
}

func (c *Cache[K, V]) set(ctx context.Context, id K, r Result[V]) error {
	k, err := c.key.One(id)
	if err != nil {
		return c.failRead("set", "", err)
	}
	var s stamp.Sampling
	err = c.pauses().Insist(ctx, func() error {
		s, err = c.terms.Sample(ctx, id, false)
		return err
	})
	if err != nil {
		return c.failRead("set", k, err)
	}
	result := source.Result[V](r)
	raw, ttl, err := c.terms.Set(ctx, &result, &s)
	if err != nil {
		return c.failRead("set", k, err)
	}
	err = c.pauses().Insist(ctx, func() error {
		set := c.client.B().Set().Key(k).Value(string(raw))
		if ttl > 0 {
			return c.client.Do(ctx, set.PxMilliseconds(max(ttl.Milliseconds(), 1)).Build()).Error()
		}
		return c.client.Do(ctx, set.Build()).Error()
	})
	c.wrote(ctx, k, err)
	return c.fail("set", k, err)
}

// Invalidate removes what is cached for id: when it has returned nil, no Get
// that begins later, in any process, returns a value that was loaded before.
// A load under way is not stored. One DEL; so does anyone's DEL of the key.
// An error means that the old value may still be served: repeat it, or let
// the TTL end it.
func (c *Cache[K, V]) Invalidate(ctx context.Context, id K) error {
	k, err := c.key.One(id)
	if err != nil {
		return c.failRead("invalidate", "", err)
	}
	err = c.pauses().Insist(ctx, func() error {
		return c.client.Do(ctx, c.client.B().Del().Key(k).Build().ToRetryable()).Error()
	})
	c.wrote(ctx, k, err)
	return c.fail("invalidate", k, err)
}

// forget sends away who waits for a load in this process that will not be
// stored, because the key has been written or deleted, and lets nobody else
// wait for it.
func (c *Cache[K, V]) forget(k string) { c.flights.Forget(k) }
