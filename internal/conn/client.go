// Package conn makes and knows the connections of one client: how they are
// dialled and who they log in as, what rueidis is told about them, and which
// are open.
package conn

import (
	"context"
	"crypto/tls"
	"errors"
	"math/bits"
	"net"
	"time"

	"github.com/redis/rueidis"
)

// Config says how connections are made, and who is told. Fields that do not say
// what nil or zero means are needed.
type Config struct {
	TLS                *tls.Config // nil: none
	Username, Password string
	Credentials        func(ctx context.Context) (username, password string, err error) // nil: Username and Password

	Database     int
	ClientName   string
	DialTimeout  time.Duration // TCP and TLS
	Timeout      time.Duration // the longest silence of a server
	Pipelines    int           // 0: rueidis' own choice
	BlockingPool int

	Life      context.Context                                      // ends with the client: then nothing is kept for a next caller
	Conns     *Set                                                 // where the connections are noted
	Away      func(addr string) error                              // why an address is not dialled now; nil where it is
	Connected func(addr string, took time.Duration, failure error) // after each attempt; the failure is a *DialError
	Ended     func(addr string)                                    // after each connection
}

// version is what CLIENT LIST shows as the library's version.
const version = "0.1.0"

// refreshCluster is how often a cluster is asked for its slots when nothing has
// gone wrong; a MOVED or a lost connection asks at once.
const refreshCluster = 5 * time.Second

// redirections is how many MOVED and ASK in a row are followed at once; two nodes
// that each name the other for a slot would send a command to and fro for ever.
// Beyond it the call pauses like others whose slot is on its way.
const redirections = 16

// ErrNoCluster says that a single server answered where a cluster was to be.
var ErrNoCluster = errors.New("the server there is no cluster; use redis://")

// Connect gives the rueidis client of the target.
func (d *Dialer) Connect(ctx context.Context) (rueidis.Client, error) {
	client, err := connect(ctx, d.option())
	if err == nil && d.Cluster() && client.Mode() != rueidis.ClientModeCluster {
		client.Close()
		return nil, ErrNoCluster
	}
	return client, err
}

// ConnectReplica gives a rueidis client that reads from the replica at addr, for
// as long as that is the process called run.
func (d *Dialer) ConnectReplica(ctx context.Context, addr, run string) (rueidis.Client, error) {
	o := d.option()
	o.InitAddress, o.ForceSingleClient = []string{addr}, true
	o.DialCtxFn = func(caller context.Context, addr string, _ *net.Dialer, _ *tls.Config) (net.Conn, error) {
		return d.dialReplica(caller, addr, run)
	}
	return connect(ctx, o)
}

// option is what rueidis is told. It repeats nothing by itself, always
// pipelines (a caller's deadline then ends the call, not the connection), and
// asks a silent server by PING so that its silence ends within Timeout.
func (d *Dialer) option() rueidis.ClientOption {
	o := rueidis.ClientOption{
		InitAddress:       []string{d.Target.Addr},
		DialCtxFn:         d.dial,
		Username:          d.cfg.Username,
		Password:          d.cfg.Password,
		SelectDB:          d.cfg.Database,
		ClientName:        d.cfg.ClientName,
		ClientSetInfo:     []string{"redstart", version},
		BlockingPoolSize:  d.cfg.BlockingPool + 1, // and the one for tracking
		ForceSingleClient: true,
		AlwaysPipelining:  true,
		DisableRetry:      true,
		DisableCache:      true,
		ConnWriteTimeout:  d.cfg.Timeout / 2,
	}
	o.Dialer.Timeout = d.cfg.DialTimeout
	o.Dialer.KeepAlive = d.cfg.Timeout / 4
	if d.Cluster() {
		o.InitAddress, o.ForceSingleClient = d.Target.Cluster, false
		o.ClusterOption.ShardsRefreshInterval = refreshCluster
		o.ClusterOption.MaxMovedRedirections = redirections
	}
	if d.cfg.Pipelines > 0 {
		o.PipelineMultiplex = bits.Len(uint(d.cfg.Pipelines)) - 1
		if d.cfg.Pipelines == 1 {
			o.PipelineMultiplex = -1
		}
	}
	if d.cfg.Credentials != nil {
		o.AuthCredentialsFn = func(a rueidis.AuthCredentialsContext) (rueidis.AuthCredentials, error) {
			who, _ := a.Address.(loginAddr)
			return rueidis.AuthCredentials{Username: who.username, Password: who.password}, nil
		}
	}
	return o
}

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
