package journal

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/redstart-go/redstart/internal/room"
)

// deliver applies a batch, and finds out what is to blame when that fails.
func (f *flusher[K, V]) deliver(batch []*item[V]) error {
	for len(batch) > 0 {
		err := f.apply(batch)
		if err == nil || f.ends(err) {
			return f.ending(err)
		}
		var one *RecordError
		switch {
		case errors.As(err, &one) && one.Index >= 0 && one.Index < len(batch):
			if err := f.blame(batch[one.Index], one.Err, true); err != nil {
				return f.ending(err)
			}
			batch = without(batch, one.Index)
		case len(batch) == 1:
			return f.ending(f.blame(batch[0], err, false))
		default:
			if f.failures++; f.failures > 1 || isPermanent(err) {
				return f.ending(f.isolate(batch))
			}
			f.rest()
			return nil
		}
		if f.o.Stopped() {
			return nil
		}
	}
	return nil
}

// serverError is a failure of the server, not of the sink.
type serverError struct{ err error }

func (e *serverError) Error() string { return e.err.Error() }
func (e *serverError) Unwrap() error { return e.err }

// ends reports whether an error says nothing about the sink's records.
func (f *flusher[K, V]) ends(err error) bool {
	var s *serverError
	return errors.Is(err, errFenced) || errors.As(err, &s) || f.o.Ctx.Err() != nil
}

// ending is the error with which a flush ends; the sink's are no reason to.
func (f *flusher[K, V]) ending(err error) error {
	if err != nil && f.ends(err) {
		return err
	}
	return nil
}

// rest gives the sink peace after a call that failed as a whole.
func (f *flusher[K, V]) rest() {
	f.stats.failing.Store(true)
	f.pause = time.Now().Add(f.backoff(f.failures))
}

// backoff is the pause after the n-th failure.
func (f *flusher[K, V]) backoff(n int) time.Duration {
	d := f.cfg.Backoff
	for ; n > 1 && d < f.cfg.MaxBackoff; n-- {
		d *= 2
	}
	return room.Jitter(min(d, f.cfg.MaxBackoff))
}

// isolate finds the changes that fail alone while others succeed. Two of them
// tried alone tell whether the sink takes anything: where it does not, nothing is
// to blame, however long that lasts.
func (f *flusher[K, V]) isolate(batch []*item[V]) error {
	type suspect struct {
		it  *item[V]
		err error
	}
	var suspects []suspect
	works, failed := false, 0 // calls that failed since one succeeded
	try := func(group []*item[V]) (rest [][]*item[V], err error) {
		err = f.apply(group)
		var one *RecordError
		switch {
		case err == nil:
			works, failed = true, 0
			return nil, nil
		case f.ends(err):
			return nil, err
		}
		failed++
		switch {
		case len(group) == 1:
			if errors.As(err, &one) {
				err = one.Err
			}
			suspects = append(suspects, suspect{group[0], err})
		case errors.As(err, &one) && one.Index >= 0 && one.Index < len(group):
			suspects = append(suspects, suspect{group[one.Index], one.Err})
			rest = append(rest, without(group, one.Index))
		default:
			rest = append(rest, group[:len(group)/2], group[len(group)/2:])
		}
		return rest, nil
	}
	for range 2 {
		if len(batch) == 0 || works {
			break
		}
		i := rand.IntN(len(batch))
		if _, err := try(batch[i : i+1 : i+1]); err != nil {
			return err
		}
		batch = without(batch, i)
	}
	const inVain = 24 // halves down to one of ten thousand, and some more
	for groups := [][]*item[V]{batch}; works && len(groups) > 0 && failed < inVain && !f.o.Stopped(); {
		group := groups[len(groups)-1]
		groups = groups[:len(groups)-1]
		if len(group) == 0 {
			continue
		}
		rest, err := try(group)
		if err != nil {
			return err
		}
		groups = append(groups, rest...)
	}
	whole := !works || failed >= inVain
	for _, s := range suspects {
		if whole && !isPermanent(s.err) {
			continue
		}
		if err := f.blame(s.it, s.err, works); err != nil {
			return err
		}
	}
	if whole {
		f.rest()
	}
	return nil
}

// blame notes that a change fails. It counts only if the sink is seen to work:
// now, or since the change failed before, or by its own word. A change that has failed often enough,
// or will for ever, goes to the dead letters.
func (f *flusher[K, V]) blame(it *item[V], err error, works bool) error {
	done := f.stats.batches.Load()
	if works || it.failed > 0 && done > it.proven || f.proves() {
		it.attempts++
	}
	it.failed++
	it.proven = done
	if isPermanent(err) || it.attempts >= f.cfg.Attempts {
		buried, err := f.bury(it, err)
		if buried || err != nil {
			return err
		}
	}
	it.due = time.Now().Add(f.backoff(it.failed))
	return nil
}

// proves reports whether the sink says that it works.
func (f *flusher[K, V]) proves() bool {
	p, ok := f.cfg.Sink.(Prober)
	if !ok {
		return false
	}
	ctx, cancel := context.WithTimeout(f.o.Ctx, f.cfg.ApplyTimeout)
	defer cancel()
	return p.Probe(ctx) == nil
}

// unreadable sends what cannot be read to the dead letters, and gives the rest.
func (f *flusher[K, V]) unreadable(batch []*item[V]) ([]*item[V], error) {
	left := batch[:0]
	for _, it := range batch {
		if it.broken == nil {
			left = append(left, it)
			continue
		}
		if err := f.blame(it, Permanent(it.broken), true); err != nil {
			return nil, err
		}
	}
	return left, nil
}

// apply makes a call of the sink, and settles what it took.
func (f *flusher[K, V]) apply(group []*item[V]) error {
	b := Batch[K, V]{Journal: f.cfg.Name, Partition: f.p.number, Token: f.o.token, Changes: make([]Change[K, V], len(group))}
	for i, it := range group {
		b.Changes[i] = Change[K, V]{ID: f.ids[it.raw], Value: it.value, Deleted: it.deleted, Version: it.version()}
	}
	refused, err := f.call(b)
	if errors.Is(err, ErrFenced) {
		return errFenced
	}
	if err != nil {
		f.stats.failures.Add(1)
		return err
	}
	f.failures = 0
	f.stats.failing.Store(false)
	f.stats.batches.Add(1)
	return f.settle(group, refused)
}

// call is Sink.Apply, whose panic is an error.
func (f *flusher[K, V]) call(b Batch[K, V]) (refused []Refused, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = errPanic
		}
	}()
	if f.step != nil {
		if err := f.step("sink before"); err != nil {
			return nil, err
		}
	}
	ctx, cancel := context.WithTimeout(f.o.Ctx, f.cfg.ApplyTimeout)
	defer cancel()
	refused, err = f.cfg.Sink.Apply(ctx, b)
	if err == nil {
		for _, r := range refused {
			if r.Index < 0 || r.Index >= len(b.Changes) || r.Stored < b.Changes[r.Index].Version {
				return nil, fmt.Errorf("the sink refuses a change of the batch that is newer than what it holds, or that is not there (%d of %d)", r.Index, len(b.Changes))
			}
		}
	}
	if f.step != nil && err == nil {
		err = f.step("sink after")
	}
	return refused, err
}

var errPanic = errors.New("the sink panicked")

// without is a slice less one of its elements, in memory of its own.
func without[T any](s []T, i int) []T {
	return append(append(make([]T, 0, len(s)-1), s[:i]...), s[i+1:]...)
}
