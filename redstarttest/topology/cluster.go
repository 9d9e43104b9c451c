package topology

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redstart-go/redstart/redstarttest"
)

// slots is how many a cluster has.
const slots = 16384

// ClusterConfig of a private cluster. The zero value is three primaries with a replica each.
type ClusterConfig struct {
	// Path of the server program; "": the redis-server on PATH.
	Path string
	// Primaries is how many there are, with about as many slots each; 0: three. Fewer than three do not fail over.
	Primaries int
	// Replicas is how many each primary has; 0: one, negative: none.
	Replicas int
	// NodeTimeout is how long a node must be silent to count as failing, to the millisecond; 0: 1 s.
	NodeTimeout time.Duration
	// Password of all nodes; "": none.
	Password string
	// AOF is the fsync policy, as in redstarttest.ServerConfig.
	AOF string
	// Args are put behind the other arguments of each node: []string{"--cluster-require-full-coverage", "no"}.
	Args []string
	// Proxies puts one on every way between two nodes, and before each for the clients: see Links.
	Proxies bool
}

func (cfg *ClusterConfig) complete() error {
	var errs []error
	if cfg.Primaries == 0 {
		cfg.Primaries = 3
	}
	if cfg.Primaries < 0 || cfg.Primaries > 100 {
		errs = append(errs, fmt.Errorf("redstart/redstarttest/topology: ClusterConfig.Primaries is %d: want 1 to 100, or 0 for 3", cfg.Primaries))
	}
	if cfg.Replicas == 0 {
		cfg.Replicas = 1
	}
	cfg.Replicas = max(cfg.Replicas, 0)
	if cfg.NodeTimeout == 0 {
		cfg.NodeTimeout = time.Second
	}
	if cfg.NodeTimeout < time.Millisecond {
		errs = append(errs, fmt.Errorf("redstart/redstarttest/topology: ClusterConfig.NodeTimeout is %v: want 1ms or more, or 0 for 1s", cfg.NodeTimeout))
	}
	return errors.Join(errs...)
}

// Cluster is a Redis Cluster. Its methods are safe for concurrent use.
type Cluster struct {
	cfg   ClusterConfig
	nodes []*Node // the first primaries, then their replicas
	links *Links
}

// StartCluster starts a cluster and returns once it has formed (see Settle), within ctx's deadline (60 s without
// one); ctx plays no part afterwards. Close it when done.
func StartCluster(ctx context.Context, cfg ClusterConfig) (*Cluster, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	ctx, cancel := deadline(ctx)
	defer cancel()
	c := &Cluster{cfg: cfg}
	for i := range cfg.Primaries * (1 + cfg.Replicas) {
		c.nodes = append(c.nodes, &Node{name: fmt.Sprintf("node %d", i+1)})
	}
	if cfg.Proxies {
		var err error
		if c.links, err = link(c.nodes, true); err != nil {
			return nil, err
		}
	}
	err := c.form(ctx)
	if err != nil {
		err = fmt.Errorf("%w%s", err, logs(c.nodes))
		_ = c.Close() // the error is the one that tells why
		return nil, err
	}
	return c, nil
}

// RunCluster is StartCluster for a test: the cluster is closed when the test ends, and the ends of its logs are shown
// when the test has failed by then. Without a server program the test is skipped, as by redstarttest.Run.
func RunCluster(t redstarttest.TB, cfg ClusterConfig) *Cluster {
	t.Helper()
	return run(t, cfg.Path, func(ctx context.Context) (*Cluster, error) { return StartCluster(ctx, cfg) })
}

func (c *Cluster) form(ctx context.Context) error {
	if err := each(c.nodes, func(_ int, n *Node) error { return c.start(ctx, n) }); err != nil {
		return err
	}
	// Primaries get their slots and an epoch of their own before they know of each other, so there is nothing to
	// quarrel about; and each meets each, so nobody waits for hearsay.
	err := each(c.nodes, func(i int, n *Node) error {
		if i >= c.cfg.Primaries {
			return nil
		}
		from, to := i*slots/c.cfg.Primaries, (i+1)*slots/c.cfg.Primaries-1
		return errors.Join(
			n.order(ctx, "CLUSTER", "SET-CONFIG-EPOCH", strconv.Itoa(i+1)),
			n.order(ctx, "CLUSTER", "ADDSLOTSRANGE", strconv.Itoa(from), strconv.Itoa(to)))
	})
	if err != nil {
		return err
	}
	err = each(c.nodes, func(i int, n *Node) error {
		for _, other := range c.nodes[:i] {
			meet := []string{"CLUSTER", "MEET", "127.0.0.1", port(other.Announced())}
			if err := n.order(ctx, append(meet, port(other.busAddr()))...); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	err = each(c.nodes, func(i int, n *Node) error {
		if i < c.cfg.Primaries {
			return nil
		}
		primary := c.nodes[i%c.cfg.Primaries]
		return until(ctx, n.name+" does not become a replica", func() string { // not before they have met
			if err := n.order(ctx, "CLUSTER", "REPLICATE", primary.id); err != nil {
				return err.Error()
			}
			return ""
		})
	})
	if err != nil {
		return err
	}
	return c.Settle(ctx)
}

// start starts a node's process and leads its front and its bus there.
func (c *Cluster) start(ctx context.Context, n *Node) error {
	args := []string{
		"--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf",
		"--cluster-node-timeout", strconv.FormatInt(c.cfg.NodeTimeout.Milliseconds(), 10),
		"--cluster-announce-ip", "127.0.0.1", "--repl-diskless-sync-delay", "0",
	}
	if c.cfg.Password != "" {
		args = append(args, "--requirepass", c.cfg.Password, "--masterauth", c.cfg.Password)
	}
	if n.front != nil {
		args = append(args,
			"--cluster-announce-port", port(n.front.addr()), "--cluster-announce-bus-port", port(n.bus.listener.Addr().String()),
			"--bind-source-addr", c.links.sources[n])
	}
	err := n.start(ctx, redstarttest.ServerConfig{Path: c.cfg.Path, AOF: c.cfg.AOF, Args: append(args, c.cfg.Args...)})
	if err != nil {
		return err
	}
	if n.bus != nil {
		n.bus.aim(trueBus(n))
	}
	n.id, err = n.text(ctx, "CLUSTER", "MYID")
	return err
}

// busAddr is where other nodes reach the node's bus.
func (n *Node) busAddr() string {
	if n.bus != nil {
		return n.bus.listener.Addr().String()
	}
	return trueBus(n)
}

// trueBus is where the process has its bus: 10,000 above its port.
func trueBus(n *Node) string {
	number, _ := strconv.Atoi(port(n.Addr()))
	return "127.0.0.1:" + strconv.Itoa(number+10000)
}

// Close ends all processes and proxies. It may be called again.
func (c *Cluster) Close() error {
	err := closeAll(c.nodes)
	if c.links != nil {
		c.links.close()
	}
	return err
}

func (c *Cluster) members() []*Node { return c.nodes }

// URL for redstart.Open: "redis+cluster://host:port,host:port,…", with the password, if any, and all nodes' announced
// addresses.
func (c *Cluster) URL() string {
	u := url.URL{Scheme: "redis+cluster", Host: strings.Join(c.Addrs(), ",")}
	if c.cfg.Password != "" {
		u.User = url.UserPassword("", c.cfg.Password)
	}
	return u.String()
}

// Addrs are the nodes' announced addresses, in the order of Nodes.
func (c *Cluster) Addrs() []string { return announced(c.nodes) }

// Nodes are all nodes: those that were primaries first, then those that were their replicas, in the same order.
func (c *Cluster) Nodes() []*Node { return slices.Clone(c.nodes) }

// Node finds a node by its announced address, as in MOVED and ASK; nil: there is none.
func (c *Cluster) Node(addr string) *Node { return at(c.nodes, addr) }

// Links are the ways between the processes; nil without Proxies.
func (c *Cluster) Links() *Links { return c.links }
