package cache

import (
	"context"
	"errors"
	"time"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/internal/floor"
	"github.com/redstart-go/redstart/internal/frame"
	"github.com/redstart-go/redstart/internal/ids"
	"github.com/redstart-go/redstart/internal/lease"
	"github.com/redstart-go/redstart/internal/source"
	"github.com/redstart-go/redstart/internal/stamp"
)

// sourceOf is where the values come from.
func sourceOf[K comparable, V any](cfg *Config[K, V], floors *floor.Floors, keys ids.Keys[K], ended func(time.Duration, error)) *source.Source[K, V] {
	s := &source.Source[K, V]{Many: cfg.LoadMany, Ended: ended}
	switch {
	case cfg.LoadResult != nil:
		s.Load = func(ctx context.Context, id K, old source.Old[V]) (source.Result[V], error) {
			ask := func(ctx context.Context, floor uint64) (source.Result[V], error) {
				old.Floor = floor
				r, err := cfg.LoadResult(ctx, id, Old[V](old))
				return source.Result[V](r), err
			}
			k, err := keys.One(id)
			if floors.For <= 0 || err != nil {
				return ask(ctx, 0)
			}
			return floor.Load(ctx, floors, k, ask)
		}
	case cfg.Load != nil:
		s.Load = func(ctx context.Context, id K, _ source.Old[V]) (r source.Result[V], err error) {
			r.Value, err = cfg.Load(ctx, id)
			return r, err
		}
	}
	return s
}

// load holds the claim while Load runs, and leaves what it gives at the key.
// claim is the number of the command that took it.
func (c *Cache[K, V]) load(f *oneFlight[K, V], h holder, claim int) {
	f.Claimed(claim)
	ctx, cancel := context.WithTimeoutCause(f.Ctx, c.cfg.LoadTimeout, ErrLoadTimeout)
	defer cancel()
	lost, rest := h.Keep()
	defer rest()
	s, err := c.sampleFor(f)
	if err != nil {
		f.Land(c.stopped(f, err))
		c.leaveFailure(f, h, redstart.ErrClosed)
		return
	}
	var old source.Old[V]
	if c.cfg.LoadResult != nil {
		old = c.form.Old(&f.On.seen, &s)
	}
	ended := c.source.Start(ctx, f.On.id, old, nil)
	for {
		select {
		case r := <-ended:
			c.loadEnded(f, h, claim, r, &s)
			return
		case <-lost:
			lost = nil
			c.stats.leasesLost.Add(1)
			f.LeaseLost()
		case <-ctx.Done():
			select {
			case r := <-ended: // it made it after all
				c.loadEnded(f, h, claim, r, &s)
				return
			default:
			}
			err := context.Cause(ctx)
			if f.Ctx.Err() != nil {
				err = redstart.ErrClosed
			}
			f.Land(ending[V]{err: err})
			c.leaveFailure(f, h, err)
			return
		}
	}
}

func (c *Cache[K, V]) sampleFor(f *oneFlight[K, V]) (stamp.Sampling, error) {
	ctx, cancel := c.parting(f)
	defer cancel()
	return c.terms.Sample(ctx, f.On.id, true)
}

// loadEnded publishes what Load gave, and lands the flight.
func (c *Cache[K, V]) loadEnded(f *oneFlight[K, V], h holder, claim int, r source.Loaded[V], s *stamp.Sampling) {
	end, ttl := c.ended(f, claim, &r, s)
	switch {
	case end.disturbed:
		c.left(f.Key, &end, 0, false, nil)
		f.Land(end)
		c.leaveFailure(f, h, redstart.ErrClosed)
	case end.err != nil:
		f.Land(end)
		c.leaveFailure(f, h, end.err)
	default:
		n := f.Send()
		ctx, cancel := c.parting(f)
		defer cancel()
		kept, err := h.Put(ctx, string(end.raw), ttl)
		c.left(f.Key, &end, n, kept, err)
		f.Land(end)
	}
}

// ended is how the flight ends by what a load gave; end.raw is to be left at the
// key for ttl.
func (c *Cache[K, V]) ended(f *oneFlight[K, V], claim int, r *source.Loaded[V], s *stamp.Sampling) (end ending[V], ttl time.Duration) {
	end.asOf = claim
	err := r.Err
	if err == nil || errors.Is(err, ErrNotFound) {
		ttl, err = c.product(f, r, s, &end)
		end.tagged = len(s.Tags) > 0
	}
	switch {
	case err == nil:
		return end, ttl
	case f.Ctx.Err() != nil: // it was told to stop
		err = redstart.ErrClosed
	case errors.Is(err, errDisturbed): // those who asked before may have it, it is not for later
		end.disturbed = true
		return end, 0
	}
	return ending[V]{err: err}, 0
}

// product makes the entry of what Load gave, in end, and says how long it is
// to stand.
func (c *Cache[K, V]) product(f *oneFlight[K, V], r *source.Loaded[V], s *stamp.Sampling, end *ending[V]) (ttl time.Duration, err error) {
	var quiet bool
	end.raw, ttl, quiet, err = c.terms.Product(f.Ctx, r, &f.On.seen.Frame, s)
	if errors.Is(err, ErrTooLarge) {
		c.stats.tooLarge.Add(1)
		c.notify("too large", 0, ErrTooLarge)
		end.direct, end.value = true, &r.Result.Value
		end.raw, ttl, err = []byte(frame.Make(frame.Bypass, 0, 0, "")), c.cfg.ErrorTTL, nil
	}
	if err == nil && !quiet {
		err = errDisturbed
	}
	return ttl, err
}

// left notes what became of an entry that command n was to leave at the key. The
// stamps of tags were taken when the load began: who came aboard later looks for
// himself whether they still stand.
func (c *Cache[K, V]) left(k string, end *ending[V], n int, kept bool, err error) {
	if c.near != nil { // an older value may still stand there
		c.near.Forget(k)
	}
	switch {
	case kept && end.tagged:
	case kept:
		end.asOf = n
	case err == nil:
		c.stats.refused.Add(1)
		c.notify("refused", 0, nil)
	default:
		c.notify("not stored", 0, err)
	}
}

// leaveFailure tells those who wait in other processes that there is nothing
// to wait for. A load that was given up leaves the key free instead.
func (c *Cache[K, V]) leaveFailure(f *oneFlight[K, V], h holder, err error) {
	ctx, cancel := c.parting(f)
	defer cancel()
	switch h := h.(type) {
	case lease.Ride:
		err = c.rest(ctx, h, err)
	case lease.Lease:
		if errors.Is(err, redstart.ErrClosed) {
			_, err = h.Release(ctx)
		} else {
			_, err = h.Put(ctx, frame.Make(frame.Failed, 0, 0, ""), c.cfg.ErrorTTL)
		}
	}
	if err != nil {
		c.notify("not stored", 0, err)
	}
}

// parting is the context of a command that must be heard to its end although
// nobody may wait any more. A silent connection is found out within Timeout, so
// that the second half is there for another one.
func (c *Cache[K, V]) parting(f *oneFlight[K, V]) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(f.Ctx), 2*c.client.Config().Timeout)
}
