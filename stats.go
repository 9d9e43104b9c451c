package redstart

import (
	"maps"
	"slices"
	"time"

	"github.com/redstart-go/redstart/resilience"
)

// Stats is what a client has done, and how full it is, at this moment.
type Stats struct {
	Open     int    // connections, of every kind
	Connects uint64 // connections made so far
	Lost     uint64 // of these, those that have ended

	// Busy is how many callers have a connection of their own, for a blocking
	// command or Dedicated; Waiting how many want one and must wait, since
	// Config.BlockingPool of a single server are out. In a cluster every node
	// has a pool of that size, and Waiting is zero.
	Busy, Waiting int

	Held    int    // callers who wait for the return of a server that is away
	Retries uint64 // commands sent again

	ReplicaReads uint64 // reads sent to a replica
	Referred     uint64 // reads that replicas were allowed and the primary had to answer
	Hedges       uint64 // reads that were asked twice

	Nodes []NodeStats // that have a connection or are away, by address
}

// NodeStats is the state of the connections to a node.
type NodeStats struct {
	Addr    string           // host:port or a socket's path
	Open    int              // connections
	Breaker resilience.State // Open while the node is known to be away: only probes are sent to it
	Away    time.Duration    // for how long it has been
	Cause   error            // why; its text holds no key or value
}

// Stats tells how full the client is and what it has done. It sends nothing and
// takes some microseconds. Of a wrapped client only Held and Retries mean
// anything.
func (c *Client) Stats() Stats {
	core := c.core
	nodes := map[string]*NodeStats{}
	node := func(addr string) *NodeStats {
		if nodes[addr] == nil {
			nodes[addr] = &NodeStats{Addr: addr}
		}
		return nodes[addr]
	}
	s := Stats{
		Connects: core.conns.Made(),
		Lost:     core.conns.Lost(),
		Held:     int(core.waiting.Load()),
		Retries:  core.retries.Load(),
		Busy:     int(core.lent.Load()),
	}
	if !core.cluster() {
		pool := core.cfg.BlockingPool
		s.Busy, s.Waiting = min(s.Busy, pool), max(s.Busy-pool, 0)
	}
	core.conns.Addrs(func(addr string) {
		s.Open++
		node(addr).Open++
	})
	if away := core.away.Load(); away != nil {
		for what, o := range *away {
			addr := what.addr
			if addr == "" {
				addr = core.dialer.Target.Addr
			}
			n := node(addr)
			if what.writes && n.Cause != nil { // it is away as a whole
				continue
			}
			n.Breaker, n.Away, n.Cause = resilience.Open, time.Since(o.since), o.cause
		}
	}
	if r := core.replicas.Load(); r != nil {
		s.ReplicaReads, s.Referred, s.Hedges = r.Reads.Load(), r.Referred.Load(), r.Hedge.Stats().Hedges
	}
	for _, addr := range slices.Sorted(maps.Keys(nodes)) {
		s.Nodes = append(s.Nodes, *nodes[addr])
	}
	return s
}
