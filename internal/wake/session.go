package wake

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"
)

// Node is where a session is opened: a redstart.Client, or in a cluster one of
// its Nodes().
type Node interface {
	Dedicate() (conn rueidis.DedicatedClient, release func())
}

// Tracking says of which keys a node is to tell, and whom.
type Tracking struct {
	// Prefixes of the keys that are told of whoever reads them (BCAST). None:
	// only a key that Session.Get has read is told of, once (OPTIN).
	Prefixes []string
	// Each: every key that was read over the session is told of, once.
	Each bool
	// Told gets the keys that may have changed; all says that it may be any key
	// (FLUSHALL; the connection was lost). The calls follow one another, on the
	// goroutine that reads the connection: Told must not block. What a node
	// tells before it answers a command has been told when the answer is there.
	Told func(keys []string, all bool)
}

// Session is a connection of its own on which one node tells of changed keys.
// Once lost it stays lost: open another. It takes one connection of the node's
// blocking pool (redstart.Config.BlockingPool).
type Session struct {
	conn    rueidis.DedicatedClient
	release func()
	optin   bool
	since   time.Time // when the node was asked to tell
	lost    chan struct{}

	cluster *place // nil: the node is not one of many
}

// place is what a session knows of its node in a cluster.
type place struct {
	own   string // what the node had when the session was opened, see Session.own
	moved func() // a key turned out to be elsewhere
}

// Open opens a session. An error means that the node tells nothing: it cannot
// be reached, or refuses (an old server, an ACL, the embedded one), or has no
// RESP3. The pool may make it wait for a connection until ctx ends. One round
// trip, and the dial.
func Open(ctx context.Context, at Node, t Tracking) (*Session, error) {
	conn, release, err := lend(ctx, at)
	if err != nil {
		return nil, err
	}
	s := &Session{conn: conn, release: release, optin: len(t.Prefixes) == 0 && !t.Each, lost: make(chan struct{})}
	var refused atomic.Bool // its end is that of nothing
	ends := conn.SetOnInvalidations(func(messages []rueidis.RedisMessage) {
		if refused.Load() {
			return
		}
		keys := make([]string, 0, len(messages))
		for _, m := range messages {
			if key, err := m.ToString(); err == nil {
				keys = append(keys, key)
			}
		}
		t.Told(keys, messages == nil)
	})
	go func() {
		defer close(s.lost)
		<-ends //nolint:errcheck // whatever it says, the connection is gone
	}()
	on := conn.B().Arbitrary("CLIENT", "TRACKING", "ON")
	switch {
	case s.optin:
		on = on.Args("OPTIN")
	case !t.Each:
		on = on.Args("BCAST")
		for _, p := range t.Prefixes {
			on = on.Args("PREFIX", p)
		}
	}
	s.since = time.Now()
	results := conn.DoMulti(ctx, on.Build(), conn.B().Arbitrary("HELLO").Build())
	err = results[0].Error()
	if err == nil {
		// Without RESP3 a server accepts, and then tells nothing. RESP3 has maps.
		var hello rueidis.RedisMessage
		if hello, err = results[1].ToMessage(); err == nil && !hello.IsMap() {
			err = errRESP2
		}
	}
	if err != nil {
		refused.Store(true)
		s.Close()
		return nil, err
	}
	return s, nil
}

var errRESP2 = errors.New("redstart/wake: the connection speaks RESP2, on which nothing is told")

// lend takes a connection from the node's pool, which may be a long wait and
// knows no context.
func lend(ctx context.Context, at Node) (rueidis.DedicatedClient, func(), error) {
	type loan struct {
		conn    rueidis.DedicatedClient
		release func()
	}
	lent := make(chan loan, 1)
	go func() {
		conn, release := at.Dedicate()
		lent <- loan{conn, release}
	}()
	select {
	case l := <-lent:
		return l.conn, l.release, nil
	case <-ctx.Done():
		go func() { (<-lent).release() }()
		return nil, nil, ctx.Err()
	}
}

// Get reads a key over the session: a change before that is seen here, a later
// one told. One round trip.
func (s *Session) Get(ctx context.Context, key string) rueidis.RedisResult {
	b := s.conn.B()
	get := b.Get().Key(key).Build()
	if !s.optin {
		return s.conn.Do(ctx, get)
	}
	results := s.conn.DoMulti(ctx, b.ClientCaching().Yes().Build(), get)
	if err := results[0].Error(); err != nil {
		return rueidis.NewErrorResult(err)
	}
	return results[1]
}

// B starts a command for Do.
func (s *Session) B() rueidis.Builder { return s.conn.B() }

// Do sends commands over the session together. What they read is tracked unless
// the session is one for single keys (OPTIN). A key that a cluster has elsewhere
// is an error (MOVED, ASK); then the slots are asked for.
func (s *Session) Do(ctx context.Context, commands ...rueidis.Completed) []rueidis.RedisResult {
	results := s.conn.DoMulti(ctx, commands...)
	if s.cluster != nil {
		for _, r := range results {
			if reply, ok := rueidis.IsRedisErr(r.Error()); ok {
				if _, moved := reply.IsMoved(); moved {
					s.cluster.moved()
					break
				}
			}
		}
	}
	return results
}

// in says that the session's node is one of a cluster. One round trip.
func (s *Session) in(ctx context.Context, moved func()) error {
	own, err := s.own(ctx)
	s.cluster = &place{own, moved}
	return err
}

// own is what a cluster's node says of itself: its part, its slots, and those on
// their way.
func (s *Session) own(ctx context.Context) (string, error) {
	text, err := s.conn.Do(ctx, s.conn.B().ClusterNodes().Build()).ToString()
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(text) {
		// id, address, flags, primary, three times and numbers, link, slots
		if f := strings.Fields(line); len(f) >= 8 && slices.Contains(strings.Split(f[2], ","), "myself") {
			return f[2] + " " + strings.Join(f[8:], " "), nil
		}
	}
	return "", errors.New("redstart/wake: the node does not know its place in the cluster")
}

// Heartbeat asks the node for a sign of life every so often, until the session
// is lost or ctx ends. After each answer alive is told a time: every change that
// the node made before it has been told. That is when the question before this
// one was sent, since an answer may overtake what is told in the same moment; at
// the first answer, when the session was asked for. From a silent node no answer
// comes, and the session is lost within redstart.Config.Timeout.
//
// A node of a cluster is asked for its slots instead: it tells nothing of keys
// that it does not have and that are written at another node, to which their
// slot goes, or is still on its way. So Heartbeat also returns when the node's
// part, its slots or those on their way have changed.
func (s *Session) Heartbeat(ctx context.Context, every time.Duration, alive func(told time.Time)) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for before := s.since; ; {
		now := time.Now()
		if s.cluster != nil {
			if own, err := s.own(ctx); err != nil || own != s.cluster.own {
				return
			}
		} else if s.conn.Do(ctx, s.conn.B().Ping().Build()).Error() != nil {
			return
		}
		alive(before)
		before = now
		select {
		case <-ticker.C:
		case <-s.lost:
			return
		case <-ctx.Done():
			return
		}
	}
}

// Lost is closed once nothing is told any more.
func (s *Session) Lost() <-chan struct{} { return s.lost }

// Close ends the session, within a second from a silent node.
func (s *Session) Close() {
	s.conn.Close()
	<-s.lost
	s.release()
}
