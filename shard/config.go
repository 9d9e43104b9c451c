package shard

import (
	"errors"
	"fmt"
	"time"

	"github.com/redstart-go/redstart"
)

// Shard is one server of a [Config]: its name, its weight, and where it is.
type Shard struct {
	// Name is the shard's identity: it alone decides, with the weights, which
	// keys are there. It stays when the server moves to another address.
	Name string
	// Weight is its share relative to the others', 1 to [MaxWeight]. Default: 1.
	Weight int
	// URL is where the server is, as redstart.Open takes it. The connections
	// are the sharded client's, which closes them.
	URL string
	// Client is a client that is there already, in place of URL; Close leaves it
	// open. It must not be one of a cluster.
	Client *redstart.Client
}

// Config says which servers a Client is made of. Every invalid field is reported
// at once by [Open].
type Config struct {
	// Shards are the servers, in any order: the order plays no part in who owns
	// what. Required.
	Shards []Shard

	// Redstart is how the shards given by a URL are connected to: deadlines,
	// credentials, TLS, hooks. Its Namespace plays no part here; give it to
	// redstart.Wrap. Default: the zero redstart.Config.
	Redstart redstart.Config

	// ReopenPause is the least time between two attempts to reach a shard that
	// was away when the client was opened; calls in between fail at once.
	// Default: 200 ms.
	ReopenPause time.Duration
}

const defaultReopenPause = 200 * time.Millisecond

func (cfg Config) withDefaults() (Config, Layout, error) {
	var wrong []error
	bad := func(format string, args ...any) {
		wrong = append(wrong, fmt.Errorf("redstart/shard: config: "+format, args...))
	}
	members := make([]Member, len(cfg.Shards))
	urls, clients := map[string]string{}, map[*redstart.Client]string{}
	for i, s := range cfg.Shards {
		members[i] = Member{Name: s.Name, Weight: s.Weight}
		switch {
		case (s.URL == "") == (s.Client == nil):
			bad("shard %q: give either URL or Client", s.Name)
		case s.Client != nil:
			if other, twice := clients[s.Client]; twice {
				bad("shards %q and %q have the same Client", other, s.Name)
			}
			clients[s.Client] = s.Name
			if s.Client.Mode() == clusterMode {
				bad("shard %q: its Client follows a cluster, which spreads its keys by itself; use that client alone", s.Name)
			}
		default:
			if other, twice := urls[s.URL]; twice {
				bad("shards %q and %q have the same URL", other, s.Name)
			}
			urls[s.URL] = s.Name
		}
	}
	layout, err := NewLayout(members...)
	if err != nil {
		wrong = append(wrong, err)
	}
	if cfg.ReopenPause == 0 {
		cfg.ReopenPause = defaultReopenPause
	} else if cfg.ReopenPause < 0 {
		bad("ReopenPause is negative; a shard that is away is not asked without a pause")
	}
	return cfg, layout, errors.Join(wrong...)
}
