package journal

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

// How often the one that looks for room in a partition tries.
const (
	roomFirst = 5 * time.Millisecond
	roomMost  = 100 * time.Millisecond
)

// room is where writes of one process wait for room in a partition: one of them
// tries, the others sleep until it has got through, or has given up.
type room struct {
	mu      sync.Mutex
	probing bool
	others  chan struct{} // closed when the one leaves
	opened  chan struct{} // a flusher of this process has made room; nil: there is none
}

// wait sleeps until the caller may try again. probing says whether he is the one
// that tries, before and after it; who is must leave.
func (r *room) wait(ctx context.Context, probing bool, pause time.Duration) (bool, error) {
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
	return true, sleep(ctx, jitter(pause), r.opened)
}

// leave lets others try.
func (r *room) leave() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.probing = false
	if r.others != nil {
		close(r.others)
		r.others = nil
	}
}

// made says that there may be room.
func (r *room) made() {
	select {
	case r.opened <- struct{}{}:
	default:
	}
}

// sleep waits for the time, for a sign or for the context's end.
func sleep(ctx context.Context, d time.Duration, sign <-chan struct{}) error {
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

// jitter takes a random part of up to a half off.
func jitter(d time.Duration) time.Duration { return d - rand.N(d/2+1) }
