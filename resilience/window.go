package resilience

import (
	"sync"
	"sync/atomic"
	"time"
)

// steps is in how many buckets a window is divided.
const steps = 10

// window counts calls and failures of the last while. Reading the clock costs
// more than all else that a call needs (some 40 ns), so successes go to the
// bucket that is the current one by a timer, which ticks as long as there are
// calls in the window and then stops by itself. A failure reads the clock, so
// a decision never rests on a late timer.
type window struct {
	step   int64 // ns
	now    func() int64
	at     atomic.Uint32 // the current bucket, or asleep: no timer is set
	counts [steps]atomic.Uint64

	mu    sync.Mutex // guards what follows, and the change of at
	tick  int64      // now in steps, as of the last turn
	timer *time.Timer
}

const (
	asleep  = ^uint32(0)
	failed  = uint64(1) << 32 // a count's upper half are failures, the lower half calls
	callsOf = failed - 1
)

func newWindow(length time.Duration, now func() int64) *window {
	w := &window{step: int64(length / steps), now: now}
	w.at.Store(asleep)
	return w
}

// add counts what n says in the current bucket.
func (w *window) add(n uint64) {
	i := w.at.Load()
	if i == asleep {
		i = w.turn()
	}
	w.counts[i].Add(n)
}

// fail counts a failed call and gives the sums of the window.
func (w *window) fail() (calls, failures uint64) {
	w.counts[w.turn()].Add(failed | 1)
	return w.sum()
}

func (w *window) sum() (calls, failures uint64) {
	for i := range w.counts {
		n := w.counts[i].Load()
		calls += n & callsOf
		failures += n / failed
	}
	return calls, failures
}

// turn makes the bucket of this moment the current one, empties those that it
// passes, and sees to it that the timer is set.
func (w *window) turn() uint32 {
	w.mu.Lock()
	defer w.mu.Unlock()
	i := w.advance()
	if w.at.Swap(i) == asleep {
		w.set()
	}
	return i
}

func (w *window) advance() uint32 {
	tick := w.now() / w.step
	for t := max(w.tick, tick-steps) + 1; t <= tick; t++ {
		w.counts[t%steps].Store(0)
	}
	w.tick = tick
	return uint32(tick % steps)
}

// set sets the timer to the beginning of the next step.
func (w *window) set() {
	wait := time.Duration((w.tick+1)*w.step - w.now())
	if w.timer == nil {
		w.timer = time.AfterFunc(wait, w.ring)
	} else {
		w.timer.Reset(wait)
	}
}

func (w *window) ring() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.at.Store(w.advance())
	if calls, _ := w.sum(); calls == 0 {
		w.at.Store(asleep)
		return
	}
	w.set()
}

// clear forgets all calls.
func (w *window) clear() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range w.counts {
		w.counts[i].Store(0)
	}
}
