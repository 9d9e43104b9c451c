// Package wake lets a caller sleep until a key changes. Where the server
// tracks the keys that a client has read, its message wakes the sleeper; a
// jittered poll stands behind it, for messages that never come, and in its
// place where there is no tracking. A wake-up is a hint: the caller looks
// again. The message's key is never taken for a value.
//
// A [Session] hears one server. In a cluster there is one for each primary that
// has a key which is slept on; while a slot moves or a primary is replaced its
// sleepers poll. Over independent shards they always do: nothing tells which
// shard has a key.
package wake

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/redis/rueidis"

	"github.com/redstart-go/redstart"
)

// How often a sleeper looks by itself. Without tracking the first looks are
// close together, since what is waited for is usually short; each is half as
// far again from the one before, up to the bound.
const (
	pollFirst   = 5 * time.Millisecond
	pollMost    = 25 * time.Millisecond
	pollTracked = 100 * time.Millisecond
)

// PollBound is the longest time between two looks of a sleeper that no message
// wakes, with and without tracking.
const (
	PollBound        = pollMost * 5 / 4
	PollBoundTracked = pollTracked * 5 / 4
)

// Waker wakes the sleepers of one client.
type Waker struct {
	client *redstart.Client
	*Sessions

	mu       sync.Mutex
	sleepers map[string][]chan struct{}
}

type attachKey struct{}

// Of gives the client's Waker.
func Of(c *redstart.Client) *Waker {
	return c.Attach(attachKey{}, func() any {
		w := &Waker{client: c, sleepers: map[string][]chan struct{}{}}
		w.Sessions = NewSessions(c, Tracking{Told: w.wake}, nil)
		return w
	}).(*Waker)
}

// Tracking reports whether the server's messages arrive at present: of a cluster,
// those of at least one node.
func (w *Waker) Tracking() bool { return w.Up() }

// watch makes the key's node tell of its next change, if there is a session for
// it to tell on; nil means that there is none.
func (w *Waker) watch(ctx context.Context, key string) (*Session, []byte) {
	n, s := w.sessionFor(key)
	if s == nil {
		return nil, nil
	}
	// A node that is silent must not hold up the look at another.
	looking, cancel := context.WithTimeout(ctx, pollTracked)
	defer cancel()
	current, err := value(s.Get(looking, key))
	if err == nil {
		return s, current
	}
	w.Sessions.mu.Lock()
	defer w.Sessions.mu.Unlock()
	if reply, ok := rueidis.IsRedisErr(err); ok {
		_, moved := reply.IsMoved()
		w.slots.stale = w.slots.stale || moved
	} else if ctx.Err() == nil && looking.Err() != nil {
		n.retryAt = time.Now().Add(retryLost)
	}
	return nil, nil
}

// Wait returns nil once the key may no longer hold what same reports true for
// (current is nil when the key is gone), or the context's error. Cost with
// tracking: one round trip (CLIENT CACHING, GET) and one GET for each
// pollTracked; without: a GET a look.
func (w *Waker) Wait(ctx context.Context, key string, same func(current []byte) bool) error {
	woken := make(chan struct{}, 1)
	w.add(key, woken)
	defer w.remove(key, woken)

	timer := time.NewTimer(0)
	defer timer.Stop()
	var s *Session // once the server has promised to tell
	var lost <-chan struct{}
	poll := pollFirst
	for first := true; ; first = false {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-woken:
			return nil
		case <-lost:
			return nil // what happened meanwhile nobody knows
		case <-timer.C:
		}
		current, known := []byte(nil), false
		if s == nil {
			if s, current = w.watch(ctx, key); s != nil {
				known, lost, poll = true, s.Lost(), pollTracked
			}
		}
		if !known && !first { // at first the caller has just looked
			var err error
			if current, err = read(ctx, w.client, key); err != nil {
				return err
			}
			known = true
			if s == nil {
				poll = min(poll*3/2, pollMost)
			}
		}
		if known && !same(current) {
			return nil
		}
		timer.Reset(jitter(poll))
	}
}

// jitter spreads a delay by a quarter to either side.
func jitter(d time.Duration) time.Duration {
	return d*3/4 + rand.N(d/2)
}

func read(ctx context.Context, c rueidis.CommandClient, key string) ([]byte, error) {
	return value(c.Do(ctx, c.B().Get().Key(key).Build()))
}

// value is a reply to GET: nil when the key is gone.
func value(r rueidis.RedisResult) ([]byte, error) {
	current, err := r.AsBytes()
	if rueidis.IsRedisNil(err) {
		return nil, nil
	}
	return current, err
}

func (w *Waker) add(key string, woken chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sleepers[key] = append(w.sleepers[key], woken)
}

func (w *Waker) remove(key string, woken chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	list := w.sleepers[key]
	for i, c := range list {
		if c == woken {
			list[i] = list[len(list)-1]
			list[len(list)-1] = nil
			list = list[:len(list)-1]
			break
		}
	}
	if len(list) == 0 {
		delete(w.sleepers, key)
	} else {
		w.sleepers[key] = list
	}
}

// wake wakes the sleepers of the keys, all of them for nil.
func (w *Waker) wake(keys []string, all bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	rouse := func(list []chan struct{}) {
		for _, c := range list {
			select {
			case c <- struct{}{}:
			default:
			}
		}
	}
	if all {
		for _, list := range w.sleepers {
			rouse(list)
		}
		return
	}
	for _, key := range keys {
		rouse(w.sleepers[key])
	}
}
