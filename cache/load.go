package cache

import (
	"context"
	"errors"
	"runtime/debug"
	"time"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/internal/frame"
	"github.com/redstart-go/redstart/internal/lease"
)

// loaded is what a call of Load came to.
type loaded[V any] struct {
	value V
	err   error
	took  time.Duration
}

// start calls Load on a goroutine of its own, which may outlive whoever waits:
// a Load that ignores its context cannot be stopped. after runs when it ends.
func (c *Cache[K, V]) start(ctx context.Context, id K, after func()) <-chan loaded[V] {
	c.stats.loads.Add(1)
	result := make(chan loaded[V], 1)
	go func() {
		r := loaded[V]{err: ErrPanic} // what stays if Load ends the goroutine
		begun := time.Now()
		defer func() {
			if p := recover(); p != nil {
				r.err = &loadPanic{value: p, stack: debug.Stack()}
			}
			r.took = time.Since(begun)
			if after != nil {
				after()
			}
			result <- r
			c.loadedEvent(r)
		}()
		if r.value, r.err = c.cfg.Load(ctx, id); r.err != nil && !errors.Is(r.err, ErrNotFound) {
			r.err = &sourceError{r.err}
		}
	}()
	return result
}

func (c *Cache[K, V]) loadedEvent(r loaded[V]) {
	err := r.err
	if errors.Is(err, ErrNotFound) {
		err = nil
	}
	c.notify("load", r.took, err)
}

// load holds the lease while Load runs, and leaves what it gives at the key.
// claim is the number of the command that took the lease.
func (c *Cache[K, V]) load(f *flight[K, V], l lease.Lease, claim int) {
	c.claimed(f, claim)
	ctx, cancel := context.WithTimeoutCause(f.ctx, c.cfg.LoadTimeout, ErrLoadTimeout)
	defer cancel()
	lost, rest := l.Keep()
	defer rest()
	result := c.start(ctx, f.id, nil)
	for {
		select {
		case r := <-result:
			c.loadEnded(f, l, claim, r)
			return
		case <-lost:
			lost = nil
			c.stats.leasesLost.Add(1)
			c.mu.Lock()
			c.leaseLost(f)
			c.mu.Unlock()
		case <-ctx.Done():
			select {
			case r := <-result: // it made it after all
				c.loadEnded(f, l, claim, r)
				return
			default:
			}
			err := context.Cause(ctx)
			if f.ctx.Err() != nil {
				err = redstart.ErrClosed
			}
			c.land(f, ending[V]{err: err})
			c.leaveFailure(f, l, err)
			return
		}
	}
}

// loadEnded publishes what Load gave, and lands the flight.
func (c *Cache[K, V]) loadEnded(f *flight[K, V], l lease.Lease, claim int, r loaded[V]) {
	var raw []byte
	ttl := c.cfg.NegativeTTL
	end := ending[V]{asOf: claim}
	switch {
	case r.err == nil:
		var err error
		raw, err = c.storable(r.value)
		if errors.Is(err, ErrTooLarge) {
			c.stats.tooLarge.Add(1)
			c.notify("too large", 0, ErrTooLarge)
			raw, ttl, end.direct = []byte(frame.Make(frame.Bypass, 0, 0, "")), c.cfg.ErrorTTL, true
			end.value = &r.value
			break
		}
		if err != nil {
			c.land(f, ending[V]{err: err})
			c.leaveFailure(f, l, err)
			return
		}
		ttl = c.jittered(c.cfg.TTL)
	case errors.Is(r.err, ErrNotFound):
		raw = []byte(frame.Make(frame.Absent, 0, 0, ""))
	default:
		err := r.err
		if f.ctx.Err() != nil { // it was told to stop
			err = redstart.ErrClosed
		}
		c.land(f, ending[V]{err: err})
		c.leaveFailure(f, l, err)
		return
	}
	n := c.send(f)
	ctx, cancel := c.parting(f)
	defer cancel()
	kept, err := l.Put(ctx, string(raw), ttl)
	switch {
	case kept:
		end.asOf = n
	case err == nil:
		c.stats.refused.Add(1)
		c.notify("refused", 0, nil)
	default:
		c.notify("not stored", 0, err)
	}
	end.raw = raw
	c.land(f, end)
}

// leaveFailure tells those who wait in other processes that there is nothing
// to wait for. A load that was given up leaves the key free instead.
func (c *Cache[K, V]) leaveFailure(f *flight[K, V], l lease.Lease, err error) {
	ctx, cancel := c.parting(f)
	defer cancel()
	if errors.Is(err, redstart.ErrClosed) {
		_, err = l.Release(ctx)
	} else {
		_, err = l.Put(ctx, frame.Make(frame.Failed, 0, 0, ""), c.cfg.ErrorTTL)
	}
	if err != nil {
		c.notify("not stored", 0, err)
	}
}

// parting is the context of a command that must be heard to its end although
// nobody may wait any more. A silent connection is found out within Timeout, so
// that the second half is there for another one.
func (c *Cache[K, V]) parting(f *flight[K, V]) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(f.ctx), 2*c.client.Config().Timeout)
}

// storable encodes what Load gave, and makes sure that it can be read again:
// what the first caller gets is what the next ones will.
func (c *Cache[K, V]) storable(v V) ([]byte, error) {
	raw, err := c.encode(v)
	if err == nil {
		if _, err = c.decode(raw[frame.Size:]); err == nil {
			return raw, nil
		}
	}
	if errors.Is(err, ErrTooLarge) {
		return nil, err
	}
	return nil, &codecError{err}
}

// codecError: Load gave a value that the codec cannot write, or not read again.
type codecError struct{ err error }

func (e *codecError) Error() string {
	return "the codec cannot store the value; give Config.Codec another one"
}
func (e *codecError) Unwrap() error             { return e.err }
func (e *codecError) Outcome() redstart.Outcome { return redstart.NotApplied }
