package harness

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"sync"
	"testing"
)

// Source is the source of truth that caches of all processes load from: a
// version per key, in the parent, which counts every load. It listens on a
// free port of 127.0.0.1; children reach it with [Dial].
type Source struct {
	listener net.Listener
	ctx      context.Context
	cancel   context.CancelFunc
	work     sync.WaitGroup

	mu       sync.Mutex
	versions map[string]uint64
	loads    map[string]int
	behave   func(context.Context, Ask, Answer) Answer
	commit   func(key string, version uint64)
	conns    map[net.Conn]bool
}

// Ask is what a process wants of the source.
type Ask struct {
	Key     string `json:"key"`
	Process int    `json:"process"`
	Commit  bool   `json:"commit"` // raise the version; else load it
	Old     uint64 `json:"old"`    // of a load: the version that is cached; 0: none
}

// Answer is what it gets.
type Answer struct {
	Version uint64 `json:"version"`
	Err     string `json:"err"`    // the load fails with it
	Panic   bool   `json:"panic"`  // the load panics
	Goexit  bool   `json:"goexit"` // the load ends its goroutine
	Hang    bool   `json:"hang"`   // the load never returns, whatever its context says
}

// NewSource starts a source that ends with the test.
func NewSource(t testing.TB) *Source {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("start the source: %v", err)
	}
	s := &Source{listener: l, versions: map[string]uint64{}, loads: map[string]int{}, conns: map[net.Conn]bool{}}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.work.Go(s.accept)
	t.Cleanup(s.close)
	return s
}

// Addr is where it listens.
func (s *Source) Addr() string { return s.listener.Addr().String() }

// Behave sets what happens to a load between the reading of the version and
// the answer: f may take its time, until its context ends, and change the
// answer. nil: nothing.
func (s *Source) Behave(f func(ctx context.Context, ask Ask, answer Answer) Answer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.behave = f
}

// OnCommit sets what is called for each version before any load can see it.
func (s *Source) OnCommit(f func(key string, version uint64)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.commit = f
}

// Commit raises the version of a key, and gives it. Version 1 of every key is
// there from the beginning.
func (s *Source) Commit(key string) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	version := max(s.versions[key], 1) + 1
	if s.commit != nil {
		s.commit(key, version)
	}
	s.versions[key] = version
	return version
}

// Load reads a version as a process does by [Store.Load].
func (s *Source) Load(ctx context.Context, ask Ask) Answer {
	s.mu.Lock()
	s.loads[ask.Key]++
	answer := Answer{Version: max(s.versions[ask.Key], 1)}
	behave := s.behave
	s.mu.Unlock()
	if behave != nil {
		return behave(ctx, ask, answer)
	}
	return answer
}

// Version is the version of a key that a load would read.
func (s *Source) Version(key string) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return max(s.versions[key], 1)
}

// Loads is how many loads of a key have begun.
func (s *Source) Loads(key string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.loads[key]
}

func (s *Source) accept() {
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			return // closed: nothing else ends a listener on loopback
		}
		s.mu.Lock()
		s.conns[conn] = true
		s.mu.Unlock()
		s.work.Go(func() { s.serve(conn) })
	}
}

func (s *Source) serve(conn net.Conn) {
	defer func() {
		conn.Close()
		s.mu.Lock()
		delete(s.conns, conn)
		s.mu.Unlock()
	}()
	in, out := json.NewDecoder(conn), json.NewEncoder(conn)
	for s.ctx.Err() == nil {
		var ask Ask
		if in.Decode(&ask) != nil {
			return
		}
		var answer Answer
		if ask.Commit {
			answer.Version = s.Commit(ask.Key)
		} else {
			answer = s.Load(s.ctx, ask)
		}
		if err := out.Encode(answer); err != nil {
			return // the process is gone
		}
	}
}

func (s *Source) close() {
	s.cancel()
	s.listener.Close()
	s.mu.Lock()
	for conn := range s.conns {
		conn.Close()
	}
	s.mu.Unlock()
	s.work.Wait()
}

// Store is a process's way to a Source. It is safe for concurrent use; each
// load under way has a connection of its own.
type Store struct {
	addr    string
	process int

	mu   sync.Mutex
	idle []*storeConn
}

type storeConn struct {
	net.Conn
	in  *json.Decoder
	out *json.Encoder
}

// Dial gives a way to the source at addr for a process with a number.
func Dial(addr string, process int) *Store { return &Store{addr: addr, process: process} }

// Commit raises the version of a key, and gives it.
func (s *Store) Commit(ctx context.Context, key string) (uint64, error) {
	answer, err := s.ask(ctx, Ask{Key: key, Process: s.process, Commit: true})
	return answer.Version, err
}

// Load reads the version of a key, or does as the source tells it to.
func (s *Store) Load(ctx context.Context, key string) (uint64, error) {
	return s.LoadOver(ctx, key, 0)
}

// LoadOver is Load while a version stands in the cache.
func (s *Store) LoadOver(ctx context.Context, key string, old uint64) (uint64, error) {
	answer, err := s.ask(ctx, Ask{Key: key, Process: s.process, Old: old})
	if err != nil {
		return 0, err
	}
	return answer.Act()
}

func (s *Store) ask(ctx context.Context, ask Ask) (Answer, error) {
	c, err := s.take(ctx)
	if err != nil {
		return Answer{}, fmt.Errorf("reach the source: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { c.Close() })
	var answer Answer
	err = c.out.Encode(ask)
	if err == nil {
		err = c.in.Decode(&answer)
	}
	if !stop() || err != nil {
		c.Close()
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return answer, err
	}
	s.mu.Lock()
	s.idle = append(s.idle, c)
	s.mu.Unlock()
	return answer, nil
}

func (s *Store) take(ctx context.Context) (*storeConn, error) {
	s.mu.Lock()
	if n := len(s.idle); n > 0 {
		c := s.idle[n-1]
		s.idle = s.idle[:n-1]
		s.mu.Unlock()
		return c, nil
	}
	s.mu.Unlock()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", s.addr)
	if err != nil {
		return nil, err
	}
	return &storeConn{conn, json.NewDecoder(conn), json.NewEncoder(conn)}, nil
}

// Close closes the connections that are not in use.
func (s *Store) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.idle {
		c.Close()
	}
	s.idle = nil
}
