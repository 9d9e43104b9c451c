package topology

import (
	"fmt"
	"net"
	"sync"

	"github.com/redstart-go/redstart/redstarttest/proxy"
)

// Links are the ways between the processes of a topology that was started with Proxies. Whoever opens a connection
// decides which way it takes, for each process dials from a loopback address of its own:
//
//   - a client, the test itself included, to Announced of a data node or a sentinel: Proxy(nil, node);
//   - a replica to its primary, for replication: Proxy(replica, primary);
//   - a sentinel to a data node or to another sentinel: Proxy(sentinel, node);
//   - a cluster's node to another's bus: not RESP, so without a proxy, but Cut and Join hold and release it too.
//
// Methods of Node (Do and so on) and MIGRATE, which Migration gives the true address, go past all of them. Where a
// method takes a node, nil stands for the clients.
type Links struct {
	nodes   []*Node
	sources map[*Node]string
}

// link puts a front, and a bus if wanted, before nodes that have not been started yet.
func link(nodes []*Node, bus bool) (*Links, error) {
	l := &Links{nodes: nodes, sources: map[*Node]string{}}
	for i, n := range nodes {
		l.sources[n] = fmt.Sprintf("127.0.1.%d", i+1)
	}
	probe, err := net.Listen("tcp", l.sources[nodes[0]]+":0") //nolint:noctx // a loopback port is there at once
	if err != nil {
		return nil, fmt.Errorf("redstart/redstarttest/topology: Proxies need all of 127.0.0.0/8 as loopback: %w", err)
	}
	probe.Close()
	for _, n := range nodes {
		sources := []string{""}
		for _, other := range nodes {
			if other != n {
				sources = append(sources, l.sources[other])
			}
		}
		n.front, err = openFront(sources)
		if err == nil && bus {
			n.bus, err = openBus(sources)
		}
		if err != nil {
			l.close()
			return nil, err
		}
	}
	return l, nil
}

// Proxy is the proxy for connections that from opens to to; nil for from are the clients. It is nil when there is no
// such way: from a node to itself, or to the clients.
func (l *Links) Proxy(from, to *Node) *proxy.Proxy {
	if to == nil || to.front == nil {
		return nil
	}
	source := ""
	if from != nil {
		source = l.sources[from]
	}
	return to.front.ways[source]
}

// Cut makes all ways between two nodes silent, both directions of either: what is sent is held, and new connections
// hear nothing.
func (l *Links) Cut(a, b *Node) { l.both(a, b, true) }

// Join ends a Cut between two nodes. What was held arrives, as TCP would have it, unless its sender has hung up.
func (l *Links) Join(a, b *Node) { l.both(a, b, false) }

// Isolate cuts a node from every other one, sentinels too, but not from the clients: the partition after which a
// primary goes on taking writes that nobody else has.
func (l *Links) Isolate(n *Node) {
	for _, other := range l.nodes {
		if other != n {
			l.Cut(n, other)
		}
	}
}

// Heal joins all, the clients' ways too.
func (l *Links) Heal() {
	for i, n := range l.nodes {
		l.Join(nil, n)
		for _, other := range l.nodes[:i] {
			l.Join(n, other)
		}
	}
}

func (l *Links) both(a, b *Node, cut bool) {
	for _, way := range [][2]*Node{{a, b}, {b, a}} {
		from, to := way[0], way[1]
		p := l.Proxy(from, to)
		switch {
		case p == nil:
			continue
		case cut:
			p.Blackhole(proxy.BothWays)
		default:
			p.Heal()
		}
		if to.bus != nil && from != nil {
			to.bus.gates[l.sources[from]].set(!cut)
		}
	}
}

func (l *Links) close() {
	for _, n := range l.nodes {
		if n.front != nil {
			n.front.close()
		}
		if n.bus != nil {
			n.bus.close()
		}
	}
}

// front stands at the address that a node announces, and gives each connection to the proxy of its way.
type front struct {
	listener net.Listener
	ways     map[string]*proxy.Proxy // by source address; "": everyone else, so the clients
	work     sync.WaitGroup
}

// openFront listens for a node that is not there yet: aim follows.
func openFront(sources []string) (*front, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // a loopback port is there at once
	if err != nil {
		return nil, fmt.Errorf("redstart/redstarttest/topology: no port is free: %w", err)
	}
	f := &front{listener: l, ways: map[string]*proxy.Proxy{}}
	for _, source := range sources {
		if f.ways[source], err = proxy.New("127.0.0.1:1"); err != nil {
			delete(f.ways, source)
			f.close()
			return nil, err
		}
		f.ways[source].Refuse(true) // until aim
	}
	f.work.Go(func() {
		accept(l, func(conn net.Conn, source string) {
			way := f.ways[source]
			if way == nil {
				way = f.ways[""]
			}
			way.Take(conn)
		})
	})
	return f, nil
}

func (f *front) addr() string { return f.listener.Addr().String() }

// aim opens the ways to the process.
func (f *front) aim(target string) {
	for _, p := range f.ways {
		p.SetTarget(target)
		p.Refuse(false)
	}
}

func (f *front) close() {
	f.listener.Close()
	f.work.Wait()
	for _, p := range f.ways {
		p.Close()
	}
}

// accept hands out connections until the listener is closed.
func accept(l net.Listener, take func(conn net.Conn, source string)) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		source, _, _ := net.SplitHostPort(conn.RemoteAddr().String())
		take(conn, source)
	}
}
