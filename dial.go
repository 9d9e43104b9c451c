package redstart

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/redstart-go/redstart/internal/topology"
)

// dialError is a failed connection attempt: nothing was sent.
type dialError struct {
	addr string
	err  error
}

func (e *dialError) Error() string {
	return fmt.Sprintf("no connection to %s: %s", e.addr, reason(e.err))
}
func (e *dialError) Unwrap() error    { return e.err }
func (e *dialError) Outcome() Outcome { return NotApplied }
func (e *dialError) unavailable()     {}

// reason is a network error in words, with what to do.
func reason(err error) string {
	var dns *net.DNSError
	var ne net.Error
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused; is the server running there?"
	case errors.Is(err, syscall.ENOENT):
		return "there is no such socket; is the server running?"
	case errors.Is(err, syscall.EACCES):
		return "permission denied"
	case errors.As(err, &dns):
		return "the host name is not known"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &ne) && ne.Timeout():
		return "no answer within the dial deadline (Config.DialTimeout)"
	default:
		return err.Error()
	}
}

// dialer makes the connections of one client.
//
// A dial is made for one caller and used by all, so it does not share his
// fate. It inherits neither his cancellation nor, in the handshake that the
// inner client leads afterwards, his deadline; and when he has gone meanwhile,
// the connection is kept for the next who asks.
type dialer struct {
	target  target
	tls     *tls.Config
	timeout time.Duration
	login   func(ctx context.Context) (username, password string, err error) // nil: fixed credentials
	core    *core
	watcher *topology.Watcher // of Sentinel; nil without

	mu     sync.Mutex
	parked *trackedConn
}

// dial gives a connection within the dial deadline.
func (d *dialer) dial(caller context.Context, addr string, nd *net.Dialer, _ *tls.Config) (net.Conn, error) {
	if len(d.target.cluster) == 0 {
		addr = d.target.addr
	}
	if c := d.unpark(addr); c != nil {
		return c, nil
	}
	if err := d.core.knownAway(addr); err != nil {
		return nil, &dialError{addr: addr, err: err}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(caller), d.timeout)
	defer cancel()
	start := time.Now()
	c, err := d.connect(ctx, nd, addr)
	info := ConnectInfo{Addr: addr, Took: time.Since(start)}
	if err != nil {
		info.Err = &dialError{addr: addr, err: err}
		d.core.connected(info)
		return nil, info.Err
	}
	d.core.track(c)
	d.core.connected(info)
	if err := caller.Err(); err != nil {
		d.park(c)
		return nil, err
	}
	return c, nil
}

// connect does TCP, TLS and the asking for credentials.
func (d *dialer) connect(ctx context.Context, nd *net.Dialer, addr string) (*trackedConn, error) {
	var conn net.Conn
	var err error
	asked := addr
	if d.watcher != nil {
		if conn, err = d.watcher.DialPrimary(ctx); err == nil {
			addr = conn.RemoteAddr().String()
		}
	} else {
		conn, err = d.reach(ctx, nd, d.target.network, addr)
	}
	if err != nil {
		return nil, err
	}
	c := &trackedConn{Conn: conn, core: d.core, addr: addr, asked: asked, born: time.Now(), grace: d.timeout}
	if d.login != nil {
		c.who.username, c.who.password, err = d.credentials(ctx)
		if err != nil {
			_ = conn.Close()
			return nil, err
		}
	}
	return c, nil
}

// reach does TCP and TLS.
func (d *dialer) reach(ctx context.Context, nd *net.Dialer, network, addr string) (net.Conn, error) {
	conn, err := nd.DialContext(ctx, network, addr)
	if err != nil || d.tls == nil {
		return conn, err
	}
	cfg := d.tls
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

// auth gives the data nodes' credentials.
func (d *dialer) auth(ctx context.Context) (username, password string, err error) {
	if d.login != nil {
		return d.credentials(ctx)
	}
	return d.core.cfg.Username, d.core.cfg.Password, nil
}

// ask sends one command over a connection of its own: to a cluster's node, or
// for "" to the server behind any other client.
func (d *dialer) ask(ctx context.Context, addr string, words ...string) (any, error) {
	if addr == "" {
		addr = d.target.addr
	}
	return topology.Ask(ctx, d.toPrimary, d.auth, addr, words...)
}

// toPrimary is a connection to addr, under Sentinel to the primary whatever
// its address.
func (d *dialer) toPrimary(ctx context.Context, addr string) (net.Conn, error) {
	if d.watcher != nil {
		return d.watcher.DialPrimary(ctx)
	}
	return d.plain(ctx, addr)
}

// plain is a connection to addr, with TLS where wanted.
func (d *dialer) plain(ctx context.Context, addr string) (net.Conn, error) {
	network := "tcp"
	if addr == d.target.addr {
		network = d.target.network
	}
	return d.reach(ctx, &net.Dialer{Timeout: d.timeout}, network, addr)
}

// credentials asks the program for them; it may hang or panic.
func (d *dialer) credentials(ctx context.Context) (username, password string, err error) {
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
		username, password, err := d.login(ctx)
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
func (d *dialer) park(c *trackedConn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.parked != nil || d.core.ctx.Err() != nil {
		_ = c.Close()
		return
	}
	d.parked = c
}

// unpark gives a parked connection to addr that is young enough to be alive.
func (d *dialer) unpark(addr string) *trackedConn {
	d.mu.Lock()
	defer d.mu.Unlock()
	c := d.parked
	if c == nil || c.asked != addr {
		return nil
	}
	d.parked = nil
	if time.Since(c.born) > 2*d.timeout {
		_ = c.Close()
		return nil
	}
	c.born = time.Now()
	return c
}

// trackedConn is a connection that the client knows of.
type trackedConn struct {
	net.Conn
	core  *core
	addr  string // where it leads
	asked string // what was to be reached: a name under Sentinel
	reads bool   // it leads to a replica that is read
	who   login
	born  time.Time
	grace time.Duration // for the handshake, whatever its caller's deadline
	ready atomic.Bool   // the handshake is over
	once  sync.Once
}

// login is who a connection is to be; it travels to the handshake as the
// connection's address, the only thing of it that is asked for there.
type login struct{ username, password string }

type loginAddr struct {
	net.Addr
	login
}

func (c *trackedConn) RemoteAddr() net.Addr { return loginAddr{c.Conn.RemoteAddr(), c.who} }

// SetDeadline gives the handshake its whole time. The inner client takes the
// deadline off when it is over.
func (c *trackedConn) SetDeadline(t time.Time) error {
	if t.IsZero() {
		c.ready.Store(true)
	} else if whole := c.born.Add(c.grace); !c.ready.Load() && t.Before(whole) {
		t = whole
	}
	return c.Conn.SetDeadline(t)
}

func (c *trackedConn) Close() error {
	err := c.Conn.Close()
	c.once.Do(func() { c.core.untrack(c) })
	return err
}
