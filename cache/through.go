package cache

import (
	"context"
	"errors"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/internal/entry"
	"github.com/redstart-go/redstart/internal/lease"
	"github.com/redstart-go/redstart/internal/source"
	"github.com/redstart-go/redstart/internal/stamp"
	"github.com/redstart-go/redstart/internal/through"
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
// A process that cannot reach the server, or stands still, for longer than
// Config.Lease while it writes may have its write committed after the key could be
// filled again, and a value from before it then lasts for its TTL unless the
// process reaches the server once more. A StoreTimeout below Config.Lease rules
// out the first of the two.
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
	var stamps stamp.Sampling
	pauses := c.pauses()
	err = pauses.Insist(ctx, func() error {
		stamps, err = c.terms.Sample(ctx, id, c.cfg.ResultTags)
		return err
	})
	if err != nil {
		return c.failRead(op, k, err)
	}
	block := lease.Block{Client: c.client, Key: k, Token: lease.Token(), Time: c.cfg.Lease}
	if err = pauses.Insist(ctx, func() error { return block.Take(ctx) }); err != nil {
		c.giveUp(ctx, block)
		return c.failRead(op, k, err)
	}
	w := through.Write[K, V]{
		Terms: c.terms, Block: block, Stamps: &stamps,
		Timeout: c.cfg.StoreTimeout, TimedOut: ErrStoreTimeout, Parting: c.terms.Within,
		Refused: func(err error) bool {
			return errors.Is(err, ErrRefused) || c.cfg.Refused != nil && c.cfg.Refused(err) || entry.Refused(err)
		},
		Floors:   &c.floors,
		Wrote:    func(ctx context.Context, err error) { c.wrote(ctx, k, err) },
		Unstored: c.unstored,
	}
	return c.failThrough(op, k, w.Run(ctx, func(ctx context.Context) (source.Result[V], error) {
		r, err := write(ctx)
		return source.Result[V](r), err
	}))
}

// unstored counts what a write could not cache.
func (c *Cache[K, V]) unstored(err error) {
	if errors.Is(err, ErrTooLarge) {
		c.stats.tooLarge.Add(1)
	}
	if err == nil {
		c.stats.refused.Add(1)
		c.notify("refused", 0, nil)
		return
	}
	c.notify("not stored", 0, err)
}

// giveUp takes back a block of which nobody knows whether it is there. If that
// fails it runs out.
func (c *Cache[K, V]) giveUp(ctx context.Context, block lease.Block) {
	_ = c.client.Go(func(context.Context) {
		own, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.client.Config().Timeout)
		defer cancel()
		_ = block.Restore(own)
	})
}

// failThrough is what the caller of a write is told.
func (c *Cache[K, V]) failThrough(op, k string, end through.Ended) error {
	switch {
	case end.Source == nil && end.Cache == nil:
		return nil
	case end.Source == nil:
		return withOutcome(c.fail(op, k, errors.Join(errStands, end.Cache)), redstart.Applied)
	case end.Refused:
		return withOutcome(c.fail(op, k, errors.Join(end.Source, end.Cache)), redstart.NotApplied)
	default:
		return withOutcome(c.fail(op, k, errors.Join(end.Source, end.Cache)), redstart.Unknown)
	}
}
