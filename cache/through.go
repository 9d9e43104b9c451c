package cache

import (
	"context"
	"errors"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/internal/entry"
	"github.com/redstart-go/redstart/internal/lease"
	"github.com/redstart-go/redstart/internal/source"
	"github.com/redstart-go/redstart/internal/stamp"
)

// Put writes a value through: Config.Store takes it to the source, then it is
// cached. See [Cache.Write] for what is promised.
func (c *Cache[K, V]) Put(ctx context.Context, id K, v V) error {
	if c.cfg.Store == nil {
		return c.failRead("put", "", errNoStore)
	}
	return c.through(ctx, "put", id, func(ctx context.Context) (Result[V], error) { return Result[V]{Value: v}, c.cfg.Store(ctx, id, v) })
}

// Write runs write, which changes the source, and caches what it says that now
// holds there: a value, with ErrNotFound that there is none, or with
// Result.Forget nothing (write-around: the entry is gone).
//
// When it has returned nil, no read that begins later, in any process, gives
// anything older. Until then readers have the old value, if there was one, and
// load for themselves without caching if there was none: the order is to keep
// the key from being filled, to write to the source, and to cache the new value
// only if the key was kept so all the while. Of writes of one id that overlap
// nobody knows which the source took last: they leave nothing cached.
//
// When write refuses (an error of the kind of [ErrRefused], or one that
// Config.Refused knows), the cache is as it was before. After any other error the
// source may have taken the write, and the entry is gone. A process that dies in
// Write leaves the old value for Config.Lease at most.
//
// write has until Config.StoreTimeout. Two scripts and two round trips beside it,
// three with tags. Write does not call write while the server is away
// (redstart.ErrUnavailable, Outcome NotApplied). Any error after write has
// succeeded has Outcome Applied; the old value may then stand for another
// Config.Lease.
func (c *Cache[K, V]) Write(ctx context.Context, id K, write func(ctx context.Context) (Result[V], error)) error {
	return c.through(ctx, "write", id, write)
}

func (c *Cache[K, V]) through(ctx context.Context, op string, id K, write func(ctx context.Context) (Result[V], error)) error {
	k, err := c.key.One(id)
	if err != nil {
		return c.failRead(op, "", err)
	}
	w := writer[K, V]{Cache: c, block: lease.Block{Client: c.client, Key: k, Token: lease.Token(), Time: c.cfg.Lease}}
	pauses := c.pauses()
	err = pauses.Insist(ctx, func() error {
		w.stamps, err = c.terms.Sample(ctx, id, c.cfg.ResultTags)
		return err
	})
	if err != nil {
		return c.failRead(op, k, err)
	}
	if err = pauses.Insist(ctx, func() error { return w.block.Take(ctx) }); err != nil {
		w.giveUp(ctx)
		return c.failRead(op, k, err)
	}
	return c.failThrough(op, k, w.run(ctx, write))
}

// writer is one write through the cache.
type writer[K comparable, V any] struct {
	*Cache[K, V]
	block  lease.Block
	stamps stamp.Sampling
}

// ended is what became of a write.
type ended struct {
	source, cache error
	refused       bool // the source changed nothing
}

// run writes, and ends the block in any case.
func (w *writer[K, V]) run(ctx context.Context, write func(ctx context.Context) (Result[V], error)) (end ended) {
	stop := w.block.Keep()
	done := false
	defer func() {
		if !done { // a panic, which goes on
			stop()
			_ = w.finish(ctx, w.block.Drop)
		}
	}()
	writes, cancel := context.WithTimeoutCause(ctx, w.cfg.StoreTimeout, ErrStoreTimeout)
	r, err := write(writes)
	if err != nil && writes.Err() != nil {
		err = errors.Join(context.Cause(writes), err)
	}
	cancel()
	stop()
	done = true
	switch absent := errors.Is(err, ErrNotFound); {
	case (err == nil || absent) && !r.Forget && !r.NotModified:
		end.cache = w.finish(ctx, func(ctx context.Context) error { return w.put(ctx, &r, absent) })
	case err != nil && !absent && w.refused(err):
		end = ended{err, w.finish(ctx, w.block.Restore), true}
	default:
		if !absent {
			end.source = err
		}
		end.cache = w.finish(ctx, w.block.Drop)
	}
	return end
}

// put caches what now holds. What cannot be cached is served by loads.
func (w *writer[K, V]) put(ctx context.Context, r *Result[V], absent bool) error {
	loaded := source.Loaded[V]{Result: source.Result[V](*r)}
	if absent {
		loaded.Err = ErrNotFound
	}
	raw, ttl, quiet, err := w.terms.Product(ctx, &loaded, nil, &w.stamps)
	if err != nil || !quiet {
		if errors.Is(err, ErrTooLarge) {
			w.stats.tooLarge.Add(1)
		}
		if err != nil {
			w.notify("not stored", 0, err)
		}
		return w.block.Drop(ctx)
	}
	kept, err := w.block.Put(ctx, string(raw), ttl)
	if err == nil && !kept {
		w.stats.refused.Add(1)
		w.notify("refused", 0, nil)
	}
	return err
}

// finish ends the block, whatever has become of the caller, and tells the near
// tier.
func (w *writer[K, V]) finish(ctx context.Context, end func(context.Context) error) error {
	own, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*w.client.Config().Timeout)
	defer cancel()
	err := w.pauses().Insist(own, func() error { return end(own) })
	w.wrote(own, w.block.Key, err)
	return err
}

// giveUp takes back a block of which nobody knows whether it is there. If that
// fails it runs out.
func (w *writer[K, V]) giveUp(ctx context.Context) {
	client := w.client
	_ = client.Go(func(context.Context) {
		own, cancel := context.WithTimeout(context.WithoutCancel(ctx), client.Config().Timeout)
		defer cancel()
		_ = w.block.Restore(own)
	})
}

// refused reports whether the source surely has not taken the write.
func (w *writer[K, V]) refused(err error) bool {
	return errors.Is(err, ErrRefused) || w.cfg.Refused != nil && w.cfg.Refused(err) || entry.Refused(err)
}

// failThrough is what the caller of a write is told.
func (c *Cache[K, V]) failThrough(op, k string, end ended) error {
	switch {
	case end.source == nil && end.cache == nil:
		return nil
	case end.source == nil:
		return withOutcome(c.fail(op, k, errors.Join(errStands, end.cache)), redstart.Applied)
	case end.refused:
		return withOutcome(c.fail(op, k, errors.Join(end.source, end.cache)), redstart.NotApplied)
	default:
		return withOutcome(c.fail(op, k, errors.Join(end.source, end.cache)), redstart.Unknown)
	}
}
