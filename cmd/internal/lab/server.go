package lab

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/redis/rueidis"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/embedded"
	"github.com/redstart-go/redstart/redstarttest"
)

// Server is where a scenario runs.
type Server struct {
	// URL is its address, Label what it is, for people.
	URL, Label string
	// private is set when it is a process of our own, which alone may be killed and frozen.
	private *redstarttest.Server
	// given is set when it is someone else's: what the lab made there it removes.
	given bool
	// noFault says why no fault can be made.
	noFault string
	// Close stops it if the lab started it.
	Close func() error
}

// Open gives the server that the user chose: a URL, "embedded", or "" for a private redis-server where the machine
// has one and else the embedded server.
func Open(ctx context.Context, choice string) (*Server, error) { return open(ctx, choice, "") }

// OpenDurable is Open, and a private redis-server has its append-only file on.
func OpenDurable(ctx context.Context, choice string) (*Server, error) {
	return open(ctx, choice, "everysec")
}

func open(ctx context.Context, choice, aof string) (*Server, error) {
	s := &Server{Close: func() error { return nil }}
	where := ""
	switch choice {
	case "":
		path, err := redstarttest.Find()
		if err != nil {
			return open(ctx, "embedded", aof)
		}
		s.private, err = redstarttest.StartServer(ctx, redstarttest.ServerConfig{Path: path, AOF: aof})
		if err != nil {
			return nil, fmt.Errorf("start a private redis-server: %w", err)
		}
		s.URL, s.Close, where = s.private.URL(), s.private.Close, ", private"
		if aof != "" {
			where += ", AOF " + aof
		}
	case "embedded":
		e, err := embedded.Start(embedded.Config{})
		if err != nil {
			return nil, fmt.Errorf("start the embedded server: %w", err)
		}
		s.URL, s.Close = e.URL(), e.Close
		s.noFault = "the embedded server lives in this process; install redis-server to see it"
	default:
		if _, err := rueidis.ParseURL(choice); err != nil {
			return nil, fmt.Errorf("%w: --redis takes a URL such as redis://localhost:6379, or embedded", ErrUsage)
		}
		s.URL, s.given, where = choice, true, ", given"
		s.noFault = "a server that the lab did not start is left alone; leave out --redis to have one started"
	}
	c, err := redstart.Open(ctx, s.URL, redstart.Config{ClientName: "redstart-lab"})
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	defer c.Close()
	is, err := c.Server(ctx)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("ask the server what it is: %w", err), s.Close())
	}
	s.Label = strings.TrimSpace(is.Flavour+" "+is.Version) + where
	if is.Flavour == "embedded" && !s.given {
		s.Label = "embedded, in this process"
	}
	return s, nil
}

// CanFault returns the fault as it will be reported, and whether it can be made.
func (s *Server) CanFault(f Fault) (reported string, can bool) {
	switch {
	case f == None:
		return string(f), false
	case s.private == nil:
		return fmt.Sprintf("%s: skipped: %s", f, s.noFault), false
	default:
		return string(f), true
	}
}

// Remove unlinks keys from a given server, by name: nothing else is touched. It works after ctx has ended too, for a few
// seconds; what then is left expires by itself.
func (s *Server) Remove(ctx context.Context, keys []string) error {
	if !s.given {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	c, err := PlainClient(s.URL)
	if err != nil {
		return fmt.Errorf("remove the lab's keys: %w", err)
	}
	defer c.Close()
	for part := range slices.Chunk(keys, 500) {
		commands := make([]rueidis.Completed, len(part))
		for i, k := range part {
			commands[i] = c.B().Unlink().Key(k).Build()
		}
		for _, r := range c.DoMulti(ctx, commands...) {
			if err := r.Error(); err != nil {
				return fmt.Errorf("remove the lab's keys: %w", err)
			}
		}
	}
	return nil
}

// RemoveAll is Remove for all that lies under a namespace of the lab's, whatever its names are. It looks through the names of
// the server's keys, a thousand at a time.
func (s *Server) RemoveAll(ctx context.Context, namespace string) error {
	if !s.given {
		return nil
	}
	look, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	c, err := PlainClient(s.URL)
	if err != nil {
		return fmt.Errorf("find the lab's keys: %w", err)
	}
	defer c.Close()
	var keys []string
	for cursor := uint64(0); ; {
		e, err := c.Do(look, c.B().Scan().Cursor(cursor).Match(namespace+":*").Count(1000).Build()).AsScanEntry()
		if err != nil {
			return fmt.Errorf("find the lab's keys: %w", err)
		}
		keys = append(keys, e.Elements...)
		if cursor = e.Cursor; cursor == 0 {
			return s.Remove(ctx, keys)
		}
	}
}

// Namespace is a prefix that nobody else uses.
func Namespace() string {
	var b [6]byte
	rand.Read(b[:]) // it never fails
	return "redstart-lab-" + hex.EncodeToString(b[:])
}

// PlainClient is the client that the recipes use: no retries, no client-side caching, as in the tutorials.
func PlainClient(url string) (rueidis.Client, error) {
	o, err := rueidis.ParseURL(url)
	if err != nil {
		return nil, err
	}
	o.DisableRetry, o.DisableCache, o.ForceSingleClient = true, true, true
	return rueidis.NewClient(o)
}
