package cache

import (
	"context"
	"time"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/internal/entry"
	"github.com/redstart-go/redstart/internal/frame"
	"github.com/redstart-go/redstart/internal/lease"
	"github.com/redstart-go/redstart/internal/source"
)

// flight is what the callers of one process that miss the same key do
// together: claim the key and load, or wait for whoever did.
//
// Every command whose reply can decide what the callers get is counted before
// it is sent. A caller may take what a command decided only if he came aboard
// before it was sent; else an invalidation might have returned to him after
// the command ran and before he asked. The others look again.
type flight[K comparable, V any] struct {
	key    string
	id     K
	seen   entry.Entry[V]  // what the first caller saw at the key
	alone  bool            // a refresh: nobody waits
	ctx    context.Context // the first caller's values; ends when nobody waits for another's load any more
	cancel context.CancelFunc

	// Guarded by the cache's mutex.
	sent   int  // deciding commands sent
	aboard int  // callers who wait
	claim  int  // the command that took the lease, once this process loads: the load goes on although nobody waits
	goesOn bool // although nobody waits
	doomed bool
	doom   chan struct{} // closed once the lease is known to be lost

	done chan struct{} // closed once end is set
	end  ending[V]
}

// ending is how a flight ended.
type ending[V any] struct {
	again  bool   // everyone looks again
	asOf   int    // valid for those aboard before this command was sent
	raw    []byte // the entry, which every caller decodes for himself
	direct bool   // not to be cached: every caller loads for himself
	value  *V     // but the first, who has this
	away   error  // the server cannot serve
	err    error  // for all who waited
}

func newFlight[K comparable, V any](ctx context.Context, k string, id K, seen entry.Entry[V]) *flight[K, V] {
	f := &flight[K, V]{key: k, id: id, seen: seen, done: make(chan struct{}), doom: make(chan struct{})}
	f.ctx, f.cancel = context.WithCancel(context.WithoutCancel(ctx))
	return f
}

// board takes a caller on the key's flight, the first to start one. ok is
// false when he must look again; with an error, because his patience, if it is
// not zero, has ended, and the flight goes on without him.
func (c *Cache[K, V]) board(ctx context.Context, k string, id K, seen *entry.Entry[V], patience time.Duration) (v V, ok bool, err error) {
	c.mu.Lock()
	f, joined := c.flights[k]
	if !joined {
		f = newFlight(ctx, k, id, *seen)
		c.flights[k] = f
	}
	seat := f.sent
	f.aboard++
	c.mu.Unlock()
	if joined {
		c.stats.joined.Add(1)
	} else if err := c.client.Go(func(closing context.Context) { c.fly(closing, f) }); err != nil {
		f.cancel()
		c.land(f, ending[V]{err: err})
	}
	doom := f.doom
	var soft <-chan time.Time
	if patience > 0 {
		timer := time.NewTimer(patience)
		defer timer.Stop()
		soft = timer.C
	}
	for {
		select {
		case <-f.done:
			return c.leave(ctx, f, seat, joined)
		case <-ctx.Done():
			c.getOff(f, false)
			return v, true, c.failRead("get", k, ctx.Err())
		case <-soft:
			c.getOff(f, true)
			return v, false, errSoft
		case <-doom:
			if doom = nil; seat >= f.claim { // claim was set before doom was closed
				c.getOff(f, false)
				return v, false, nil
			}
		}
	}
}

// leave gives a caller his part of how the flight ended.
func (c *Cache[K, V]) leave(ctx context.Context, f *flight[K, V], seat int, joined bool) (v V, ok bool, err error) {
	end := &f.end
	if p, ok := end.err.(*source.Panic); ok { //nolint:errorlint // set by this package, never wrapped
		if !joined {
			panic(p)
		}
		return v, true, c.failRead("load", f.key, ErrPanic)
	}
	switch {
	case end.err != nil:
		c.stats.loadErrors.Add(1)
		return v, true, c.failRead("load", f.key, end.err)
	case end.away != nil:
		v, err = c.duringOutage(ctx, f.key, f.id, end.away)
		return v, true, err
	case end.value != nil && !joined:
		return *end.value, true, nil
	case end.direct:
		v, err = c.direct(ctx, f.key, f.id)
		return v, true, err
	case end.again || seat >= end.asOf:
		return v, false, nil
	}
	switch e, verdict := c.form.Judge(end.raw, true); verdict {
	case entry.Hit:
		return e.Value, true, nil
	case entry.Absent:
		return v, true, ErrNotFound
	case entry.Failed:
		c.stats.loadErrors.Add(1)
		return v, true, c.failRead("get", f.key, ErrLoad)
	default:
		return v, false, nil
	}
}

// getOff lets a caller go who does not wait for the end. When he was the last
// and nobody here loads, the flight is given up, unless it is to go on.
func (c *Cache[K, V]) getOff(f *flight[K, V], goOn bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f.aboard--
	f.goesOn = f.goesOn || goOn
	if f.aboard == 0 && f.claim == 0 && !f.goesOn {
		c.drop(f)
		f.cancel()
	}
}

// send counts a deciding command and gives its number.
func (c *Cache[K, V]) send(f *flight[K, V]) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	f.sent++
	return f.sent
}

// land ends the flight for everyone aboard.
func (c *Cache[K, V]) land(f *flight[K, V], end ending[V]) {
	c.mu.Lock()
	c.drop(f)
	c.mu.Unlock()
	f.end = end
	close(f.done)
}

// drop lets nobody else aboard. The mutex is held.
func (c *Cache[K, V]) drop(f *flight[K, V]) {
	if c.flights[f.key] == f {
		delete(c.flights, f.key)
	}
}

// claimed notes that this process loads, under the lease that command n took.
func (c *Cache[K, V]) claimed(f *flight[K, V], n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f.claim = n
}

// leaseLost lets nobody else aboard and sends away those whom the load under
// way can no longer serve. The mutex is held.
func (c *Cache[K, V]) leaseLost(f *flight[K, V]) {
	c.drop(f)
	if f.claim > 0 && !f.doomed {
		f.doomed = true
		close(f.doom)
	}
}

// fly claims the key and loads, or waits until someone else's load is done.
func (c *Cache[K, V]) fly(closing context.Context, f *flight[K, V]) {
	defer context.AfterFunc(closing, f.cancel)()
	defer f.cancel()
	l := c.newLease(f)
	if f.seen.Frame.Head != nil && f.seen.Replace == nil && c.rideOn(f) {
		return
	}
	f.seen.Frame = frame.Frame{} // nothing old is left
	uncertain := ""              // the mark of a claim whose reply was lost
	for replace := f.seen.Replace; ; {
		n := c.send(f)
		taken, current, err := c.claim(f, l, replace)
		if err != nil && uncertain == "" && f.ctx.Err() == nil && redstart.OutcomeOf(err) == redstart.Unknown {
			uncertain, l = l.Mark, c.newLease(f)
			continue
		}
		if err != nil {
			c.land(f, c.stopped(f, err))
			return
		}
		if !taken && uncertain != "" && string(current) == uncertain {
			taken, l.Mark = true, uncertain // it had come through
		}
		if taken && f.ctx.Err() != nil { // nobody waits any more
			c.land(f, ending[V]{err: redstart.ErrClosed})
			c.leaveFailure(f, l, redstart.ErrClosed)
			return
		}
		if taken {
			c.load(f, l, n)
			return
		}
		if len(current) == 0 {
			replace = nil // gone meanwhile
			continue
		}
		switch e, verdict := c.form.Judge(current, true); verdict {
		case entry.Hit, entry.Absent, entry.Failed:
			// What has metadata may be past its time, or dead: that is for a read to say.
			c.land(f, ending[V]{again: e.Frame.HasMeta || c.cfg.Clearable || c.cfg.Tags != nil, asOf: n, raw: current})
			return
		case entry.Bypass:
			c.land(f, ending[V]{direct: true})
			return
		case entry.Leased:
			replace = nil
			c.stats.waits.Add(1)
			err := c.waker.Wait(f.ctx, f.key, func(now []byte) bool { return string(now) == string(current) })
			if err != nil {
				c.land(f, c.stopped(f, err))
				return
			}
		default:
			replace = e.Replace
		}
	}
}

func (c *Cache[K, V]) newLease(f *flight[K, V]) lease.Lease {
	return lease.Lease{Client: c.client, Key: f.key, Mark: frame.Make(frame.Lease, 0, 0, lease.Token()), Time: c.cfg.Lease}
}

// claim asks for the key, whatever has become of those who wait: a claim that
// runs without anybody hearing its answer would hold up everyone else.
func (c *Cache[K, V]) claim(f *flight[K, V], l lease.Lease, replace []byte) (taken bool, current []byte, err error) {
	ctx, cancel := c.parting(f)
	defer cancel()
	if replace != nil {
		return l.Replace(ctx, replace)
	}
	return l.Take(ctx)
}

// stopped is the end of a flight whose command failed.
func (c *Cache[K, V]) stopped(f *flight[K, V], err error) ending[V] {
	switch {
	case f.ctx.Err() != nil: // given up, or the client is being closed
		return ending[V]{err: redstart.ErrClosed}
	case redstart.Away(err):
		return ending[V]{away: err}
	default:
		return ending[V]{err: err}
	}
}
