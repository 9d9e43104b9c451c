package topology

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redstart-go/redstart/redstarttest"
)

const (
	formWithin = 60 * time.Second // for forming and settling, where the context has no deadline
	askWithin  = 2 * time.Second  // for one answer, so that a frozen node holds up nobody for long
	logTail    = 2000             // bytes of each node's log in an error
)

// Node is a server of a topology: a data node or a sentinel. Server.Do and Server.Addr go to the process itself,
// past any proxy.
type Node struct {
	*redstarttest.Server

	name  string // in errors: "data node 1", "sentinel 3"
	id    string // in a cluster
	front *front // what stands at the announced address; nil without proxies
	bus   *busFront
}

// Announced is the address by which clients and other nodes know the node, "127.0.0.1:port": of the proxies before
// it, where there are any, else Addr.
func (n *Node) Announced() string {
	if n.front != nil {
		return n.front.addr()
	}
	return n.Addr()
}

func port(addr string) string {
	_, p, _ := net.SplitHostPort(addr)
	return p
}

// ask is Do with a bound on the time.
func (n *Node) ask(ctx context.Context, args ...string) (any, error) {
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	return n.Do(ctx, args...)
}

// text asks for an answer in words; it is "" together with an error.
func (n *Node) text(ctx context.Context, args ...string) (string, error) {
	reply, err := n.ask(ctx, args...)
	if err != nil {
		return "", err
	}
	text, ok := reply.(string)
	if !ok {
		return "", fmt.Errorf("redstart/redstarttest/topology: %s answers %v to %v", n.name, reply, args)
	}
	return text, nil
}

// order sends a command that must be answered with OK.
func (n *Node) order(ctx context.Context, args ...string) error {
	answer, err := n.text(ctx, args...)
	if err == nil && answer != "OK" {
		err = fmt.Errorf("redstart/redstarttest/topology: %s answers %q", n.name, answer)
	}
	if err != nil {
		return fmt.Errorf("%v: %w", args, err)
	}
	return nil
}

// role is what ROLE says: "master" or "slave", and for a replica its primary's address and the link's state.
func (n *Node) role(ctx context.Context) (role, primary, link string, err error) {
	reply, err := n.ask(ctx, "ROLE")
	if err != nil {
		return "", "", "", err
	}
	list, _ := reply.([]any)
	if len(list) > 0 {
		role, _ = list[0].(string)
	}
	if role == "slave" && len(list) > 3 {
		host, _ := list[1].(string)
		number, _ := list[2].(int64)
		primary = net.JoinHostPort(host, strconv.FormatInt(number, 10))
		link, _ = list[3].(string)
	}
	return role, primary, link, nil
}

// inSync says what a replica lacks to follow the primary with that address, or "".
func (n *Node) inSync(ctx context.Context, primary string) string {
	role, of, link, err := n.role(ctx)
	switch {
	case err != nil:
		return err.Error()
	case role != "slave" || of != primary:
		return fmt.Sprintf("%s is a %s of %q, not a replica of %s", n.name, role, of, primary)
	case link != "connected":
		return fmt.Sprintf("%s, a replica of %s, has the link %q", n.name, primary, link)
	}
	return ""
}

// isPrimary says what a node lacks to be a primary, or "".
func (n *Node) isPrimary(ctx context.Context) string {
	role, _, _, err := n.role(ctx)
	switch {
	case err != nil:
		return err.Error()
	case role != "master":
		return fmt.Sprintf("%s is a %s, not a primary", n.name, role)
	}
	return ""
}

// each calls f for every item at the same time and joins the errors in the items' order.
func each[T any](items []T, f func(i int, item T) error) error {
	errs := make([]error, len(items))
	var all sync.WaitGroup
	for i, item := range items {
		all.Go(func() { errs[i] = f(i, item) })
	}
	all.Wait()
	return errors.Join(errs...)
}

// until asks again and again what is still lacking, until it is nothing.
func until(ctx context.Context, what string, lacking func() string) error {
	last := "not asked yet"
	for pause := 5 * time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		lack := lacking()
		if lack == "" {
			return nil
		}
		if ctx.Err() == nil { // else the lack may be only that there was no time left to ask
			last = lack
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("redstart/redstarttest/topology: %s in time (%w): %s", what, ctx.Err(), last)
		case <-time.After(pause):
		}
	}
}

// deadline gives a context that has one.
func deadline(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, formWithin)
}

// closeAll ends the servers that have been started. They are killed, for there is nothing to keep, and a primary
// that is asked to end waits for its replicas.
func closeAll(nodes []*Node) error {
	return each(nodes, func(_ int, n *Node) error {
		if n.Server == nil {
			return nil
		}
		_ = n.Kill() // one that is closed already says so
		if err := n.Close(); err != nil {
			return err
		}
		return nil
	})
}

// logs are the ends of the nodes' logs.
func logs(nodes []*Node) string {
	var b strings.Builder
	for _, n := range nodes {
		if n.Server == nil {
			continue // its own error has its log
		}
		log := n.Log()
		fmt.Fprintf(&b, "\n--- %s, %s ---\n%s", n.name, n.Addr(), log[max(0, len(log)-logTail):])
	}
	return b.String()
}

// at finds the node with an announced address.
func at(nodes []*Node, addr string) *Node {
	if i := slices.IndexFunc(nodes, func(n *Node) bool { return n.Announced() == addr }); i >= 0 {
		return nodes[i]
	}
	return nil
}

// run is what RunSentinel and RunCluster share: the program is looked for first, so that a test without one is
// skipped, or fails where all is required, in the way of redstarttest.Run.
func run[T interface {
	comparable
	Close() error
	members() []*Node
}](t redstarttest.TB, path string, start func(ctx context.Context) (T, error),
) T {
	t.Helper()
	var none T
	if path == "" {
		if _, err := redstarttest.Find(); err != nil {
			redstarttest.Run(t, redstarttest.ServerConfig{})
			return none
		}
	}
	topology, err := start(context.Background())
	if err != nil {
		t.Fatalf("%v", err)
		return none
	}
	t.Cleanup(func() {
		if f, ok := t.(interface{ Failed() bool }); ok && f.Failed() {
			t.Logf("the ends of the logs:%s", logs(topology.members()))
		}
		if err := topology.Close(); err != nil {
			t.Logf("%v", err)
		}
	})
	return topology
}
