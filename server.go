package redstart

import (
	"context"
	"slices"
	"strings"
	"sync"

	"github.com/redis/rueidis"
)

// Feature is something that not every server has.
type Feature string

// What patterns ask for. Each stands for the command that a server must list.
const (
	Tracking      Feature = "client|tracking" // invalidation messages for keys read
	HashFieldTTL  Feature = "hexpire"         // expiry of single hash fields
	VectorSets    Feature = "vadd"            // vector sets
	WaitAOF       Feature = "waitaof"         // waiting for the disk
	ShardedPubSub Feature = "spublish"        // channels that belong to a slot
	Functions     Feature = "function"        // stored functions
	JSON          Feature = "json.set"        // JSON documents
	JSONMerge     Feature = "json.merge"      // RFC 7396 merge, which valkey-json lacks
	Search        Feature = "ft.search"       // secondary indexes
	TimeSeries    Feature = "ts.add"          // time series
)

var features = []Feature{Tracking, HashFieldTTL, VectorSets, WaitAOF, ShardedPubSub, Functions, JSON, JSONMerge, Search, TimeSeries}

// Server is what a server says it is and what it can do.
type Server struct {
	// Flavour is "redis", "valkey" or "embedded"; what the server calls itself
	// where it is none of these.
	Flavour string
	// Version is for people. Whether something works, ask Has.
	Version string
	has     []Feature
}

// Has reports whether the server lists the command that f stands for. The
// permission to run it is another matter.
func (s Server) Has(f Feature) bool { return slices.Contains(s.has, f) }

// Require gives ErrUnsupported, naming the feature and the server, unless the
// server has f. op is the package and the verb.
func (s Server) Require(op string, f Feature) error {
	if s.Has(f) {
		return nil
	}
	return &Error{Op: op, Template: string(f), Outcome: NotApplied, Err: &unsupported{f, s}}
}

type unsupported struct {
	feature Feature
	server  Server
}

func (u *unsupported) Error() string {
	return strings.TrimSpace("not supported by the server (" + u.server.Flavour + " " + u.server.Version + ")")
}
func (u *unsupported) Is(target error) bool { return target == ErrUnsupported }

type serverMemo struct {
	mu    sync.Mutex
	epoch uint64 // the connections made then, plus one, so that zero is never
	Server
}

// Server asks the server what it is: HELLO and one COMMAND INFO, once for as
// long as the connections hold; after a new one it asks again.
func (c *Client) Server(ctx context.Context) (Server, error) {
	m := &c.core.server
	epoch := c.core.conns.Made() + 1
	m.mu.Lock()
	known, at := m.Server, m.epoch
	m.mu.Unlock()
	if at == epoch {
		return known, nil
	}
	ask := c.B().Arbitrary("COMMAND", "INFO")
	for _, f := range features {
		ask = ask.Args(string(f))
	}
	results := c.DoMulti(ctx, c.B().Arbitrary("HELLO").Build(), ask.Build())
	commands, err := results[1].ToArray()
	if err != nil {
		return Server{}, NewError("redstart: ask the server", "COMMAND INFO", "", err)
	}
	s := Server{Flavour: "redis"}
	if hello, err := results[0].AsStrMap(); err == nil {
		s.Flavour, s.Version = hello["server"], hello["version"]
	} else if hello, err := results[0].AsMap(); err == nil {
		s.Flavour, s.Version = text(hello["server"]), text(hello["version"])
	}
	switch s.Flavour {
	case "miniredis", "redstart-embedded":
		s.Flavour = "embedded"
	}
	for i, f := range features {
		if i < len(commands) && !commands[i].IsNil() {
			if entry, err := commands[i].ToArray(); err == nil && len(entry) > 0 {
				s.has = append(s.has, f)
			}
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.Server, m.epoch = s, epoch
	return s, nil
}

func text(m rueidis.RedisMessage) string {
	s, _ := m.ToString()
	return s
}
