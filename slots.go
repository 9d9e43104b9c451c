package redstart

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/redstart-go/redstart/internal/topology"
)

// slotTable is which node of a cluster serves which slot, as it was last told.
// The inner client has a table of its own; this one says whose outage concerns
// a command, and which replicas may be read.
type slotTable struct {
	*topology.Slots
	changed chan struct{} // closed once another table is there that differs
}

// cluster reports whether the client serves a cluster, whose nodes come and go
// one by one.
func (c *core) cluster() bool { return c.dialer != nil && c.dialer.Cluster() }

// askSlots asks the nodes of a cluster, one after the other and avoid last, who
// serves which slot.
func (c *core) askSlots(ctx context.Context, avoid string) (*topology.Slots, error) {
	known := slices.Clone(c.dialer.Target.Cluster)
	if t := c.slots.Load(); t != nil {
		for _, m := range t.Members {
			known = append(append(known, m.Primary), m.Replicas...)
		}
	}
	slices.Sort(known)
	known = slices.Compact(known)
	rand.Shuffle(len(known), func(i, j int) { known[i], known[j] = known[j], known[i] })
	if i := slices.Index(known, avoid); i >= 0 {
		last := len(known) - 1
		known[i], known[last] = known[last], known[i]
	}
	err := error(nil)
	for _, addr := range known[:min(len(known), maxAsked)] {
		var t *topology.Slots
		if t, err = c.askSlotsAt(ctx, addr); err == nil {
			c.learn(t)
			return t, nil
		}
	}
	return nil, err
}

// refreshSlots asks for the slots in the background, if nobody does so yet.
func (c *core) refreshSlots() {
	if c.asking.Swap(true) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ctx.Err() != nil {
		return
	}
	c.background.Go(func() {
		defer c.asking.Store(false)
		_, _ = c.askSlots(c.ctx, "") // the caller tries again, whatever comes of it
		sleep(c.ctx, askAgain)
	})
}

// askAgain is the least time between two such questions: in a cluster that is
// down every caller wants one.
const askAgain = 50 * time.Millisecond

// maxAsked bounds how many nodes are asked in a row: each may be silent.
const maxAsked = 4

func (c *core) askSlotsAt(ctx context.Context, addr string) (*topology.Slots, error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.DialTimeout)
	defer cancel()
	t, err := topology.AskSlots(ctx, c.dialer.Plain, c.dialer.Auth, addr)
	if err == nil && len(t.Members) == 0 {
		err = errors.New("the node knows of no slot")
	}
	return t, err
}

// learn takes a table in.
func (c *core) learn(t *topology.Slots) {
	c.mu.Lock()
	defer c.mu.Unlock()
	table := &slotTable{Slots: t, changed: make(chan struct{})}
	old := c.slots.Load()
	same := old != nil && old.SameAs(t)
	if same {
		table.changed = old.changed
	}
	c.slots.Store(table)
	if old != nil && !same {
		close(old.changed)
	}
}
