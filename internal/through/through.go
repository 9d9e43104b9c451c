// Package through writes to the source of truth while the key of what is written
// is kept from being filled, and ends that by what became of the write.
package through

import (
	"context"
	"errors"
	"time"

	"github.com/redstart-go/redstart/internal/entry"
	"github.com/redstart-go/redstart/internal/floor"
	"github.com/redstart-go/redstart/internal/lease"
	"github.com/redstart-go/redstart/internal/source"
	"github.com/redstart-go/redstart/internal/stamp"
)

// Write is one write.
type Write[K comparable, V any] struct {
	Terms  *entry.Terms[K, V]
	Block  lease.Block     // taken
	Stamps *stamp.Sampling // taken before

	Timeout  time.Duration // of the write; its end is the cause TimedOut
	TimedOut error
	Parting  time.Duration // for ending the block, whatever has become of the caller
	Floors   *floor.Floors
	Refused  func(error) bool // of the source's errors, which of them surely changed nothing
	Wrote    func(context.Context, error)
	Unstored func(error) // hears why what now holds is not cached; nil: another writer was at it
}

// Ended is what became of a write.
type Ended struct {
	Source, Cache error
	Refused       bool // the source changed nothing
}

// Run writes, and ends the block in any case.
func (w *Write[K, V]) Run(ctx context.Context, write func(ctx context.Context) (source.Result[V], error)) (end Ended) {
	stop := w.Block.Keep()
	done := false
	defer func() {
		if !done { // a panic, which goes on
			stop()
			_ = w.finish(ctx, w.Block.Drop)
		}
	}()
	writes, cancel := context.WithTimeoutCause(ctx, w.Timeout, w.TimedOut)
	r, err := write(writes)
	if err != nil && writes.Err() != nil {
		err = errors.Join(context.Cause(writes), err)
	}
	cancel()
	stop()
	done = true
	switch absent := errors.Is(err, source.ErrNotFound); {
	case err == nil || absent:
		end.Cache = w.finish(ctx, func(ctx context.Context) error { return w.written(ctx, &r, absent) })
	case w.Refused(err):
		end = Ended{err, w.finish(ctx, w.Block.Restore), true}
	default:
		end = Ended{Source: err, Cache: w.finish(ctx, w.Block.Drop)}
	}
	return end
}

// written ends the block of a write that the source took. The floor comes first:
// from then on the key may be filled.
func (w *Write[K, V]) written(ctx context.Context, r *source.Result[V], absent bool) error {
	if w.Floors.For > 0 && r.Version > 0 {
		if err := w.Floors.Raise(ctx, w.Block.Key, floor.Floor{Version: r.Version, Absent: absent}); err != nil {
			return err // the block keeps the key for as long as it lasts
		}
	}
	if r.Forget || r.NotModified {
		return w.Block.Drop(ctx)
	}
	return w.put(ctx, r, absent)
}

// put caches what now holds. What cannot be cached is served by loads.
func (w *Write[K, V]) put(ctx context.Context, r *source.Result[V], absent bool) error {
	loaded := source.Loaded[V]{Result: *r}
	if absent {
		loaded.Err = source.ErrNotFound
	}
	raw, ttl, quiet, err := w.Terms.Product(ctx, &loaded, nil, w.Stamps)
	if err != nil || !quiet {
		w.Unstored(err)
		return w.Block.Drop(ctx)
	}
	kept, err := w.Block.Put(ctx, string(raw), ttl)
	if err == nil && !kept {
		w.Unstored(nil)
	}
	return err
}

// finish ends the block.
func (w *Write[K, V]) finish(ctx context.Context, end func(context.Context) error) error {
	own, cancel := context.WithTimeout(context.WithoutCancel(ctx), w.Parting)
	defer cancel()
	pauses := entry.Pauses{Within: w.Parting / 2}
	err := pauses.Insist(own, func() error { return end(own) })
	w.Wrote(own, err)
	return err
}
