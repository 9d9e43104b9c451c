package redstart

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"syscall"
	"time"
)

// dialError is a failed connection attempt: nothing was sent.
type dialError struct {
	addr string
	err  error
}

func (e *dialError) Error() string {
	return fmt.Sprintf("no connection to %s: %s", e.addr, reason(e.err))
}
func (e *dialError) Unwrap() error { return e.err }

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

// dialer makes the connections of one client, and counts them: a rise of the
// count is an epoch, after which the server may be another one.
type dialer struct {
	target  target
	tls     *tls.Config
	timeout time.Duration
	core    *core
}

// dial connects within the dial deadline. It does not inherit the caller's
// cancellation: others wait for the same connection.
func (d *dialer) dial(ctx context.Context, _ string, nd *net.Dialer, _ *tls.Config) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), d.timeout)
	defer cancel()
	start := time.Now()
	conn, err := nd.DialContext(ctx, d.target.network, d.target.addr)
	if err == nil && d.tls != nil {
		secured := tls.Client(conn, d.tls)
		if err = secured.HandshakeContext(ctx); err != nil {
			_ = conn.Close()
		}
		conn = secured
	}
	info := ConnectInfo{Addr: d.target.addr, Took: time.Since(start)}
	if err != nil {
		info.Err = &dialError{addr: d.target.addr, err: err}
		d.core.connected(info)
		return nil, info.Err
	}
	d.core.connected(info)
	return &trackedConn{Conn: conn, core: d.core, addr: d.target.addr}, nil
}

// trackedConn tells the client when a connection ends.
type trackedConn struct {
	net.Conn
	core *core
	addr string
	once sync.Once
}

func (c *trackedConn) Close() error {
	err := c.Conn.Close()
	c.once.Do(func() { c.core.disconnected(DisconnectInfo{Addr: c.addr}) })
	return err
}
