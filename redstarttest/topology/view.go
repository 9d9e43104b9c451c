package topology

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// member is a line of CLUSTER NODES.
type member struct {
	id, primary string // the latter of a replica
	flags       []string
	epoch       int
	linked      bool
	ranges      []string // "0-5460", "7"; not those on their way
}

func members(text string) ([]member, error) {
	var all []member
	for line := range strings.Lines(text) {
		w := strings.Fields(line)
		if len(w) == 0 {
			continue
		}
		if len(w) < 8 {
			return nil, fmt.Errorf("redstart/redstarttest/topology: not a line of CLUSTER NODES: %q", line)
		}
		epoch, err := strconv.Atoi(w[6])
		if err != nil {
			return nil, fmt.Errorf("redstart/redstarttest/topology: not a line of CLUSTER NODES: %q", line)
		}
		m := member{id: w[0], flags: strings.Split(w[2], ","), primary: w[3], epoch: epoch, linked: w[7] == "connected"}
		m.ranges = slices.DeleteFunc(w[8:], func(r string) bool { return strings.HasPrefix(r, "[") })
		all = append(all, m)
	}
	return all, nil
}

func (m member) is(flag string) bool { return slices.Contains(m.flags, flag) }

func (m member) has(slot int) bool {
	return slices.ContainsFunc(m.ranges, func(r string) bool {
		from, to, isRange := strings.Cut(r, "-")
		low, _ := strconv.Atoi(from)
		high, _ := strconv.Atoi(to)
		return slot == low || isRange && slot >= low && slot <= high
	})
}

// knows gives what a node knows of all, and of itself.
func (n *Node) knows(ctx context.Context) (all []member, self member, err error) {
	text, err := n.text(ctx, "CLUSTER", "NODES")
	if err != nil {
		return nil, member{}, err
	}
	if all, err = members(text); err != nil {
		return nil, member{}, err
	}
	i := slices.IndexFunc(all, func(m member) bool { return m.is("myself") })
	if i < 0 {
		return nil, member{}, fmt.Errorf("redstart/redstarttest/topology: %s does not know itself: %s", n.name, text)
	}
	return all, all[i], nil
}

// Settle returns when all is well, within ctx's deadline (60 s without one): every node answers and says
// cluster_state:ok, all have the same view of roles and slots, nobody is failing, and every replica is in sync with
// its primary. What was killed must have been restarted before, what was cut joined.
func (c *Cluster) Settle(ctx context.Context) error {
	ctx, cancel := deadline(ctx)
	defer cancel()
	return until(ctx, "the cluster does not settle", func() string {
		views := make([]string, len(c.nodes))
		lack := first(c.nodes, func(n *Node) string {
			view, lack := c.view(ctx, n)
			views[slices.Index(c.nodes, n)] = view
			return lack
		})
		for i, view := range views {
			if lack == "" && view != views[0] {
				lack = fmt.Sprintf("%s sees\n%s, but %s\n%s", c.nodes[0].name, views[0], c.nodes[i].name, view)
			}
		}
		return lack
	})
}

// view is what a node takes the cluster for, the same text for the same opinion, and what is not well with it.
func (c *Cluster) view(ctx context.Context, n *Node) (view, lack string) {
	info, err := n.text(ctx, "CLUSTER", "INFO")
	if err != nil {
		return "", err.Error()
	}
	all, self, err := n.knows(ctx)
	if err != nil {
		return "", err.Error()
	}
	var lines []string
	for _, m := range all {
		if m.is("fail") || m.is("fail?") || m.is("handshake") || m.is("noaddr") || !m.linked {
			lack = fmt.Sprintf("%s has not the best of %v", n.name, m)
		}
		lines = append(lines, fmt.Sprintf("%s replica=%t of %s: %v", m.id, m.is("slave"), m.primary, m.ranges))
	}
	slices.Sort(lines)
	view = strings.Join(lines, "\n")
	switch {
	case lack != "":
	case len(all) != len(c.nodes):
		lack = fmt.Sprintf("%s knows %d nodes of %d", n.name, len(all), len(c.nodes))
	case !strings.Contains(info, "cluster_state:ok\r\n"):
		lack = fmt.Sprintf("%s says %s", n.name, strings.Fields(info)[0])
	case self.is("slave"):
		primary := c.byID(self.primary)
		if primary == nil {
			return view, fmt.Sprintf("%s is a replica of the unknown %s", n.name, self.primary)
		}
		lack = n.inSync(ctx, primary.Announced())
	}
	return view, lack
}

func (c *Cluster) byID(id string) *Node {
	if i := slices.IndexFunc(c.nodes, func(n *Node) bool { return n.id == id }); i >= 0 {
		return c.nodes[i]
	}
	return nil
}

// selves asks all nodes but one, which may be nil, what they are. One that does not answer is left out.
func (c *Cluster) selves(ctx context.Context, but *Node) (map[*Node]member, error) {
	var mu sync.Mutex
	all := map[*Node]member{}
	err := each(c.nodes, func(_ int, n *Node) error {
		if n == but {
			return nil
		}
		_, self, err := n.knows(ctx)
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		all[n] = self
		return nil
	})
	return all, err
}

// owner is who claims the slot; of several the one with the highest epoch, by which they will settle it.
func owner(selves map[*Node]member, slot int) *Node {
	var best *Node
	for n, self := range selves {
		if self.is("master") && self.has(slot) && (best == nil || self.epoch > selves[best].epoch) {
			best = n
		}
	}
	return best
}

// PrimaryOf is the node that has the slot, in its own view: nodes that do not answer have none.
func (c *Cluster) PrimaryOf(ctx context.Context, slot int) (*Node, error) {
	selves, err := c.selves(ctx, nil)
	if n := owner(selves, slot); n != nil {
		return n, nil
	}
	return nil, errors.Join(fmt.Errorf("redstart/redstarttest/topology: no node that answers has slot %d", slot), err)
}

// ReplicasOf are the nodes that take the node for their primary.
func (c *Cluster) ReplicasOf(ctx context.Context, primary *Node) ([]*Node, error) {
	selves, err := c.selves(ctx, nil)
	if len(selves) == 0 {
		return nil, err
	}
	return slices.DeleteFunc(c.Nodes(), func(n *Node) bool { return selves[n].primary != primary.id }), nil
}

// WaitPromoted waits until another node than not has the slot in its own view, and gives it and the time when it
// first said so: right to about 10 ms, for the nodes are asked again and again.
func (c *Cluster) WaitPromoted(ctx context.Context, slot int, not *Node) (n *Node, at time.Time, err error) {
	ctx, cancel := deadline(ctx)
	defer cancel()
	err = until(ctx, fmt.Sprintf("nobody else takes slot %d", slot), func() string {
		selves, err := c.selves(ctx, not)
		if n, at = owner(selves, slot), time.Now(); n == nil {
			return fmt.Sprintf("%d of %d nodes answer (%v)", len(selves), len(c.nodes)-1, err)
		}
		return ""
	})
	return n, at, err
}

// Failover is how CLUSTER FAILOVER is to go about it.
type Failover string

// The ways of a failover. The first needs the primary, which it brings to a halt for so long that nothing is lost;
// the second does without the primary, the third without the other nodes' consent as well.
const (
	Gentle   Failover = ""
	Force    Failover = "FORCE"
	Takeover Failover = "TAKEOVER"
)

// FailoverTo makes a replica the primary, and returns when it says that it is one. The others hear of it soon after:
// see Settle.
func (c *Cluster) FailoverTo(ctx context.Context, replica *Node, how Failover) error {
	ctx, cancel := deadline(ctx)
	defer cancel()
	args := []string{"CLUSTER", "FAILOVER"}
	if how != Gentle {
		args = append(args, string(how))
	}
	if err := replica.order(ctx, args...); err != nil {
		return err
	}
	return until(ctx, replica.name+" does not become a primary", func() string { return replica.isPrimary(ctx) })
}
