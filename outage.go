package redstart

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"time"

	"github.com/redis/rueidis"

	"github.com/redstart-go/redstart/internal/topology"
)

// concern is what an outage keeps from being served.
type concern struct {
	addr   string // of a cluster's node; "" for the server behind any other client
	writes bool   // it serves reads: only writes are concerned
}

// outage is a time in which a node cannot serve, or not serve writes. While it is known nothing is
// sent to that node but one probe at a time, and callers wait for its return or
// fail at once, as they chose. It is the client's breaker, one for each node: it
// opens at the first failure after which nothing can have run, and closes as
// soon as the probe succeeds.
type outage struct {
	concern
	cause error         // what the first caller saw
	back  chan struct{} // closed at its return
	since time.Time
}

// outageOf gives the outage of the node that a command would be sent to; nil
// for none.
func (c *core) outageOf(cmd *rueidis.Completed) *outage {
	away := c.away.Load()
	if away == nil {
		return nil
	}
	return c.outageAt(*away, cmd.Slot(), cmd.IsReadOnly())
}

func (c *core) outageAt(away map[concern]*outage, slot uint16, readOnly bool) *outage {
	addr, ok := c.nodeOf(slot)
	if !ok {
		return nil
	}
	if o := away[concern{addr, false}]; o != nil || readOnly {
		return o
	}
	return away[concern{addr, true}]
}

// nodeOf gives the node that serves a slot, "" outside of a cluster; false
// while that is not known.
func (c *core) nodeOf(slot uint16) (addr string, ok bool) {
	if !c.cluster() {
		return "", true
	}
	if t := c.slots.Load(); t != nil {
		m, ok := t.Of(slot)
		return m.Primary, ok
	}
	return "", false
}

// wentAway begins an outage of a node, unless one is known, and starts the
// probe that ends it.
func (c *core) wentAway(addr string, cause error, writes bool) *outage {
	c.mu.Lock()
	what := concern{addr, writes}
	known := map[concern]*outage{}
	if away := c.away.Load(); away != nil {
		known = *away
	}
	if o := known[what]; o != nil {
		c.mu.Unlock()
		return o
	}
	o := &outage{concern: what, cause: cause, back: make(chan struct{}), since: time.Now()}
	known = maps.Clone(known)
	known[what] = o
	c.away.Store(&known)
	if c.ctx.Err() == nil {
		c.background.Go(func() { c.probeUntilBack(c.ctx, o) })
	}
	c.mu.Unlock()
	call(c.cfg.Events.Away, AwayInfo{Addr: addr, Cause: cause})
	return o
}

// cameBack ends an outage.
func (c *core) cameBack(o *outage) {
	c.mu.Lock()
	known := maps.Clone(*c.away.Load())
	delete(known, o.concern)
	if len(known) == 0 {
		c.away.Store(nil)
	} else {
		c.away.Store(&known)
	}
	c.mu.Unlock()
	close(o.back)
	call(c.cfg.Events.Back, BackInfo{Addr: o.addr, After: time.Since(o.since)})
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
				c.conns.Cut(o.addr)
			}
			c.cameBack(o)
			return
		}
		if o.addr != "" && c.left(ctx, o) {
			c.cameBack(o)
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

// probe asks over a connection of its own whether the node serves again: for
// writes it must be a primary.
func (c *core) probe(ctx context.Context, o *outage) error {
	ctx, cancel := context.WithTimeout(ctx, 2*c.cfg.DialTimeout)
	defer cancel()
	if !o.writes {
		_, err := c.dialer.Ask(ctx, o.addr, "PING")
		return err
	}
	if c.blind() {
		return errBlind
	}
	answer, err := c.dialer.Ask(ctx, o.addr, "ROLE")
	if err == nil && !topology.IsPrimary(answer) {
		err = ErrReadOnly
	}
	return err
}

// forgetAfter is how long a node is probed to which no slot leads any more.
const forgetAfter = 10 * time.Second

// left looks for the slots of a cluster's node that is away, which may have got
// a new primary meanwhile, and reports whether the node has none and need not
// be waited for.
func (c *core) left(ctx context.Context, o *outage) bool {
	t, err := c.askSlots(ctx, o.addr)
	return err == nil && !t.Has(o.addr) && time.Since(o.since) > forgetAfter
}

// knownAway is why a cluster's node is not dialled.
func (c *core) knownAway(addr string) error {
	away := c.away.Load()
	if away == nil {
		return nil
	}
	if o := (*away)[concern{addr, false}]; o != nil && isDial(o.cause) {
		return errKnownAway
	}
	return nil
}

var errKnownAway = errors.New("the node is away, as a connection attempt a moment ago has shown")
