package redstart

import (
	"context"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"

	"github.com/redstart-go/redstart/internal/topology"
)

// link is what is known of the server behind a client: while it is away
// nothing is sent to it but one probe at a time, and callers wait for its
// return or fail at once, as they chose.
type link struct {
	away atomic.Pointer[outage]
}

// outage is a time in which the server cannot serve.
type outage struct {
	cause  error         // what the first caller saw
	writes bool          // it serves reads: only writes are concerned
	back   chan struct{} // closed at its return
	since  time.Time
}

// concerns reports whether the outage keeps the command from being sent.
func (o *outage) concerns(cmd *rueidis.Completed) bool {
	return o != nil && (!o.writes || !cmd.IsReadOnly())
}

// wentAway begins an outage, unless one is known, and starts the probe that
// ends it.
func (c *core) wentAway(cause error, writes bool) *outage {
	o := &outage{cause: cause, writes: writes, back: make(chan struct{}), since: time.Now()}
	for { // until one is known, be it this
		if known := c.link.away.Load(); known != nil {
			return known
		}
		if c.link.away.CompareAndSwap(nil, o) {
			break
		}
	}
	call(c.cfg.Events.Away, AwayInfo{Cause: cause})
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ctx.Err() == nil {
		c.background.Go(func() { c.probeUntilBack(c.ctx, o) })
	}
	return o
}

// The first probe comes soon, the next ones at growing distances up to the
// bound.
const (
	probeFirst = 10 * time.Millisecond
	probeMost  = 250 * time.Millisecond
)

func (c *core) probeUntilBack(ctx context.Context, o *outage) {
	for pause := probeFirst; ; pause = min(pause*3/2, probeMost) {
		timer := time.NewTimer(pause*3/4 + rand.N(pause/2))
		select {
		case <-timer.C:
		case <-c.poke:
			timer.Stop()
		case <-ctx.Done():
			timer.Stop()
			return
		}
		if c.probe(ctx, o) == nil {
			if o.writes { // the old connections may lead to a replica
				c.cutAll()
			}
			c.link.away.Store(nil)
			close(o.back)
			call(c.cfg.Events.Back, BackInfo{After: time.Since(o.since)})
			return
		}
	}
}

// probeNow brings the next probe of an outage forward.
func (c *core) probeNow() {
	select {
	case c.poke <- struct{}{}:
	default:
	}
}

// probe asks over a connection of its own whether the server serves again: for
// writes it must be a primary.
func (c *core) probe(ctx context.Context, o *outage) error {
	ctx, cancel := context.WithTimeout(ctx, 2*c.cfg.DialTimeout)
	defer cancel()
	if !o.writes {
		_, err := c.dialer.ask(ctx, "PING")
		return err
	}
	if c.blind() {
		return errBlind
	}
	answer, err := c.dialer.ask(ctx, "ROLE")
	if err == nil && !topology.IsPrimary(answer) {
		err = ErrReadOnly
	}
	return err
}

// cutAll ends every connection, so that the next ones lead to whoever is the
// primary now.
func (c *core) cutAll() {
	c.conns.Range(func(conn, _ any) bool {
		_ = conn.(*trackedConn).Close()
		return true
	})
}

// cluster reports whether the client serves a cluster, whose nodes come and go
// one by one.
func (c *core) cluster() bool { return c.dialer != nil && len(c.dialer.target.cluster) > 0 }
