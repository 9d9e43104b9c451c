// Package turns makes calls that many ask for at once few, without giving
// anyone an old answer.
package turns

import (
	"context"
	"sync"
)

// Turns runs at most so many calls at a time for a key. Those who ask while these are
// under way share the next, which starts after all of them asked: nobody is
// given an answer to a question that was sent before he put it. Two are a good number:
// callers who meet by chance are better off with a call each; a key that many
// want at once is served for all of them by every next call.
type Turns[A, R any] struct {
	atOnce int
	run    func(ctx context.Context, key string, arg A) (R, error)
	spread func(error) bool
	start  func(func(context.Context)) error
	shards [64]turnShard[A, R]
}

type turnShard[A, R any] struct {
	mu    sync.Mutex
	under []underway[A, R] // few: a shard holds what is asked for at this moment
	_     [32]byte         // keeps the shards' locks on cache lines of their own
}

// underway is a key with calls under way, and the turn after them, if anyone
// waits for that.
type underway[A, R any] struct {
	key   string
	calls int
	next  *turn[A, R]
}

type turn[A, R any] struct {
	ctx  context.Context // of the first who waits, without its end
	arg  A
	done chan struct{}
	ans  R
	err  error
}

// New makes Turns of so many calls at a time: run makes the call, and for a shared one its ctx has no
// deadline; spread reports whether a failure concerns those who wait as well;
// start runs a shared call as work of the client.
func New[A, R any](
	atOnce int, run func(context.Context, string, A) (R, error), spread func(error) bool, start func(func(context.Context)) error,
) *Turns[A, R] {
	return &Turns[A, R]{atOnce: atOnce, run: run, spread: spread, start: start}
}

// Do gives the answer of a call that starts after Do was called; shared says
// that others have it too.
func (t *Turns[A, R]) Do(ctx context.Context, key string, arg A) (ans R, shared bool, err error) {
	s := &t.shards[shard(key)]
	s.mu.Lock()
	u := s.find(key)
	if u == nil || u.calls < t.atOnce {
		if u == nil {
			s.under = append(s.under, underway[A, R]{key: key, calls: 1})
		} else {
			u.calls++
		}
		s.mu.Unlock()
		ok := false
		defer func() {
			if !ok {
				t.end(s, key, nil) // the call panicked: the next turn is unharmed
			}
		}()
		ans, err = t.run(ctx, key, arg)
		ok = true
		t.end(s, key, err)
		return ans, false, err
	}
	if u.next == nil {
		u.next = &turn[A, R]{ctx: context.WithoutCancel(ctx), arg: arg, done: make(chan struct{})}
	}
	next := u.next
	s.mu.Unlock()
	select {
	case <-next.done:
		return next.ans, true, next.err
	case <-ctx.Done():
		return ans, true, ctx.Err()
	}
}

func (s *turnShard[A, R]) find(key string) *underway[A, R] {
	for i := range s.under {
		if s.under[i].key == key {
			return &s.under[i]
		}
	}
	return nil
}

// finish takes one call off the key, and forgets a key that has none and
// nobody who waits. The mutex is held.
func (s *turnShard[A, R]) finish(u *underway[A, R]) {
	if u.calls--; u.calls == 0 && u.next == nil {
		last := len(s.under) - 1
		*u = s.under[last]
		s.under[last] = underway[A, R]{}
		s.under = s.under[:last]
	}
}

// end closes a call and starts the next turn, if anyone waits for it.
func (t *Turns[A, R]) end(s *turnShard[A, R], key string, err error) {
	s.mu.Lock()
	u := s.find(key)
	next := u.next
	u.next = nil
	if next == nil || err != nil && t.spread(err) {
		s.finish(u)
		s.mu.Unlock()
		if next != nil {
			next.err = err
			close(next.done)
		}
		return
	}
	s.mu.Unlock() // the call that ended leaves its place to the next turn
	err = t.start(func(closing context.Context) {
		ctx, cancel := context.WithCancel(next.ctx)
		defer cancel()
		defer context.AfterFunc(closing, cancel)()
		next.ans, next.err = t.run(ctx, key, next.arg)
		t.end(s, key, next.err)
		close(next.done)
	})
	if err != nil { // the client is closed
		next.err = err
		t.end(s, key, err)
		close(next.done)
	}
}

// shard spreads keys over the shards by FNV-1a of their last bytes, which is
// where the keys of one cache differ.
func shard(key string) uint32 {
	h := uint32(2166136261)
	for i := max(0, len(key)-16); i < len(key); i++ {
		h = (h ^ uint32(key[i])) * 16777619
	}
	return (h ^ h>>16) & 63
}
