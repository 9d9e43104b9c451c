package redstart

import (
	"context"
	"errors"
	"time"

	"github.com/redis/rueidis"

	"github.com/redstart-go/redstart/internal/address"
	"github.com/redstart-go/redstart/internal/conn"
	"github.com/redstart-go/redstart/internal/outcome"
)

// Open connects to the server at url: redis://[user:password@]host[:port][/db],
// rediss:// for TLS, unix:///path/to/socket[?db=N], and
// redis+sentinel://[user:password@]host1[:port],host2…/name[/db] for the primary
// that the sentinels call name, which it then follows, and
// redis+cluster://host1,host2… for a cluster. It fails when the server
// does not answer within the dial deadline, with one line that says why and
// holds no credentials.
func Open(ctx context.Context, url string, cfg Config) (*Client, error) {
	t, err := address.Parse(url)
	cfg, invalid := cfg.withDefaults()
	if err = errors.Join(err, invalid); err != nil {
		return nil, err
	}
	if t.Database >= 0 {
		cfg.Database = t.Database
	}
	if t.Username != "" {
		cfg.Username = t.Username
	}
	if t.Password != "" {
		cfg.Password = t.Password
	}
	c := newClient(nil, cfg, true)
	c.core.dialer = c.core.dialerTo(t)
	if err := c.connect(ctx); err != nil {
		c.core.cancel()
		c.core.background.Wait()
		return nil, openError(ctx, t, err)
	}
	if c.core.cluster() {
		c.core.refreshSlots()
	}
	if cfg.ReadFrom.Replicas {
		c.core.follows()
	}
	return c, nil
}

// connect finds the primary, where sentinels know it, and connects.
func (c *Client) connect(ctx context.Context) (err error) {
	if len(c.core.dialer.Target.Sentinels) > 0 {
		if err := c.follow(ctx, c.core.dialer); err != nil {
			return err
		}
	}
	c.inner, err = c.core.dialer.Connect(ctx)
	return err
}

// dialerTo is what makes the client's connections.
func (c *core) dialerTo(t address.Target) *conn.Dialer {
	return conn.New(t, conn.Config{
		TLS:          t.Secured(c.cfg.TLS),
		Username:     c.cfg.Username,
		Password:     c.cfg.Password,
		Credentials:  c.cfg.Credentials,
		Database:     c.cfg.Database,
		ClientName:   c.cfg.ClientName,
		DialTimeout:  c.cfg.DialTimeout,
		Timeout:      c.cfg.Timeout,
		Pipelines:    c.cfg.Pipelines,
		BlockingPool: c.cfg.BlockingPool,
		Life:         c.ctx,
		Conns:        &c.conns,
		Away:         c.knownAway,
		Connected: func(addr string, took time.Duration, failure error) {
			call(c.cfg.Events.Connect, ConnectInfo{Addr: addr, Took: took, Err: failure})
		},
		Ended: func(addr string) { call(c.cfg.Events.Disconnect, DisconnectInfo{Addr: addr}) },
	})
}

// Wrap makes a Client of a rueidis client that is already there; Close leaves
// it open. It keeps what lies between the call and the inner client: scripts
// are always known, a dead context sends nothing, SELECT is refused, patterns
// work. It does not keep what lies in the connections, which are the inner
// client's: that every wait has a deadline (set rueidis' ConnWriteTimeout),
// that no command is repeated behind the caller's back (set DisableRetry, and
// never ConnLifetime), that another caller's deadline cannot fail this call
// (set AlwaysPipelining), waiting for a server that is away, Events about
// connections, reads from replicas, Topology, and OutcomeOf knowing that
// a connection was refused before anything was sent. Of cfg only Namespace,
// OutageLoads and Events matter.
func Wrap(inner rueidis.Client, cfg Config) (*Client, error) {
	cfg, err := cfg.withDefaults()
	if inner == nil {
		err = errors.Join(errors.New("redstart: wrap: the client is nil"), err)
	}
	if err != nil {
		return nil, err
	}
	return newClient(inner, cfg, false), nil
}

// openError is one line about a server that could not be used.
func openError(ctx context.Context, t address.Target, err error) error {
	e := &Error{Op: "redstart: open", Template: t.Shown(), Outcome: NotApplied, Err: err}
	if text, ok := reply(err); ok {
		e.Code = outcome.Code(text)
	} else if ctx.Err() == nil && !isDial(err) && !errors.Is(err, conn.ErrNoCluster) {
		e.Err = &handshakeError{err}
	}
	return e
}

// handshakeError: connected, but there was no proper answer to HELLO.
type handshakeError struct{ err error }

func (e *handshakeError) Error() string {
	if errors.Is(e.err, context.DeadlineExceeded) {
		return "connected, but no answer came within the dial deadline (Config.DialTimeout); is the server frozen, or is TLS wanted there?"
	}
	return "connected, but the server did not answer as Redis does; is it another service, or is TLS wanted there?"
}
func (e *handshakeError) Outcome() Outcome     { return NotApplied }
func (e *handshakeError) Is(target error) bool { return target == ErrUnavailable }
