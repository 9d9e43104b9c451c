package redstart

import (
	"context"
	"time"

	"github.com/redstart-go/redstart/internal/replicas"
	"github.com/redstart-go/redstart/internal/topology"
)

// Topology is which nodes there are, as they were seen within the last second.
type Topology struct {
	Shards []Shard // one, or those of a cluster in the order of their primaries' addresses
}

// Shard is a primary and its replicas: the nodes that have the same data.
type Shard struct {
	Slots    int // how many of a cluster's; 0 outside of one
	Primary  Node
	Replicas []Node
}

// Node is a server of a shard.
type Node struct {
	Addr string // host:port, as the deployment announces it, or a socket's path
	Up   bool   // it answers, in the role in which it is listed
	// Linked: the replica hears its primary and is not catching up from scratch.
	Linked bool
	// Behind is how many bytes of its primary's history of writes the replica
	// lacked when it was last asked; -1: not known.
	Behind int64
	// Lag bounds how old the replica's data is: it has everything that was
	// acknowledged this long ago. It includes the time between two questions.
	// Negative: not known.
	Lag  time.Duration
	RTT  time.Duration // of a question; 0: not known
	Zone string        // availability zone, where it is known
}

// Topology asks which nodes there are, their roles and how far the replicas
// are behind. The first call waits until each has been asked, at most
// Config.Timeout; from then on every node is asked once a second (ten times
// while replicas are read), and the call sends nothing. Where the deployment
// does not tell, as many managed endpoints do not, it is the primary alone. A
// wrapped client gives ErrUnsupported.
func (c *Client) Topology(ctx context.Context) (Topology, error) {
	if c.core.dialer == nil {
		return Topology{}, &Error{Op: "redstart: topology", Outcome: NotApplied, Err: ErrUnsupported}
	}
	if c.core.closed.Load() {
		return Topology{}, &Error{Op: "redstart: topology", Outcome: NotApplied, Err: ErrClosed}
	}
	if err := ctx.Err(); err != nil {
		return Topology{}, NewError("redstart: topology", "", "", err)
	}
	r := c.core.follows()
	r.Want(0)
	waiting, cancel := context.WithTimeout(ctx, c.core.cfg.Timeout)
	defer cancel()
	v, err := r.Settle(waiting)
	if v == nil && ctx.Err() == nil {
		return c.alone(), nil
	}
	if v == nil {
		return Topology{}, NewError("redstart: topology", "", "", err)
	}
	var t Topology
	for i := range v.Shards {
		s := Shard{Primary: c.seen(r, v.Shards[i].Primary), Slots: v.Slots(i)}
		for _, n := range v.Shards[i].Replicas {
			s.Replicas = append(s.Replicas, c.seen(r, n))
		}
		t.Shards = append(t.Shards, s)
	}
	return t, nil
}

// alone is all that is known of a server that does not tell.
func (c *Client) alone() Topology {
	return Topology{Shards: []Shard{{Primary: Node{Addr: c.core.dialer.Target.Addr, Behind: -1, Lag: -1}}}}
}

func (c *Client) seen(r *replicas.Set, n *topology.Node) Node {
	out := Node{Addr: n.Addr, Up: n.Serves(), Linked: n.Linked(), Behind: n.Behind(), Lag: -1, RTT: n.RTT(), Zone: r.ZoneOf(n)}
	if at := n.AsOf(); at > 0 {
		out.Lag = time.Duration(r.Now() - at)
	}
	return out
}
