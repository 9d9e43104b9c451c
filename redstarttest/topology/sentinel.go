package topology

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redstart-go/redstart/redstarttest"
)

// SentinelConfig of a private deployment. The zero value is a primary, two replicas and three sentinels.
type SentinelConfig struct {
	// Path of the server program, which runs as the sentinel too; "": the redis-server on PATH.
	Path string
	// Name by which the sentinels know the primary; "": "mymaster".
	Name string
	// Replicas is how many there are; 0: two, negative: none.
	Replicas int
	// Sentinels is how many there are; 0: three.
	Sentinels int
	// Quorum is how many sentinels must find the primary down; 0: more than half of them.
	Quorum int
	// DownAfter is how long a node must be silent to count as down, to the millisecond; 0: 500 ms.
	DownAfter time.Duration
	// FailoverTimeout as Sentinel has it; 0: 3 s. A failover that failed is tried again after twice as long.
	FailoverTimeout time.Duration
	// ParallelSyncs is how many replicas turn to the new primary at a time; 0: one.
	ParallelSyncs int
	// Password of the data nodes and SentinelPassword of the sentinels; "": none.
	Password, SentinelPassword string
	// AOF is the data nodes' fsync policy, as in redstarttest.ServerConfig.
	AOF string
	// Args are put behind the other arguments of each data node, SentinelArgs of each sentinel:
	// []string{"--min-replicas-to-write", "1"}.
	Args, SentinelArgs []string
	// Proxies puts one on every way between two processes, and before each for the clients: see Links.
	Proxies bool
}

func (cfg *SentinelConfig) complete() error {
	var errs []error
	number := func(field string, v *int, standard, least int) {
		if *v == 0 {
			*v = standard
		}
		if *v < least {
			errs = append(errs, fmt.Errorf("redstart/redstarttest/topology: SentinelConfig.%s is %d: want %d or more, or 0 for %d",
				field, *v, least, standard))
		}
	}
	span := func(field string, v *time.Duration, standard time.Duration) {
		if *v == 0 {
			*v = standard
		}
		if *v < time.Millisecond {
			errs = append(errs, fmt.Errorf("redstart/redstarttest/topology: SentinelConfig.%s is %v: want 1ms or more, or 0 for %v",
				field, *v, standard))
		}
	}
	if cfg.Name == "" {
		cfg.Name = "mymaster"
	}
	if strings.ContainsFunc(cfg.Name, func(r rune) bool { return r <= ' ' || strings.ContainsRune(`"'/\@`, r) }) {
		errs = append(errs, fmt.Errorf("redstart/redstarttest/topology: SentinelConfig.Name is %q: want letters, digits and .-_", cfg.Name))
	}
	if cfg.Replicas == 0 {
		cfg.Replicas = 2
	}
	cfg.Replicas = max(cfg.Replicas, 0)
	number("Sentinels", &cfg.Sentinels, 3, 1)
	number("Quorum", &cfg.Quorum, cfg.Sentinels/2+1, 1)
	number("ParallelSyncs", &cfg.ParallelSyncs, 1, 1)
	span("DownAfter", &cfg.DownAfter, 500*time.Millisecond)
	span("FailoverTimeout", &cfg.FailoverTimeout, 3*time.Second)
	return errors.Join(errs...)
}

// Sentinel is a primary with replicas, watched by sentinels. Its methods are safe for concurrent use.
type Sentinel struct {
	cfg       SentinelConfig
	nodes     []*Node // the first primary, then its replicas
	sentinels []*Node
	links     *Links

	stop   context.CancelFunc // of the subscriptions
	work   sync.WaitGroup
	events eventLog
}

// StartSentinel starts a deployment and returns once it has formed (see Settle), within ctx's deadline (60 s without
// one); ctx plays no part afterwards. Close it when done.
func StartSentinel(ctx context.Context, cfg SentinelConfig) (*Sentinel, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	ctx, cancel := deadline(ctx)
	defer cancel()
	s := &Sentinel{cfg: cfg, stop: func() {}}
	for i := range 1 + cfg.Replicas {
		s.nodes = append(s.nodes, &Node{name: fmt.Sprintf("data node %d", i+1)})
	}
	for i := range cfg.Sentinels {
		s.sentinels = append(s.sentinels, &Node{name: fmt.Sprintf("sentinel %d", i+1)})
	}
	if cfg.Proxies {
		var err error
		if s.links, err = link(s.members(), false); err != nil {
			return nil, err
		}
	}
	err := s.form(ctx)
	if err != nil {
		err = fmt.Errorf("%w%s", err, logs(s.members()))
		_ = s.Close() // the error is the one that tells why
		return nil, err
	}
	return s, nil
}

// RunSentinel is StartSentinel for a test: the deployment is closed when the test ends, and the ends of its logs are
// shown when the test has failed by then. Without a server program the test is skipped, as by redstarttest.Run.
func RunSentinel(t redstarttest.TB, cfg SentinelConfig) *Sentinel {
	t.Helper()
	return run(t, cfg.Path, func(ctx context.Context) (*Sentinel, error) { return StartSentinel(ctx, cfg) })
}

func (s *Sentinel) form(ctx context.Context) error {
	if err := s.startData(ctx, s.nodes[0], ""); err != nil {
		return err
	}
	first := s.nodes[0].Announced()
	err := each(s.members()[1:], func(i int, n *Node) error {
		if i < s.cfg.Replicas {
			return s.startData(ctx, n, first)
		}
		return s.startSentinel(ctx, n, first)
	})
	if err != nil {
		return err
	}
	watching, stop := context.WithCancel(context.Background())
	s.stop = stop
	for _, n := range s.sentinels {
		subscribed := make(chan struct{})
		s.work.Go(func() { s.watch(watching, n, subscribed) })
		select {
		case <-subscribed:
		case <-ctx.Done():
			return fmt.Errorf("redstart/redstarttest/topology: %s takes no subscription in time: %w", n.name, ctx.Err())
		}
	}
	return s.Settle(ctx)
}

// startData starts a primary (of == ""), or a replica of the node with that address. Which of the two it is stands
// in its file, where Sentinel has it rewritten: after a failover a restart brings it back as what it last was.
func (s *Sentinel) startData(ctx context.Context, n *Node, of string) error {
	conf := "# roles are written below\n"
	if of != "" {
		conf += "replicaof 127.0.0.1 " + port(of) + "\n"
	}
	args := []string{"--repl-diskless-sync-delay", "0"}
	if s.cfg.Password != "" {
		args = append(args, "--requirepass", s.cfg.Password, "--masterauth", s.cfg.Password)
	}
	if n.front != nil {
		args = append(args,
			"--replica-announce-ip", "127.0.0.1", "--replica-announce-port", port(n.Announced()),
			"--bind-source-addr", s.links.sources[n])
	}
	return n.start(ctx, redstarttest.ServerConfig{
		Path: s.cfg.Path, AOF: s.cfg.AOF, Conf: conf, Args: append(args, s.cfg.Args...),
	})
}

func (s *Sentinel) startSentinel(ctx context.Context, n *Node, primary string) error {
	var conf strings.Builder
	fmt.Fprintf(&conf, "sentinel monitor %s 127.0.0.1 %s %d\n", s.cfg.Name, port(primary), s.cfg.Quorum)
	fmt.Fprintf(&conf, "sentinel down-after-milliseconds %s %d\n", s.cfg.Name, s.cfg.DownAfter.Milliseconds())
	fmt.Fprintf(&conf, "sentinel failover-timeout %s %d\n", s.cfg.Name, s.cfg.FailoverTimeout.Milliseconds())
	fmt.Fprintf(&conf, "sentinel parallel-syncs %s %d\n", s.cfg.Name, s.cfg.ParallelSyncs)
	if s.cfg.Password != "" {
		fmt.Fprintf(&conf, "sentinel auth-pass %s %s\n", s.cfg.Name, strconv.Quote(s.cfg.Password))
	}
	args := []string{"--sentinel"}
	if s.cfg.SentinelPassword != "" {
		fmt.Fprintf(&conf, "sentinel sentinel-pass %s\n", strconv.Quote(s.cfg.SentinelPassword))
		args = append(args, "--requirepass", s.cfg.SentinelPassword)
	}
	if n.front != nil {
		fmt.Fprintf(&conf, "sentinel announce-ip 127.0.0.1\nsentinel announce-port %s\n", port(n.Announced()))
		args = append(args, "--bind-source-addr", s.links.sources[n])
	}
	return n.start(ctx, redstarttest.ServerConfig{Path: s.cfg.Path, Conf: conf.String(), Args: append(args, s.cfg.SentinelArgs...)})
}

// start starts the node's process and leads its front there.
func (n *Node) start(ctx context.Context, cfg redstarttest.ServerConfig) error {
	server, err := redstarttest.StartServer(ctx, cfg)
	if err != nil {
		return fmt.Errorf("%s: %w", n.name, err)
	}
	n.Server = server
	if n.front != nil {
		n.front.aim(server.Addr())
	}
	return nil
}

// Close ends all processes, proxies and subscriptions. It may be called again.
func (s *Sentinel) Close() error {
	s.stop()
	err := closeAll(s.members())
	s.work.Wait()
	if s.links != nil {
		s.links.close()
	}
	return err
}

func (s *Sentinel) members() []*Node { return slices.Concat(s.nodes, s.sentinels) }

// URL for redstart.Open: "redis+sentinel://host:port,host:port,…/name", with the data nodes' password, if any, and
// the sentinels' announced addresses.
func (s *Sentinel) URL() string {
	u := url.URL{Scheme: "redis+sentinel", Host: strings.Join(s.Addrs(), ","), Path: "/" + s.cfg.Name}
	if s.cfg.Password != "" {
		u.User = url.UserPassword("", s.cfg.Password)
	}
	return u.String()
}

// Addrs are the sentinels' announced addresses.
func (s *Sentinel) Addrs() []string { return announced(s.sentinels) }

func announced(nodes []*Node) []string {
	all := make([]string, len(nodes))
	for i, n := range nodes {
		all[i] = n.Announced()
	}
	return all
}

// Name is the one under which the sentinels watch the primary.
func (s *Sentinel) Name() string { return s.cfg.Name }

// Nodes are the data nodes: the first primary, then the others.
func (s *Sentinel) Nodes() []*Node { return slices.Clone(s.nodes) }

// Sentinels are the sentinels' processes.
func (s *Sentinel) Sentinels() []*Node { return slices.Clone(s.sentinels) }

// Node finds a data node by its announced address; nil: there is none.
func (s *Sentinel) Node(addr string) *Node { return at(s.nodes, addr) }

// Links are the ways between the processes; nil without Proxies.
func (s *Sentinel) Links() *Links { return s.links }

// Primary is the node that most of the sentinels that answer now take for the primary.
func (s *Sentinel) Primary(ctx context.Context) (*Node, error) {
	var mu sync.Mutex
	votes := map[string]int{}
	err := each(s.sentinels, func(_ int, n *Node) error {
		reply, err := n.ask(ctx, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", s.cfg.Name)
		if err != nil {
			return err
		}
		if pair := words(reply); len(pair) == 2 {
			mu.Lock()
			defer mu.Unlock()
			votes[net.JoinHostPort(pair[0], pair[1])]++
		}
		return nil
	})
	best := ""
	for addr, n := range votes {
		if best == "" || n > votes[best] {
			best = addr
		}
	}
	if best == "" {
		return nil, fmt.Errorf("redstart/redstarttest/topology: no sentinel names a primary: %w", err)
	}
	if n := s.Node(best); n != nil {
		return n, nil
	}
	return nil, fmt.Errorf("redstart/redstarttest/topology: the sentinels name %s, which is none of %v", best, announced(s.nodes))
}

// Replicas are the data nodes but for Primary, whatever state they are in.
func (s *Sentinel) Replicas(ctx context.Context) ([]*Node, error) {
	primary, err := s.Primary(ctx)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(s.Nodes(), func(n *Node) bool { return n == primary }), nil
}

// words are the strings of a list.
func words(reply any) []string {
	list, _ := reply.([]any)
	all := make([]string, 0, len(list))
	for _, v := range list {
		if text, ok := v.(string); ok {
			all = append(all, text)
		}
	}
	return all
}
