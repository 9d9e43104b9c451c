package wake

import (
	"context"
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
	conn  rueidis.DedicatedClient
	optin bool
	since time.Time // when the node was asked to tell
	lost  chan struct{}
}

// Open opens a session. An error means that the node tells nothing: it cannot
// be reached, or refuses (an old server, an ACL, the embedded one). The pool may
// make it wait for a connection until ctx ends. One round trip, and the dial.
func Open(ctx context.Context, at Node, t Tracking) (*Session, error) {
	conn, err := lend(ctx, at)
	if err != nil {
		return nil, err
	}
	s := &Session{conn: conn, optin: len(t.Prefixes) == 0, lost: make(chan struct{})}
	ends := conn.SetOnInvalidations(func(messages []rueidis.RedisMessage) {
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
	on := conn.B().Arbitrary("CLIENT", "TRACKING", "ON", "OPTIN").Build()
	if !s.optin {
		b := conn.B().Arbitrary("CLIENT", "TRACKING", "ON", "BCAST")
		for _, p := range t.Prefixes {
			b = b.Args("PREFIX", p)
		}
		on = b.Build()
	}
	s.since = time.Now()
	if err := conn.Do(ctx, on).Error(); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// lend takes a connection from the node's pool, which may be a long wait and
// knows no context.
func lend(ctx context.Context, at Node) (rueidis.DedicatedClient, error) {
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
		return l.conn, nil
	case <-ctx.Done():
		go func() { (<-lent).release() }()
		return nil, ctx.Err()
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

// Heartbeat asks the node for a sign of life every so often, until the session
// is lost or ctx ends. After each answer alive is told a time: every change that
// the node made before it has been told. That is when the question before this
// one was sent, since an answer may overtake what is told in the same moment; at
// the first answer, when the session was asked for. From a silent node no answer
// comes, and the session is lost within redstart.Config.Timeout.
func (s *Session) Heartbeat(ctx context.Context, every time.Duration, alive func(told time.Time)) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for before := s.since; ; {
		now := time.Now()
		if s.conn.Do(ctx, s.conn.B().Ping().Build()).Error() != nil {
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
}
