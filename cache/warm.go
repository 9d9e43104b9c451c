package cache

import (
	"cmp"
	"context"
	"errors"
	"iter"

	"github.com/redstart-go/redstart"
)

// Warmed counts what Warm has done with the ids so far.
type Warmed struct {
	Present int // were cached already, "not found" included
	Loaded  int // are cached now
	Absent  int // do not exist, which is cached now
	Failed  int // could not be loaded, or are not to be cached
}

// Warm caches what is not cached of ids, of which there may be any number: it
// reads them in groups of 500 and loads what is missing of each as GetMany
// does, one group after the other, so that the source never has more than one
// LoadMany (or Config.Loads of Load) of it. It fills only what nobody else has
// written meanwhile, so it puts nothing over a newer value, and may be run
// beside everything else. After an interruption begin again: what is there
// costs an MGET for every 500.
//
// progress, if not nil, is called after each group. An id that fails is counted
// and passed over; the error, beside the counts of what was done, is that of
// the first. Warm ends early when ctx does and when the server is away, for
// without it there is nothing to warm: then the ids from the last report on are
// to be given again.
func (c *Cache[K, V]) Warm(ctx context.Context, ids iter.Seq[K], progress func(Warmed)) (Warmed, error) {
	w := warming[K, V]{Cache: c, ctx: ctx, progress: progress}
	group := make([]K, 0, warmTogether)
	for id := range ids {
		if group = append(group, id); len(group) == warmTogether {
			if !w.warm(group) {
				return w.done, w.err
			}
			group = group[:0]
		}
	}
	if len(group) > 0 {
		w.warm(group)
	}
	return w.done, w.err
}

// warmTogether is how many ids a Warm reads and loads at once.
const warmTogether = 500

type warming[K comparable, V any] struct {
	*Cache[K, V]
	ctx      context.Context
	progress func(Warmed)
	done     Warmed
	err      error
}

// warm caches a group and reports whether to go on.
func (w *warming[K, V]) warm(ids []K) bool {
	if err := w.ctx.Err(); err != nil {
		w.err = w.failRead("warm", "", err)
		return false
	}
	m := w.many(w.ctx, ids)
	m.hits = make([]bool, len(ids))
	m.run()
	m.loadStale()
	for _, i := range m.away {
		m.got[i].Err = w.failRead("warm", m.keys[i], w.outage.None(m.cause))
	}
	for _, i := range m.alone {
		m.got[i].Err = w.failRead("warm", m.keys[i], errNotCached)
	}
	for i, g := range m.got {
		switch absent := errors.Is(g.Err, ErrNotFound); {
		case m.hits[i]:
			w.done.Present++
		case g.Stale:
			w.failed(w.failRead("warm", m.keys[i], errStale))
		case absent:
			w.done.Absent++
		case g.Err == nil:
			w.done.Loaded++
		default:
			w.failed(g.Err)
		}
	}
	if w.progress != nil {
		w.progress(w.done)
	}
	if err := w.ctx.Err(); err != nil {
		w.err = w.failRead("warm", "", err)
		return false
	}
	if len(m.away) > 0 {
		w.err = w.failRead("warm", "", errors.Join(redstart.ErrUnavailable, m.cause))
		return false
	}
	return true
}

func (w *warming[K, V]) failed(err error) {
	w.done.Failed++
	w.err = cmp.Or(w.err, err)
}

// errStale: an old value is there, and none that is new.
var errStale = errors.New("the value is past its TTL, and its load failed or takes longer than Config.SoftTimeout")

// errNotCached: a value that Warm is of no use for.
var errNotCached = errors.New("the value is not to be cached: it exceeds Config.MaxBytes, or it is invalidated again and again")
