package resilience

import (
	"context"
	"fmt"
	"time"
)

// BulkheadConfig says how many calls a Bulkhead lets run at once.
type BulkheadConfig struct {
	// Limit is how many may run at once. It must be given.
	Limit int

	// Wait is how long a call waits for room, at most; its context may end
	// that earlier. Negative: as long as its context allows. Default: not at
	// all.
	Wait time.Duration
}

// Bulkhead bounds how many calls run at once, so that one slow thing does not
// use up what everything else needs: goroutines, connections, memory. Who
// waits is served in order of arrival.
//
// Entering when there is room costs some tens of nanoseconds and allocates
// nothing; waiting takes a timer.
type Bulkhead struct {
	room chan struct{}
	wait time.Duration
	full *refusal
}

// NewBulkhead gives an empty Bulkhead.
func NewBulkhead(cfg BulkheadConfig) (*Bulkhead, error) {
	if cfg.Limit <= 0 {
		v := invalid{kind: "bulkhead"}
		v.add("Limit", "is %d; give the number of calls that may run at once", cfg.Limit)
		return nil, v.err()
	}
	text := fmt.Sprintf("redstart/resilience: the bulkhead is full (limit %d)", cfg.Limit)
	if cfg.Wait > 0 {
		text += fmt.Sprintf(": no place was left within %v", cfg.Wait)
	}
	return &Bulkhead{room: make(chan struct{}, cfg.Limit), wait: cfg.Wait, full: &refusal{err: ErrFull, text: text}}, nil
}

// Enter takes a place, which [Bulkhead.Leave] gives back, or fails with
// [ErrFull], or with the error of a context that ended during the wait. In
// either case the call did not run: its Outcome is NotApplied.
func (b *Bulkhead) Enter(ctx context.Context) error {
	select {
	case b.room <- struct{}{}:
		return nil
	default:
	}
	if b.wait == 0 {
		return b.full
	}
	var over <-chan time.Time
	if b.wait > 0 {
		timer := time.NewTimer(b.wait)
		defer timer.Stop()
		over = timer.C
	}
	select {
	case b.room <- struct{}{}:
		return nil
	case <-over:
		return b.full
	case <-ctx.Done():
		return &refusal{
			err:  ctx.Err(),
			text: fmt.Sprintf("redstart/resilience: the context ended while the bulkhead was full: %v", ctx.Err()),
		}
	}
}

// Leave gives a place back.
func (b *Bulkhead) Leave() { <-b.room }

// InUse is how many calls are running.
func (b *Bulkhead) InUse() int { return len(b.room) }

// Do runs fn once there is room. The place is given back whatever fn does.
func (b *Bulkhead) Do(ctx context.Context, fn func(context.Context) error) error {
	if err := b.Enter(ctx); err != nil {
		return err
	}
	defer b.Leave()
	return fn(ctx)
}
