package conn

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/redstart-go/redstart/internal/address"
	"github.com/redstart-go/redstart/internal/topology"
)

// Dialer makes the connections of one client.
//
// A dial is made for one caller and used by all, so it does not share his
// fate. It inherits neither his cancellation nor, in the handshake that the
// inner client leads afterwards, his deadline; and when he has gone meanwhile,
// the connection is kept for the next who asks.
type Dialer struct {
	Target address.Target
	// Watcher finds the primary by Sentinel; nil without. It is set before the
	// first Connect.
	Watcher *topology.Watcher

	cfg    Config
	mu     sync.Mutex
	parked *tracked
}

// New makes a dialer, which dials when it is asked to.
func New(target address.Target, cfg Config) *Dialer { return &Dialer{Target: target, cfg: cfg} }

// Cluster reports whether the connections lead to a cluster, whose nodes come
// and go one by one.
func (d *Dialer) Cluster() bool { return len(d.Target.Cluster) > 0 }

// dial gives a connection within the dial deadline.
func (d *Dialer) dial(caller context.Context, addr string, nd *net.Dialer, _ *tls.Config) (net.Conn, error) {
	if !d.Cluster() {
		addr = d.Target.Addr
	}
	if c := d.unpark(addr); c != nil {
		return c, nil
	}
	if err := d.cfg.Away(addr); err != nil {
		return nil, &DialError{Addr: addr, Err: err}
	}
	c, err := d.timed(caller, addr, func(ctx context.Context) (*tracked, error) { return d.reachPrimary(ctx, nd, addr) })
	if err != nil {
		return nil, err
	}
	if err := caller.Err(); err != nil {
		d.park(c)
		return nil, err
	}
	return c, nil
}

// dialReplica connects to a replica that shall be read, as long as it is the
// process called run.
func (d *Dialer) dialReplica(caller context.Context, addr, run string) (net.Conn, error) {
	c, err := d.timed(caller, addr, func(ctx context.Context) (*tracked, error) {
		var who login
		auth := func(ctx context.Context) (username, password string, err error) {
			who.username, who.password, err = d.Auth(ctx)
			return who.username, who.password, err
		}
		conn, err := topology.DialToRead(ctx, d.Plain, auth, addr, run)
		if err != nil {
			return nil, err
		}
		c := d.track(conn, addr, addr)
		if c.reads = true; d.cfg.Credentials != nil {
			c.who = who
		}
		return c, nil
	})
	if err != nil {
		return nil, err
	}
	return c, nil
}

// timed makes a connection within the dial deadline, whatever becomes of the
// caller, and tells of it.
func (d *Dialer) timed(caller context.Context, addr string, connect func(context.Context) (*tracked, error)) (*tracked, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(caller), d.cfg.DialTimeout)
	defer cancel()
	start := time.Now()
	c, err := connect(ctx)
	took := time.Since(start)
	if err != nil {
		err = &DialError{Addr: addr, Err: err}
	} else {
		d.cfg.Conns.add(c)
	}
	d.cfg.Connected(addr, took, err)
	return c, err
}

// reachPrimary does TCP, TLS and the asking for credentials.
func (d *Dialer) reachPrimary(ctx context.Context, nd *net.Dialer, addr string) (*tracked, error) {
	var conn net.Conn
	var err error
	asked := addr
	if d.Watcher != nil {
		if conn, err = d.Watcher.DialPrimary(ctx); err == nil {
			addr = conn.RemoteAddr().String()
		}
	} else {
		conn, err = d.reach(ctx, nd, d.Target.Network, addr)
	}
	if err != nil {
		return nil, err
	}
	c := d.track(conn, addr, asked)
	if d.cfg.Credentials != nil {
		c.who.username, c.who.password, err = d.credentials(ctx)
		if err != nil {
			_ = conn.Close()
			return nil, err
		}
	}
	return c, nil
}

func (d *Dialer) track(conn net.Conn, addr, asked string) *tracked {
	return &tracked{Conn: conn, dialer: d, addr: addr, asked: asked, born: time.Now(), grace: d.cfg.DialTimeout}
}

// reach does TCP and TLS.
func (d *Dialer) reach(ctx context.Context, nd *net.Dialer, network, addr string) (net.Conn, error) {
	conn, err := nd.DialContext(ctx, network, addr)
	if err != nil || d.cfg.TLS == nil {
		return conn, err
	}
	cfg := d.cfg.TLS
	if cfg.ServerName == "" {
		host, _, _ := net.SplitHostPort(addr)
		cfg = cfg.Clone()
		cfg.ServerName = host
	}
	secured := tls.Client(conn, cfg)
	if err := secured.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return secured, nil
}

// Ask sends one command over a connection of its own: to a cluster's node, or
// for "" to the server behind any other client.
func (d *Dialer) Ask(ctx context.Context, addr string, words ...string) (any, error) {
	if addr == "" {
		addr = d.Target.Addr
	}
	return topology.Ask(ctx, d.toPrimary, d.Auth, addr, words...)
}

// toPrimary is a connection to addr, under Sentinel to the primary whatever
// its address.
func (d *Dialer) toPrimary(ctx context.Context, addr string) (net.Conn, error) {
	if d.Watcher != nil {
		return d.Watcher.DialPrimary(ctx)
	}
	return d.Plain(ctx, addr)
}

// Plain is a connection to addr, with TLS where wanted, of which nobody is
// told: for questions.
func (d *Dialer) Plain(ctx context.Context, addr string) (net.Conn, error) {
	network := "tcp"
	if addr == d.Target.Addr {
		network = d.Target.Network
	}
	return d.reach(ctx, &net.Dialer{Timeout: d.cfg.DialTimeout}, network, addr)
}

// Auth gives the data nodes' credentials.
func (d *Dialer) Auth(ctx context.Context) (username, password string, err error) {
	if d.cfg.Credentials != nil {
		return d.credentials(ctx)
	}
	return d.cfg.Username, d.cfg.Password, nil
}

// credentials asks the program for them; it may hang or panic.
func (d *Dialer) credentials(ctx context.Context) (username, password string, err error) {
	type answer struct {
		username, password string
		err                error
	}
	got := make(chan answer, 1)
	go func() {
		a := answer{err: errors.New("Config.Credentials panicked")}
		defer func() {
			_ = recover()
			got <- a
		}()
		username, password, err := d.cfg.Credentials(ctx)
		a = answer{username, password, err}
	}()
	select {
	case a := <-got:
		if a.err != nil {
			return "", "", fmt.Errorf("Config.Credentials: %w", a.err)
		}
		return a.username, a.password, nil
	case <-ctx.Done():
		return "", "", errors.New("Config.Credentials gave none within the dial deadline (Config.DialTimeout)")
	}
}

// park keeps a connection for the next dial; one is enough.
func (d *Dialer) park(c *tracked) {
	d.mu.Lock()
	full := d.parked != nil || d.cfg.Life.Err() != nil
	if !full {
		d.parked = c
	}
	d.mu.Unlock()
	if full { // its end is told to a hook, so outside of the mutex
		_ = c.Close()
	}
}

// unpark gives a parked connection to addr that is young enough to be alive.
func (d *Dialer) unpark(addr string) *tracked {
	d.mu.Lock()
	c := d.parked
	if c == nil || c.asked != addr {
		d.mu.Unlock()
		return nil
	}
	d.parked = nil
	d.mu.Unlock()
	if time.Since(c.born) > 2*d.cfg.DialTimeout {
		_ = c.Close()
		return nil
	}
	c.born = time.Now()
	return c
}
