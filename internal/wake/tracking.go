package wake

import (
	"context"
	"time"

	"github.com/redis/rueidis"

	"github.com/redstart-go/redstart"
)

// When tracking failed: a connection is tried again soon, a server that
// refuses it (an old one, an ACL, the embedded server) much later.
const (
	retryLost    = time.Second
	retryRefused = time.Minute
)

// session is a connection of its own on which the server tracks what is read
// (CLIENT TRACKING OPTIN: only what is asked for).
type session struct {
	conn rueidis.DedicatedClient
	lost chan struct{} // closed when the connection is
}

// watch makes the server tell of the key's next change, if there is a session
// for it to tell; nil means that there is none.
func (w *Waker) watch(ctx context.Context, key string) (*session, []byte) {
	s := w.connect()
	if s == nil {
		return nil, nil
	}
	current, err := s.read(ctx, key)
	if err != nil {
		return nil, nil
	}
	return s, current
}

// read asks to be told of the key's next change, and reads it in the same
// step: a change before that is seen here, a later one told.
func (s *session) read(ctx context.Context, key string) ([]byte, error) {
	b := s.conn.B()
	results := s.conn.DoMulti(ctx, b.ClientCaching().Yes().Build(), b.Get().Key(key).Build())
	if err := results[0].Error(); err != nil {
		return nil, err
	}
	current, err := results[1].AsBytes()
	if rueidis.IsRedisNil(err) {
		return nil, nil
	}
	return current, err
}

// connect gives the session, or nil while there is none; it then sees to it
// that one is being made, if that has a chance.
func (w *Waker) connect() *session {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.tracking != down || time.Now().Before(w.retryAt) {
		return w.session
	}
	if w.client.Mode() != rueidis.ClientModeStandalone {
		w.retryAt = time.Now().Add(retryRefused) // one connection hears one node only
		return nil
	}
	if w.client.Go(w.run) == nil {
		w.tracking = connecting
	}
	return nil
}

// run keeps a session for as long as its connection lasts.
func (w *Waker) run(ctx context.Context) {
	conn, release, ok := w.lend(ctx)
	if !ok {
		w.ended(retryLost)
		return
	}
	defer release()
	hook := conn.SetOnInvalidations(func(messages []rueidis.RedisMessage) {
		keys := make([]string, 0, len(messages))
		for _, m := range messages {
			if key, err := m.ToString(); err == nil {
				keys = append(keys, key)
			}
		}
		w.wake(keys, messages == nil)
	})
	err := conn.Do(ctx, conn.B().ClientTracking().On().Optin().Build()).Error()
	if err != nil {
		retry := retryRefused
		if redstart.Away(err) || ctx.Err() != nil {
			retry = retryLost
		}
		w.ended(retry)
		return
	}
	s := &session{conn: conn, lost: make(chan struct{})}
	w.mu.Lock()
	w.session, w.tracking = s, up
	w.mu.Unlock()
	select {
	case <-hook: //nolint:errcheck // whatever it says, the connection is gone
	case <-ctx.Done():
	}
	close(s.lost)
	w.ended(retryLost)
}

// lend takes a connection from the client's pool, which may be a long wait and
// knows no context.
func (w *Waker) lend(ctx context.Context) (conn rueidis.DedicatedClient, release func(), ok bool) {
	type loan struct {
		conn    rueidis.DedicatedClient
		release func()
	}
	lent := make(chan loan, 1)
	go func() {
		conn, release := w.client.Dedicate()
		lent <- loan{conn, release}
	}()
	select {
	case l := <-lent:
		return l.conn, l.release, true
	case <-ctx.Done():
		go func() { (<-lent).release() }()
		return nil, nil, false
	}
}

func (w *Waker) ended(retry time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.session, w.tracking, w.retryAt = nil, down, time.Now().Add(retry)
}
