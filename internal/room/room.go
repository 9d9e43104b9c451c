// Package room is where callers wait for room in something that is full and that
// only trying shows to have room.
package room

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

// How often the one that looks for room tries.
const (
	First = 5 * time.Millisecond
	Most  = 100 * time.Millisecond
)

// Room is where they wait: one of them tries, the others sleep until he has got
// through, or has given up.
type Room struct {
	mu      sync.Mutex
	probing bool
	others  chan struct{} // closed when the one leaves
	Opened  chan struct{} // by Made, of one piece; nil: nobody says so
}

// Wait sleeps until the caller may try again. probing says whether he is the one
// that tries, before and after it; who is must leave.
func (r *Room) Wait(ctx context.Context, probing bool, pause time.Duration) (bool, error) {
	r.mu.Lock()
	if !probing && r.probing {
		if r.others == nil {
			r.others = make(chan struct{})
		}
		others := r.others
		r.mu.Unlock()
		select {
		case <-others:
			return false, nil
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
	r.probing = true
	r.mu.Unlock()
	return true, Sleep(ctx, Jitter(pause), r.Opened)
}

// Leave lets others try.
func (r *Room) Leave() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.probing = false
	if r.others != nil {
		close(r.others)
		r.others = nil
	}
}

// Made says that there may be room.
func (r *Room) Made() {
	select {
	case r.Opened <- struct{}{}:
	default:
	}
}

// Sleep waits for the time, for a sign or for the context's end.
func Sleep(ctx context.Context, d time.Duration, sign <-chan struct{}) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-sign:
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// Jitter takes a random part of up to a half off.
func Jitter(d time.Duration) time.Duration { return d - rand.N(d/2+1) }
