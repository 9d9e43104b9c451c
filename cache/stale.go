package cache

import (
	"context"
	"errors"
	"time"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/internal/frame"
	"github.com/redstart-go/redstart/internal/lease"
)

// holder is a claim on a key: a lease in the place of a value, or one that
// rides on it.
type holder interface {
	Keep() (lost <-chan struct{}, stop func())
	Put(ctx context.Context, value string, ttl time.Duration) (bool, error)
}

// rideOn loads over a value that stays readable meanwhile, or waits for
// whoever does. False means that nothing stands there any more.
func (c *Cache[K, V]) rideOn(f *oneFlight[K, V]) bool {
	for {
		n := f.Send()
		r, seen, left, err := c.mount(f)
		switch {
		case err != nil:
			f.Land(c.stopped(f, err))
		case seen == lease.Taken && f.Ctx.Err() != nil: // nobody waits any more
			f.Land(ending[V]{err: redstart.ErrClosed})
			c.leaveFailure(f, r, redstart.ErrClosed)
		case seen == lease.Taken:
			if f.On.alone {
				c.stats.refreshes.Add(1)
			}
			c.load(f, r, n)
		case seen == lease.Nothing && !f.On.alone:
			return false
		case seen == lease.Busy && !f.On.alone:
			done, err := c.waitRide(f, left)
			switch {
			case err != nil:
				f.Land(c.stopped(f, err))
			case !done:
				continue // whoever loads may be dead
			default:
				f.Land(ending[V]{again: true})
			}
		default:
			f.Land(ending[V]{again: true})
		}
		return true
	}
}

// mount claims the value. A claim whose reply was lost may have come through:
// its mark tells.
func (c *Cache[K, V]) mount(f *oneFlight[K, V]) (r lease.Ride, seen lease.Seen, left time.Duration, err error) {
	ctx, cancel := c.parting(f)
	defer cancel()
	for range 2 {
		r = lease.Ride{Client: c.client, Key: f.Key, Mark: frame.Mark(lease.Token()), Time: c.cfg.Lease}
		seen, left, err = r.Take(ctx, f.On.seen.Frame.Head, f.On.seen.Stands)
		if err == nil || f.Ctx.Err() != nil || redstart.OutcomeOf(err) != redstart.Unknown {
			return r, seen, left, err
		}
		if held, _ := r.Extend(ctx); held {
			return r, lease.Taken, 0, nil
		}
	}
	return r, seen, left, err
}

// waitRide waits until another's load over the value has ended, or its claim
// has run out.
func (c *Cache[K, V]) waitRide(f *oneFlight[K, V], left time.Duration) (done bool, err error) {
	c.stats.waits.Add(1)
	ctx, cancel := context.WithTimeout(f.Ctx, left+left/8+time.Millisecond)
	defer cancel()
	err = c.waker.Wait(ctx, f.Key, func(now []byte) bool { return frame.RiddenBy(now, f.On.seen.Frame.Head) })
	if err != nil && f.Ctx.Err() == nil && ctx.Err() != nil {
		return false, nil
	}
	return err == nil, err
}

// rest ends a claim after a load that gave nothing: the value stays, with a
// pause in which nobody tries again.
func (c *Cache[K, V]) rest(ctx context.Context, r lease.Ride, err error) error {
	pause := c.cfg.ErrorTTL
	if errors.Is(err, redstart.ErrClosed) {
		pause = 0
	}
	_, err = r.Rest(ctx, frame.RestMark(), pause)
	return err
}

// settles reports whether a reader who saw an old value makes do with it after
// this error: a load's failure, and not his own end.
func settles(ctx context.Context, err error) bool {
	return ctx.Err() == nil && !errors.Is(err, ErrNotFound) && !errors.Is(err, redstart.ErrClosed)
}
