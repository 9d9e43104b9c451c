package cache

import (
	"context"
	"time"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/internal/entry"
	"github.com/redstart-go/redstart/internal/flight"
	"github.com/redstart-go/redstart/internal/frame"
	"github.com/redstart-go/redstart/internal/lease"
	"github.com/redstart-go/redstart/internal/source"
)

// flight is a claim of a key and a load, or the waiting for whoever does both.
type (
	flights[K comparable, V any]   = flight.Flights[subject[K, V], ending[V]]
	oneFlight[K comparable, V any] = flight.Flight[subject[K, V], ending[V]]
	group[K comparable, V any]     = flight.Group[subject[K, V], ending[V]]
	seat[K comparable, V any]      = flight.Seat[subject[K, V], ending[V]]
)

// subject is what a flight is about.
type subject[K comparable, V any] struct {
	id    K
	seen  entry.Entry[V] // what the first caller saw at the key
	alone bool           // a refresh: nobody waits
}

// ending is how a flight ended.
type ending[V any] struct {
	again             bool   // everyone looks again
	tagged, disturbed bool   // it carries tags; one of them was invalidated meanwhile
	asOf              int    // valid for those aboard before this command was sent
	raw               []byte // the entry, which every caller decodes for himself
	direct            bool   // not to be cached: every caller loads for himself
	value             *V     // but the first, who has this
	away              error  // the server cannot serve
	err               error  // for all who waited
}

// board takes a caller on the key's flight, the first to start one. ok is
// false when he must look again; with an error, because his patience, if it is
// not zero, has ended, and the flight goes on without him.
func (c *Cache[K, V]) board(ctx context.Context, k string, id K, seen *entry.Entry[V], patience time.Duration) (v V, ok bool, err error) {
	s := c.flights.Board(ctx, k, subject[K, V]{id: id, seen: *seen})
	if s.Joined {
		c.stats.joined.Add(1)
	} else if err := c.client.Go(func(closing context.Context) { c.fly(closing, s.Flight) }); err != nil {
		s.Cancel()
		s.Land(ending[V]{err: err})
	}
	switch s.Ride(ctx, patience) {
	case flight.Landed:
		return c.leave(ctx, s)
	case flight.Alighted:
		return v, true, c.failRead("get", k, ctx.Err())
	case flight.Impatient:
		return v, false, errSoft
	default:
		return v, false, nil
	}
}

// leave gives a caller his part of how the flight ended.
func (c *Cache[K, V]) leave(ctx context.Context, s seat[K, V]) (v V, ok bool, err error) {
	end := s.End()
	if p, ok := end.err.(*source.Panic); ok { //nolint:errorlint // set by this package, never wrapped
		if !s.Joined {
			panic(p)
		}
		return v, true, c.failRead("load", s.Key, ErrPanic)
	}
	switch {
	case end.err != nil:
		c.stats.loadErrors.Add(1)
		return v, true, c.failRead("load", s.Key, end.err)
	case end.away != nil:
		v, err = c.duringOutage(ctx, s.Key, s.On.id, end.away)
		return v, true, err
	case end.value != nil && !s.Joined:
		return *end.value, true, nil
	case end.direct:
		v, err = c.direct(ctx, s.Key, s.On.id)
		return v, true, err
	case end.again || s.Number >= end.asOf:
		return v, false, nil
	}
	switch e, verdict := c.form.Judge(end.raw, true); verdict {
	case entry.Hit:
		return e.Value, true, nil
	case entry.Absent:
		return v, true, ErrNotFound
	case entry.Failed:
		c.stats.loadErrors.Add(1)
		return v, true, c.failRead("get", s.Key, ErrLoad)
	default:
		return v, false, nil
	}
}

// fly claims the key and loads, or waits until someone else's load is done.
func (c *Cache[K, V]) fly(closing context.Context, f *oneFlight[K, V]) {
	defer context.AfterFunc(closing, f.Cancel)()
	defer f.Cancel()
	l := c.newLease(f)
	if f.On.seen.Frame.Head != nil && f.On.seen.Replace == nil && c.rideOn(f) {
		return
	}
	f.On.seen.Frame = frame.Frame{} // nothing old is left
	uncertain := ""                 // the mark of a claim whose reply was lost
	for replace := f.On.seen.Replace; ; {
		n := f.Send()
		taken, current, err := c.claim(f, l, replace)
		if err != nil && uncertain == "" && f.Ctx.Err() == nil && redstart.OutcomeOf(err) == redstart.Unknown {
			uncertain, l = l.Mark, c.newLease(f)
			continue
		}
		if err != nil {
			f.Land(c.stopped(f, err))
			return
		}
		if !taken && uncertain != "" && string(current) == uncertain {
			taken, l.Mark = true, uncertain // it had come through
		}
		if taken && f.Ctx.Err() != nil { // nobody waits any more
			f.Land(ending[V]{err: redstart.ErrClosed})
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
			f.Land(c.found(&e, n))
			return
		case entry.Bypass:
			f.Land(ending[V]{direct: true})
			return
		case entry.Leased:
			replace = nil
			c.stats.waits.Add(1)
			err := c.waker.Wait(f.Ctx, f.Key, func(now []byte) bool { return string(now) == string(current) })
			if err != nil {
				f.Land(c.stopped(f, err))
				return
			}
		default:
			replace = e.Replace
		}
	}
}

// found is the end of a flight whose claim, command n, found an entry. What has
// metadata may be past its time, or dead: that is for a read to say.
func (c *Cache[K, V]) found(e *entry.Entry[V], n int) ending[V] {
	return ending[V]{again: e.Frame.HasMeta || c.cfg.Clearable || c.cfg.Tags != nil, asOf: n, raw: e.Raw}
}

func (c *Cache[K, V]) newLease(f *oneFlight[K, V]) lease.Lease {
	return lease.Lease{Client: c.client, Key: f.Key, Mark: frame.Make(frame.Lease, 0, 0, lease.Token()), Time: c.cfg.Lease}
}

// claim asks for the key, whatever has become of those who wait: a claim that
// runs without anybody hearing its answer would hold up everyone else.
func (c *Cache[K, V]) claim(f *oneFlight[K, V], l lease.Lease, replace []byte) (taken bool, current []byte, err error) {
	ctx, cancel := c.parting(f)
	defer cancel()
	if replace != nil {
		return l.Replace(ctx, replace)
	}
	return l.Take(ctx)
}

// stopped is the end of a flight whose command failed.
func (c *Cache[K, V]) stopped(f *oneFlight[K, V], err error) ending[V] {
	switch {
	case f.Ctx.Err() != nil: // given up, or the client is being closed
		return ending[V]{err: redstart.ErrClosed}
	case redstart.Away(err):
		return ending[V]{away: err}
	case entry.Moving(err): // who looks again waits until it is there
		return ending[V]{again: true}
	default:
		return ending[V]{err: err}
	}
}
