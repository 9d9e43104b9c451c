package embedded

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/alicebob/miniredis/v2/server"
)

// Name is what the server calls itself in HELLO's field "server" and in INFO's
// field "server_name".
const Name = "redstart-embedded"

// compatible is the version in HELLO and INFO: the Redis release whose commands
// are there as a whole. Clients parse it, so it has the form of a version.
const compatible = "7.4.0"

// engine names what really executes the commands (INFO's field "engine").
const engine = "miniredis-2.40.0"

// Config of a server. The zero value is ready to use.
type Config struct {
	// Seed makes the choices of RANDOMKEY, SPOP, SRANDMEMBER, HRANDFIELD and
	// ZRANDMEMBER repeatable. 0: they differ from run to run.
	Seed int
}

// Server is a running server. Its methods are safe for concurrent use.
type Server struct {
	mini     *miniredis.Miniredis
	srv      *server.Server
	addr     string
	port     int
	runID    string
	started  time.Time
	clock    *clock
	commands *commandTable

	sessions sync.Map     // *server.Peer → *session, of open connections
	lastID   atomic.Int64 // the last connection id given out
	close    sync.Once
}

// Start starts a server on a free port of 127.0.0.1. It is empty and accepts
// connections when Start returns. Close it when done.
func Start(cfg Config) (*Server, error) {
	id := make([]byte, 20)
	if _, err := rand.Read(id); err != nil {
		return nil, fmt.Errorf("redstart/embedded: no random run id: %w", err)
	}
	m := miniredis.NewMiniRedis()
	if cfg.Seed != 0 {
		m.Seed(cfg.Seed)
	}
	if err := m.StartAddr("127.0.0.1:0"); err != nil {
		return nil, fmt.Errorf("redstart/embedded: listen on a free port of 127.0.0.1: %w", err)
	}
	s := &Server{
		mini:    m,
		srv:     m.Server(),
		runID:   hex.EncodeToString(id),
		started: time.Now(),
	}
	s.addr, s.port = m.Addr(), s.srv.Addr().Port
	s.clock = startClock(m, s.srv)
	for name, answer := range map[string]server.Cmd{"CONFIG": s.config, "ROLE": s.role} {
		if err := s.srv.Register(name, answer, server.ReadOnlyOption()); err != nil {
			m.Close()
			return nil, fmt.Errorf("redstart/embedded: add command: %w", err)
		}
	}
	s.commands = readCommands(s.srv)
	s.srv.SetPreHook(s.before)
	return s, nil
}

// URL is what redstart.Open takes: "redis://127.0.0.1:port".
func (s *Server) URL() string { return "redis://" + s.addr }

// Addr is "127.0.0.1:port".
func (s *Server) Addr() string { return s.addr }

// Close stops the server, closes its connections and waits until their
// goroutines have ended; blocked commands end with the connection. The data is
// gone. It may be called again, and always returns nil.
func (s *Server) Close() error {
	s.close.Do(s.mini.Close)
	return nil
}
