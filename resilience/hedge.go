package resilience

import (
	"context"
	"errors"
	"math"
	"sync/atomic"
	"time"
)

// HedgeConfig says when a Hedge starts a second attempt. The zero value is the
// default.
type HedgeConfig struct {
	// Delay after which a read that has not answered is started once more.
	// Default: what Quantile of the recent reads took, learnt from them; until
	// 100 are known there are no second attempts.
	Delay time.Duration

	// Quantile of the reads' durations to learn, between 0 and 1.
	// Default: 0.95.
	Quantile float64

	// Ratio bounds second attempts as a part of all reads so far. Negative: no
	// bound. Default: 0.05.
	Ratio float64

	// Failure says which errors are failures, so that the other attempt is
	// waited for. Others, such as "no such key", are answers. Default: every
	// error.
	Failure func(error) bool
}

// Hedge starts a slow read a second time and takes the first answer: a way
// out of the slowest few in a hundred, for a few in a hundred more of load.
// Only for reads: both attempts may run to their end. Use it with [Hedged]. It
// may be used by any number of goroutines.
type Hedge struct {
	delay   time.Duration
	latency *latency // nil: a given delay
	budget  *Budget
	failure func(error) bool

	reads, hedges, wins atomic.Uint64
}

// HedgeStats counts what a Hedge did.
type HedgeStats struct {
	Reads  uint64 // calls
	Hedges uint64 // second attempts
	Wins   uint64 // second attempts that answered first
}

// NewHedge gives a Hedge.
func NewHedge(cfg HedgeConfig) (*Hedge, error) {
	v := invalid{kind: "hedge"}
	if cfg.Delay < 0 {
		v.add("Delay", "is negative; leave it out to learn it")
	}
	quantile := orDefault(cfg.Quantile, 0.95)
	if !(quantile > 0 && quantile < 1) {
		v.add("Quantile", "is %v; give one between 0 and 1, such as 0.95", cfg.Quantile)
	}
	ratio := orDefault(cfg.Ratio, 0.05)
	if math.IsNaN(ratio) || ratio > 1 {
		v.add("Ratio", "is %v; give a part of all reads, such as 0.05", cfg.Ratio)
	}
	if err := v.err(); err != nil {
		return nil, err
	}
	h := &Hedge{delay: cfg.Delay, failure: cfg.Failure, budget: newBudget(ratio, 10)}
	if cfg.Delay == 0 {
		h.latency = &latency{quantile: quantile}
	}
	if h.failure == nil {
		h.failure = func(error) bool { return true }
	}
	return h, nil
}

// Stats tells what was done so far.
func (h *Hedge) Stats() HedgeStats {
	return HedgeStats{Reads: h.reads.Load(), Hedges: h.hedges.Load(), Wins: h.wins.Load()}
}

// Hedged runs read, and runs it a second time if the first has not answered
// within the delay and the budget allows. The first answer wins; the other
// attempt's context is cancelled and its result, a panic too, is dropped. If
// all attempts that were started fail, the error is the first one's to fail; a
// read that fails before the delay is not repeated ([Retry] does that). When
// ctx ends, Hedged returns its error at once. A panic before that is passed on.
//
// read runs in goroutines of its own, so it must not write to what its caller
// holds, and it must heed its context: an attempt that does not, lives on
// until it returns. Cost beyond read's: about two microseconds and ten
// allocations, so it is for reads across a network.
func Hedged[T any](ctx context.Context, h *Hedge, read func(context.Context) (T, error)) (T, error) {
	h.reads.Add(1)
	h.budget.Call()
	delay := h.delay
	if h.latency != nil {
		delay = h.latency.value()
	}
	began := time.Now()
	if delay == 0 { // nothing is known yet
		v, err := read(ctx)
		h.learn(ctx, err, began)
		return v, err
	}
	attempts, cancel := context.WithCancel(ctx)
	defer cancel()
	r := race[T]{read: read, results: make(chan attempt[T], 2)} // nobody blocks on it
	v, err := r.run(attempts, h, delay)
	h.learn(ctx, err, began)
	return v, err
}

// learn takes down how long a read took. One that was cut off was at least as
// slow as that; without those the quantile would sink by its own work. One
// that failed or was given up early says nothing.
func (h *Hedge) learn(ctx context.Context, err error, began time.Time) {
	if h.latency == nil {
		return
	}
	took := time.Since(began)
	known := h.latency.value()
	slow := ctx.Err() != nil && known > 0 && took >= known
	if err == nil || slow || !h.failure(err) {
		h.latency.observe(took)
	}
}

// race is the attempts at one read.
type race[T any] struct {
	read    func(context.Context) (T, error)
	results chan attempt[T]
}

// attempt is how one ended.
type attempt[T any] struct {
	value    T
	err      error
	panicked any
	second   bool
}

func (r *race[T]) run(ctx context.Context, h *Hedge, delay time.Duration) (T, error) {
	timer := time.NewTimer(delay)
	defer timer.Stop()
	go r.try(ctx, false)
	var firstFailure error
	for running := 1; running > 0; {
		select {
		case <-timer.C:
			if h.budget.Take() {
				h.hedges.Add(1)
				running++
				go r.try(ctx, true)
			}
		case a := <-r.results:
			switch {
			case a.panicked != nil:
				panic(a.panicked)
			case a.err == nil || !h.failure(a.err):
				if a.second {
					h.wins.Add(1)
				}
				return a.value, a.err
			case firstFailure == nil:
				firstFailure = a.err
			}
			running--
		case <-ctx.Done():
			var none T
			return none, ctx.Err()
		}
	}
	var none T
	return none, firstFailure
}

// errGoexit stands for the error of a read that ended its goroutine.
var errGoexit = errors.New("redstart/resilience: the read ended its goroutine without an answer")

func (r *race[T]) try(ctx context.Context, second bool) {
	a := attempt[T]{err: errGoexit, second: second}
	defer func() {
		a.panicked = recover()
		r.results <- a
	}()
	a.value, a.err = r.read(ctx)
}
