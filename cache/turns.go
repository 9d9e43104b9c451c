package cache

import (
	"context"
	"sync"
)

// turns runs at most one call at a time for a key. Those who ask while one is
// under way share the next, which starts after all of them asked: nobody is
// given an answer to a question that was sent before he put it. A call that
// nobody joins allocates nothing.
type turns[A, R any] struct {
	// run makes the call. For a shared one ctx has no deadline.
	run func(ctx context.Context, key string, arg A) (R, error)
	// spread reports whether a failure concerns those who wait as well.
	spread func(error) bool
	shards [64]turnShard[A, R]
}

type turnShard[A, R any] struct {
	mu sync.Mutex
	// under holds each key with a call under way, and the turn after it, if
	// anyone waits for that.
	under map[string]*turn[A, R]
	_     [40]byte // keeps the shards' locks on cache lines of their own
}

type turn[A, R any] struct {
	ctx  context.Context // of the first who waits, without its end
	arg  A
	done chan struct{}
	ans  R
	err  error
}

func newTurns[A, R any](run func(context.Context, string, A) (R, error), spread func(error) bool) *turns[A, R] {
	t := &turns[A, R]{run: run, spread: spread}
	for i := range t.shards {
		t.shards[i].under = map[string]*turn[A, R]{}
	}
	return t
}

// do gives the answer of a call that starts after do was called; shared says
// that others have it too.
func (t *turns[A, R]) do(ctx context.Context, key string, arg A) (ans R, shared bool, err error) {
	s := &t.shards[shard(key)]
	s.mu.Lock()
	next, busy := s.under[key]
	if !busy {
		s.under[key] = nil
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
	if next == nil {
		next = &turn[A, R]{ctx: context.WithoutCancel(ctx), arg: arg, done: make(chan struct{})}
		s.under[key] = next
	}
	s.mu.Unlock()
	select {
	case <-next.done:
		return next.ans, true, next.err
	case <-ctx.Done():
		return ans, true, ctx.Err()
	}
}

// end closes a call and starts the next turn, if anyone waits for it.
func (t *turns[A, R]) end(s *turnShard[A, R], key string, err error) {
	s.mu.Lock()
	next := s.under[key]
	if next == nil {
		delete(s.under, key)
		s.mu.Unlock()
		return
	}
	if err != nil && t.spread(err) {
		delete(s.under, key)
		s.mu.Unlock()
		next.err = err
		close(next.done)
		return
	}
	s.under[key] = nil
	s.mu.Unlock()
	go func() {
		defer close(next.done)
		next.ans, next.err = t.run(next.ctx, key, next.arg)
		t.end(s, key, next.err)
	}()
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
