package wake

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/redis/rueidis"

	"github.com/redstart-go/redstart"
)

// When tracking failed: a connection is tried again soon, a server that
// refuses it (an old one, an ACL, the embedded server) much later. A slot that
// is elsewhere than was thought is looked up soon, but not by every sleeper.
const (
	retryLost    = time.Second
	retryRefused = time.Minute
	retryMoved   = 100 * time.Millisecond
)

// only is the name of a single server's node.
const only = ""

// Sessions keeps a session on each node of which a key was asked for, on that
// of a single server or on a cluster's primaries. They end with the client.
type Sessions struct {
	client   *redstart.Client
	tracking Tracking
	live     func(ctx context.Context, s *Session) // see NewSessions

	mu    sync.Mutex
	nodes map[string]*node // by address; of a single server, one
	slots slotTable        // of a cluster
}

// NewSessions makes none yet. live, if there is one, runs for as long as a
// session is to: when it returns, or its context ends since the session was
// lost, the session is closed.
func NewSessions(c *redstart.Client, t Tracking, live func(ctx context.Context, s *Session)) *Sessions {
	return &Sessions{client: c, tracking: t, live: live, nodes: map[string]*node{}}
}

// Up reports whether there is any session at present.
func (w *Sessions) Up() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, n := range w.nodes {
		if n.state == up {
			return true
		}
	}
	return false
}

// Of gives the session of the node that has the key. While there is none it is
// nil, and one is being made if that has a chance.
func (w *Sessions) Of(key string) *Session {
	_, s := w.sessionFor(key)
	return s
}

// Refused reports whether the node that has the key does not track at all.
func (w *Sessions) Refused(key string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	addr := only
	if w.client.Mode() == rueidis.ClientModeCluster {
		addr, _ = w.primaryOf(key)
	}
	n := w.nodes[addr]
	return n != nil && n.refused
}

// Moved says that a node does not have a key that it was asked for.
func (w *Sessions) Moved() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.slots.stale = true
}

// node is the session of one server: the only one, or a cluster's primary.
type node struct {
	state   state
	since   time.Time          // connecting
	session *Session           // nil unless up
	retryAt time.Time          // no session before, even if one is up
	refused bool               // the last attempt was: there is no tracking
	cancel  context.CancelFunc // ends the session; nil while down
}

type state uint8

const (
	down state = iota
	connecting
	up
)

// slotTable is where a cluster's slots are, as far as is known.
type slotTable struct {
	*Slots
	stale  bool // to be asked for
	asking bool
	askAt  time.Time // not asked for before
}

// sessionFor gives the session of the node that has the key. While there is
// none it is nil, and one is being made if that has a chance.
func (w *Sessions) sessionFor(key string) (*node, *Session) {
	w.mu.Lock()
	defer w.mu.Unlock()
	addr := only
	if w.client.Mode() == rueidis.ClientModeCluster {
		var known bool
		if addr, known = w.primaryOf(key); !known {
			return nil, nil
		}
	}
	n := w.nodes[addr]
	if n == nil {
		n = &node{}
		w.nodes[addr] = n
	}
	if time.Now().Before(n.retryAt) {
		return n, nil
	}
	switch n.state {
	case down:
		if w.client.Go(func(ctx context.Context) { w.run(ctx, addr, n) }) == nil {
			n.state, n.since = connecting, time.Now()
		}
	case connecting: // a silent node; who knows whether it still has the slot
		w.slots.stale = w.slots.stale || time.Since(n.since) > retryLost
	}
	return n, n.session
}

// primaryOf says where a key is, as far as is known, and sees to it that more
// will be. The mutex is held.
func (w *Sessions) primaryOf(key string) (addr string, known bool) {
	t := &w.slots
	if (t.stale || t.Slots == nil) && !t.asking && !time.Now().Before(t.askAt) {
		t.asking = w.client.Go(w.learn) == nil
	}
	if t.Slots == nil {
		return "", false
	}
	return t.Primary(key)
}

// learn asks where the slots are, and ends the sessions of nodes that have none.
func (w *Sessions) learn(ctx context.Context) {
	w.mu.Lock()
	w.slots.stale = false // what goes wrong from here on, the answer may not know
	w.mu.Unlock()
	slots, err := AskSlots(ctx, w.client)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.slots.asking, w.slots.askAt = false, time.Now().Add(retryMoved)
	if err != nil {
		w.slots.stale, w.slots.askAt = true, time.Now().Add(retryAfter(ctx, err))
		return
	}
	w.slots.Slots = slots
	primaries := slots.Primaries()
	for addr, n := range w.nodes {
		switch {
		case slices.Contains(primaries, addr):
		case n.state == down:
			delete(w.nodes, addr)
		case n.state == up:
			n.cancel()
		}
	}
}

// run keeps a node's session for as long as its connection lasts.
func (w *Sessions) run(ctx context.Context, addr string, n *node) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s, err := w.open(ctx, addr)
	w.mu.Lock()
	if err != nil {
		retry := retryAfter(ctx, err)
		n.refused = retry == retryRefused
		w.ended(n, retry)
		w.mu.Unlock()
		return
	}
	n.state, n.session, n.cancel, n.refused = up, s, cancel, false
	w.mu.Unlock()
	if w.live != nil {
		w.live(ctx, s)
	} else {
		select {
		case <-s.Lost():
		case <-ctx.Done():
		}
	}
	w.mu.Lock()
	w.ended(n, retryLost)
	w.mu.Unlock()
	s.Close()
}

// ended notes that a node has no session, and that its slots may be elsewhere.
// The mutex is held.
func (w *Sessions) ended(n *node, retry time.Duration) {
	n.state, n.session, n.cancel, n.retryAt = down, nil, nil, time.Now().Add(retry)
	w.slots.stale = true
}

func (w *Sessions) open(ctx context.Context, addr string) (*Session, error) {
	if addr == only {
		return Open(ctx, w.client, w.tracking)
	}
	at, known := w.client.Nodes()[addr]
	if !known { // not yet, or no longer
		return nil, errUnknownNode
	}
	s, err := Open(ctx, at, w.tracking)
	if err != nil {
		return nil, err
	}
	if w.live != nil {
		if err := s.in(ctx, w.Moved); err != nil {
			s.Close()
			return nil, err
		}
	}
	return s, nil
}

var errUnknownNode = errors.New("redstart/wake: the client does not know the node")

// retryAfter is the pause after a failure.
func retryAfter(ctx context.Context, err error) time.Duration {
	if redstart.Away(err) || errors.Is(err, errUnknownNode) || ctx.Err() != nil {
		return retryLost
	}
	return retryRefused
}
