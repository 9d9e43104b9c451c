package redstart

import (
	"context"
	"crypto/tls"
	"errors"
	"math/bits"
	"time"

	"github.com/redis/rueidis"

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
	t, err := parseURL(url)
	cfg, invalid := cfg.withDefaults()
	if err = errors.Join(err, invalid); err != nil {
		return nil, err
	}
	if t.database >= 0 {
		cfg.Database = t.database
	}
	if t.username != "" {
		cfg.Username = t.username
	}
	if t.password != "" {
		cfg.Password = t.password
	}
	c := newClient(nil, cfg, true)
	d := &dialer{target: t, tls: tlsFor(t, cfg), timeout: cfg.DialTimeout, login: cfg.Credentials, core: c.core}
	c.core.dialer = d
	if len(t.sentinels) > 0 {
		if err := c.follow(ctx, d); err != nil {
			c.core.cancel()
			c.core.background.Wait()
			return nil, openError(ctx, t, err)
		}
	}
	if c.inner, err = connect(ctx, option(d, cfg)); err == nil && len(t.cluster) > 0 && c.inner.Mode() != rueidis.ClientModeCluster {
		c.inner.Close()
		err = errNoCluster
	}
	if err != nil {
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

func tlsFor(t target, cfg Config) *tls.Config {
	if !t.tls && cfg.TLS == nil {
		return nil
	}
	if cfg.TLS == nil {
		return &tls.Config{ServerName: t.host, MinVersion: tls.VersionTLS12} // no name: each node has its own
	}
	own := cfg.TLS.Clone()
	if own.ServerName == "" {
		own.ServerName = t.host
	}
	return own
}

// option is what rueidis is told. It repeats nothing by itself, always
// pipelines (a caller's deadline then ends the call, not the connection), and
// asks a silent server by PING so that its silence ends within cfg.Timeout.
func option(d *dialer, cfg Config) rueidis.ClientOption {
	o := rueidis.ClientOption{
		InitAddress:       []string{d.target.addr},
		DialCtxFn:         d.dial,
		Username:          cfg.Username,
		Password:          cfg.Password,
		SelectDB:          cfg.Database,
		ClientName:        cfg.ClientName,
		ClientSetInfo:     []string{"redstart", version},
		BlockingPoolSize:  cfg.BlockingPool + 1, // and the one for tracking
		ForceSingleClient: true,
		AlwaysPipelining:  true,
		DisableRetry:      true,
		DisableCache:      true,
		ConnWriteTimeout:  cfg.Timeout / 2,
	}
	o.Dialer.Timeout = cfg.DialTimeout
	o.Dialer.KeepAlive = cfg.Timeout / 4
	if len(d.target.cluster) > 0 {
		o.InitAddress, o.ForceSingleClient = d.target.cluster, false
		o.ClusterOption.ShardsRefreshInterval = refreshCluster
		o.ClusterOption.MaxMovedRedirections = redirections
	}
	if cfg.Pipelines > 0 {
		o.PipelineMultiplex = bits.Len(uint(cfg.Pipelines)) - 1
		if cfg.Pipelines == 1 {
			o.PipelineMultiplex = -1
		}
	}
	if cfg.Credentials != nil {
		o.AuthCredentialsFn = func(a rueidis.AuthCredentialsContext) (rueidis.AuthCredentials, error) {
			who, _ := a.Address.(loginAddr)
			return rueidis.AuthCredentials{Username: who.username, Password: who.password}, nil
		}
	}
	return o
}

// refreshCluster is how often a cluster is asked for its slots when nothing has
// gone wrong; a MOVED or a lost connection asks at once.
const refreshCluster = 5 * time.Second

// redirections is how many MOVED and ASK in a row are followed at once; two nodes
// that each name the other for a slot would send a command to and fro for ever.
// Beyond it the call pauses like others whose slot is on its way.
const redirections = 16

var errNoCluster = errors.New("the server there is no cluster; use redis://")

// version is what CLIENT LIST shows as the library's version.
const version = "0.1.0"

// connect makes the rueidis client, for as long as ctx lives: its first dial
// knows no context.
func connect(ctx context.Context, o rueidis.ClientOption) (rueidis.Client, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	type made struct {
		client rueidis.Client
		err    error
	}
	done := make(chan made, 1)
	go func() {
		client, err := rueidis.NewClient(o)
		if err != nil && client != nil {
			client.Close()
			client = nil
		}
		done <- made{client, err}
	}()
	select {
	case m := <-done:
		return m.client, m.err
	case <-ctx.Done():
		go func() {
			if m := <-done; m.client != nil {
				m.client.Close()
			}
		}()
		return nil, ctx.Err()
	}
}

// openError is one line about a server that could not be used.
func openError(ctx context.Context, t target, err error) error {
	e := &Error{Op: "redstart: open", Template: t.shown(), Outcome: NotApplied, Err: err}
	if text, ok := reply(err); ok {
		e.Code = outcome.Code(text)
	} else if ctx.Err() == nil && !isDial(err) && !errors.Is(err, errNoCluster) {
		e.Err = &handshakeError{err}
	}
	return e
}

func isDial(err error) bool {
	var d *dialError
	return errors.As(err, &d)
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
