package redstart

import (
	"context"
	"errors"
	"sync/atomic"
	"time"
)

// ReadFrom says which nodes may answer commands that only read. The zero value
// is the primary, which alone never answers with something old.
//
// Replicas are found by asking: the primary for those that follow it, a cluster
// for its slots. One that does not answer, or has lost its primary, is not
// read; where no replica will do, the primary is. Commands without a key in a
// cluster, blocking ones, scripts, cursors (SCAN and its kind, which another
// node does not know) and questions about the node itself (PUBSUB, MEMORY)
// always go to the primary. In a cluster it is also asked for what a replica
// lacks, at the cost of a round trip, and for what joins several keys (SINTER,
// EXISTS of two): of a slot on its way replicas do not know which keys have
// gone ahead.
type ReadFrom struct {
	// Replicas lets replicas answer. While the primary cannot be reached they
	// answer even if they have lost it too, unless MaxLag or the context asks
	// for more. Default: the primary alone.
	Replicas bool

	// MaxLag bounds how old an answer may be: it holds everything that the
	// primary had acknowledged MaxLag before the call began. It is proven
	// anew for every call, from offsets that the nodes are asked for every
	// quarter of it (10 to 100 ms), on this process's own clock. Below some 300 ms little can be
	// proven, and the primary answers. At most a minute. Default: no bound.
	MaxLag time.Duration

	// Choose says which of several replicas is asked. Default: RoundRobin.
	Choose Choice

	// Hedge asks a second node where the first takes longer than 95 of 100
	// reads do, and takes the first answer; at most one read in twenty is
	// asked twice, and never a write. It costs two microseconds and some
	// allocations a read. Default: off.
	Hedge bool
}

// Choice is which of several replicas is asked.
type Choice uint8

const (
	// RoundRobin: one after the other.
	RoundRobin Choice = iota
	// Nearest: the one that has answered fastest of late.
	Nearest
	// SameZone: those in Config.Zone in turn, others if there is none.
	SameZone
)

const maxLag = time.Minute

func (p ReadFrom) check(zone string) error {
	switch {
	case p.MaxLag < 0:
		return errors.New("field MaxLag is negative; leave it out for no bound")
	case p.MaxLag > maxLag:
		return errors.New("field MaxLag is above a minute, further than offsets are kept; leave it out for no bound")
	case p.Choose > SameZone:
		return errors.New("field Choose is neither RoundRobin, Nearest nor SameZone")
	case p.Choose == SameZone && zone == "":
		return errors.New("field Choose is SameZone, and Config.Zone says in which this process runs")
	case !p.Replicas && p != ReadFrom{}:
		return errors.New("a field is set that needs Replicas")
	}
	return nil
}

// ReadingFrom gives the same client with another choice of the nodes that
// answer reads. It costs nothing: take one for a call, or keep it. The error
// names a field that is invalid.
func (c *Client) ReadingFrom(p ReadFrom) (*Client, error) {
	if err := p.check(c.core.cfg.Zone); err != nil {
		return nil, &Error{Op: "redstart: read from", Template: "ReadFrom", Outcome: NotApplied, Err: err}
	}
	return &Client{inner: c.inner, core: c.core, hasty: c.hasty, from: p}, nil
}

// OnPrimary gives the same client with all its reads on the primary.
func (c *Client) OnPrimary() *Client {
	return &Client{inner: c.inner, core: c.core, hasty: c.hasty}
}

// ReadYourWrites gives a context under which reads by any client of this
// process see the writes that were made under it: a replica is read only once
// it is proven to hold them, some 100 to 300 ms later (after a write by DoStream
// never). Begin one for each user, session or request. It does not outlast a failover that loses the write
// itself, and it tells other processes nothing.
func ReadYourWrites(ctx context.Context) context.Context {
	if tokenOf(ctx) != nil {
		return ctx
	}
	return context.WithValue(ctx, tokenKey{}, &writeToken{born: time.Now()})
}

// writeToken is when the last write under a context ended.
type writeToken struct {
	born time.Time
	last atomic.Int64 // since born; 0: none yet
}

type tokenKey struct{}

func tokenOf(ctx context.Context) *writeToken {
	t, _ := ctx.Value(tokenKey{}).(*writeToken)
	return t
}

// wrote notes a write that has just ended, well or not, whoever it was sent
// through: another client may read.
func wrote(ctx context.Context) {
	if t := tokenOf(ctx); t != nil {
		t.note(time.Since(t.born))
	}
}

// streamed notes a write of which nobody hears when it ends: no replica is
// known to hold it ever.
func streamed(ctx context.Context) {
	if t := tokenOf(ctx); t != nil {
		t.note(never)
	}
}

const never = 100 * 365 * 24 * time.Hour

func (t *writeToken) note(at time.Duration) {
	for {
		last := t.last.Load()
		if int64(at) <= last || t.last.CompareAndSwap(last, int64(at)) {
			return
		}
	}
}

// written gives the time of the last write; false for none.
func (t *writeToken) written() (time.Time, bool) {
	last := t.last.Load()
	return t.born.Add(time.Duration(last)), last > 0
}
