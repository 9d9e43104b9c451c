// Package source calls the loads that a user has given, each on a goroutine of
// its own, and makes of whatever they do (values, failures, panics, silence) a
// result for each id.
package source

import (
	"context"
	"errors"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"time"
)

// Source is where values come from. It is shared by all goroutines.
type Source[K comparable, V any] struct {
	// Load fetches one.
	Load func(ctx context.Context, id K, old Old[V]) (Result[V], error)
	// Many fetches several; nil for a source that cannot. An [Errors] that
	// it returns bare says which of them failed; the others did not.
	Many func(ctx context.Context, ids []K) (map[K]V, error)
	// Ended hears of every call; err is nil for "not found".
	Ended func(took time.Duration, err error)

	calls atomic.Uint64
}

// Result is cache.Result.
type Result[V any] struct {
	Value       V
	TTL         time.Duration
	Tags        []string
	NotModified bool
	Forget      bool // of a write: nothing is known of the value
	Version     uint64
}

// Old is cache.Old.
type Old[V any] struct {
	Value V
	OK    bool
	Age   time.Duration
	Floor uint64
}

// Loaded is what a load came to for one id.
type Loaded[V any] struct {
	Result Result[V]
	Err    error
	Took   time.Duration
}

// Calls counts the calls so far.
func (s *Source[K, V]) Calls() uint64 { return s.calls.Load() }

// Start calls Load on a goroutine of its own, which may outlive whoever waits:
// a Load that ignores its context cannot be stopped. after runs when it ends.
func (s *Source[K, V]) Start(ctx context.Context, id K, old Old[V], after func()) <-chan Loaded[V] {
	ended := make(chan Loaded[V], 1)
	var r Result[V]
	s.call(after, func() (err error) {
		if r, err = s.one(ctx, id, old); err != nil && !errors.Is(err, ErrNotFound) {
			return &Failure{err}
		}
		if err == nil && r.NotModified && !old.OK {
			return &Failure{ErrNotModified}
		}
		if err == nil && r.Forget {
			return &Failure{ErrForget}
		}
		return err
	}, func(took time.Duration, err error) { ended <- Loaded[V]{r, err, took} })
	return ended
}

// one is Load, or Many for one id.
func (s *Source[K, V]) one(ctx context.Context, id K, old Old[V]) (Result[V], error) {
	if s.Load != nil {
		return s.Load(ctx, id, old)
	}
	values, err := s.Many(ctx, []K{id})
	l := sorted([]K{id}, values, whole[K](err), 0)[0]
	return l.Result, l.Err
}

// StartMany calls Many, as Start does Load. The results are in the order of ids.
func (s *Source[K, V]) StartMany(ctx context.Context, ids []K, after func()) <-chan []Loaded[V] {
	ended := make(chan []Loaded[V], 1)
	var values map[K]V
	s.call(after, func() (err error) {
		values, err = s.Many(ctx, slices.Clone(ids))
		return whole[K](err)
	}, func(took time.Duration, err error) { ended <- sorted(ids, values, err, took) })
	return ended
}

// Await gives the results that StartMany gives, or those of the end of ctx.
func Await[V any](ctx context.Context, ended <-chan []Loaded[V], n int) []Loaded[V] {
	select {
	case all := <-ended:
		return all
	case <-ctx.Done():
	}
	select {
	case all := <-ended: // it made it after all
		return all
	default:
		return Fail[V](n, context.Cause(ctx))
	}
}

// Fail is one failure of n ids.
func Fail[V any](n int, err error) []Loaded[V] {
	all := make([]Loaded[V], n)
	for i := range all {
		all[i].Err = err
	}
	return all
}

// call runs a load, and tells how it ended.
func (s *Source[K, V]) call(after func(), load func() error, tell func(time.Duration, error)) {
	s.calls.Add(1)
	go func() {
		err := ErrPanic // what stays if the load ends the goroutine
		begun := time.Now()
		defer func() {
			if p := recover(); p != nil {
				err = &Panic{value: p, stack: debug.Stack()}
			}
			took := time.Since(begun)
			if after != nil {
				after()
			}
			tell(took, err)
			if errors.Is(err, ErrNotFound) {
				err = nil
			}
			s.Ended(took, err)
		}()
		err = load()
	}()
}

// whole makes of Many's error one that is never taken for an absence.
func whole[K comparable](err error) error {
	if _, ok := err.(Errors[K]); ok || err == nil { //nolint:errorlint // a wrapped one may hide another failure
		return err
	}
	if errors.Is(err, ErrNotFound) {
		err = &wholeError{err}
	}
	return &Failure{err}
}

// sorted gives each id its part of what Many gave.
func sorted[K comparable, V any](ids []K, values map[K]V, err error, took time.Duration) []Loaded[V] {
	single, partial := err.(Errors[K]) //nolint:errorlint // as whole
	if err != nil && !partial {
		return Fail[V](len(ids), err)
	}
	all := make([]Loaded[V], len(ids))
	for i, id := range ids {
		l := &all[i]
		l.Took = took
		v, ok := values[id]
		switch err := single[id]; {
		case errors.Is(err, ErrNotFound):
			l.Err = ErrNotFound
		case err != nil:
			l.Err = &Failure{err}
		case ok:
			l.Result.Value = v
		default:
			l.Err = ErrNotFound
		}
	}
	return all
}
