package topology

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// busFront stands at the port of a node's cluster bus that the node announces. The bus is not RESP: bytes are passed
// on as they come, through a gate for each node that dials.
type busFront struct {
	listener net.Listener
	gates    map[string]*gate // by source address; "": everyone else
	ctx      context.Context  // ends with close
	cancel   context.CancelFunc
	work     sync.WaitGroup

	mu     sync.Mutex
	target string
}

func openBus(sources []string) (*busFront, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // a loopback port is there at once
	if err != nil {
		return nil, fmt.Errorf("redstart/redstarttest/topology: no port is free: %w", err)
	}
	b := &busFront{listener: l, gates: map[string]*gate{}}
	b.ctx, b.cancel = context.WithCancel(context.Background())
	for _, source := range sources {
		b.gates[source] = newGate()
	}
	b.work.Go(func() {
		accept(l, func(conn net.Conn, source string) {
			g := b.gates[source]
			if g == nil {
				g = b.gates[""]
			}
			b.work.Go(func() { b.carry(conn, g) })
		})
	})
	return b, nil
}

func (b *busFront) aim(target string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.target = target
}

// carry passes bytes both ways until one side has ended, and what it sent has gone through the gate.
func (b *busFront) carry(dialler net.Conn, g *gate) {
	defer dialler.Close()
	b.mu.Lock()
	target := b.target
	b.mu.Unlock()
	ctx, cancel := context.WithCancel(b.ctx)
	defer cancel()
	one, stop := context.WithTimeout(ctx, 5*time.Second)
	node, err := (&net.Dialer{}).DialContext(one, "tcp", target)
	stop()
	if err != nil {
		return
	}
	// The end of one direction ends the other.
	end := func() {
		cancel()
		dialler.Close()
		node.Close()
	}
	forget := context.AfterFunc(ctx, end)
	defer forget()
	var both sync.WaitGroup
	for _, way := range [][2]net.Conn{{dialler, node}, {node, dialler}} {
		both.Go(func() {
			defer end()
			_, _ = io.Copy(gated{ctx, way[1], g}, onlyReader{way[0]}) // its end is the connection's, whatever the reason
			_ = g.pass(ctx)                                           // an end of file waits as well
		})
	}
	both.Wait()
}

func (b *busFront) close() {
	b.listener.Close()
	b.cancel()
	b.work.Wait()
}

// gated writes when the gate is open.
type gated struct {
	ctx context.Context
	dst io.Writer
	g   *gate
}

func (w gated) Write(p []byte) (int, error) {
	if err := w.g.pass(w.ctx); err != nil {
		return 0, err
	}
	return w.dst.Write(p)
}

// onlyReader hides WriteTo, by which io.Copy would go past gated.
type onlyReader struct{ io.Reader }

// gate is open at first.
type gate struct {
	mu     sync.Mutex
	open   bool
	opened chan struct{} // closed while it is open
}

func newGate() *gate {
	g := &gate{open: true, opened: make(chan struct{})}
	close(g.opened)
	return g
}

func (g *gate) set(open bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case open == g.open:
	case open:
		close(g.opened)
	default:
		g.opened = make(chan struct{})
	}
	g.open = open
}

// pass waits until the gate is open or ctx ends.
func (g *gate) pass(ctx context.Context) error {
	g.mu.Lock()
	opened := g.opened
	g.mu.Unlock()
	select {
	case <-opened:
		return nil
	case <-ctx.Done():
		return errors.New("the connection has ended")
	}
}
