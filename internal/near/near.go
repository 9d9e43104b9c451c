// Package near keeps decoded values in the process, in front of the server, and
// keeps them right: the server tells of every key that was read over a session
// (internal/wake) and has changed. What a session did not live to hear of is
// not served.
//
// What makes it hold, each rule found by leaving it out:
//
//  1. A mark is set before the GET and dirtied by a message; the check of the
//     mark and the storing are one step.
//  2. One's own write, whatever its reply, dirties the mark and removes the
//     value before it returns.
//  3. One GET of a key is under way at a time (the caller sees to it; a second
//     one gets no mark).
//  4. A value belongs to the session over which it was read, and is served only
//     while that is alive: until the sending of the question before the last
//     that was answered, plus MaxStale.
//  5. A life that was once seen to be over does not go on: who missed a value
//     then has read a newer one elsewhere.
//
// Time is the process's monotonic clock, which goes on while the process is
// stopped but not while the machine sleeps. The server does not tell of SWAPDB.
package near

import (
	"errors"
	"hash/maphash"
	"iter"
	"sync"
	"sync/atomic"
	"time"

	"github.com/maypok86/otter/v2"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/internal/wake"
)

// Config says what a Tier holds.
type Config[K comparable, V any] struct {
	Client   *redstart.Client
	Channel  string   // where writers tell of keys, while there is no tracking
	Prefixes []string // of all keys, for tracking by broadcast; none: by key
	MaxStale time.Duration
	Items    int    // at most so many
	Weight   uint64 // or so much of Weigh's
	Weigh    func(K, V) uint32
	Remember bool // see Tier.Last
}

// Tier is what one cache keeps in the process.
type Tier[K comparable, V any] struct {
	cfg      Config[K, V]
	base     time.Time
	entries  *otter.Cache[K, *Item[V]]
	sessions *wake.Sessions
	channel  *channel

	mu    sync.Mutex
	lives map[*wake.Session]*life

	last   last[K, V]
	seed   maphash.Seed
	shards [64]shard[K, V]
	stats  counters
}

// Item is a value that is kept.
type Item[V any] struct {
	Value  V
	Absent bool // known not to exist
	// Due is the caller's own, such as when to refresh the value, as a time of
	// Tier.Now.
	Due    int64
	key    string
	born   int64 // when it was asked for
	until  int64
	life   *life
	labels []label
}

// label is a key on which an item depends besides its own.
type label struct {
	cell *cell
	seen uint64
	life *life // of the session over which it was read
}

// cell counts the changes of such a key.
type cell struct{ changes atomic.Uint64 }

// shard is a part of the keys.
type shard[K comparable, V any] struct {
	mu    sync.Mutex
	marks map[string]*Mark[K, V]
	held  map[string]held[K, V]
	cells map[string]*cell
	_     [24]byte
}

type held[K comparable, V any] struct {
	id   K
	item *Item[V]
}

type counters struct{ pushed, refused, flushed atomic.Uint64 }

// Stats counts what a Tier did.
type Stats struct {
	Items   int    // kept now
	Pushed  uint64 // removed because the server, or another writer, told of the key
	Refused uint64 // not stored, since the key changed while it was read
	Flushed uint64 // times that all, or all that was read over a session, was given up: it was lost, FLUSHALL
}

// New makes a Tier. It sends nothing.
func New[K comparable, V any](cfg Config[K, V]) (*Tier[K, V], error) {
	if cfg.MaxStale < beats {
		return nil, errors.New("redstart/near: config: MaxStale must be positive")
	}
	if cfg.Items <= 0 && cfg.Weight == 0 { // otter takes it for no bound at all
		return nil, errors.New("redstart/near: config: either Items or Weight must be positive")
	}
	t := &Tier[K, V]{cfg: cfg, base: time.Now().Add(-time.Hour), lives: map[*wake.Session]*life{}, seed: maphash.MakeSeed()}
	for i := range t.shards {
		t.shards[i] = shard[K, V]{marks: map[string]*Mark[K, V]{}, held: map[string]held[K, V]{}, cells: map[string]*cell{}}
	}
	o := otter.Options[K, *Item[V]]{OnDeletion: t.deleted}
	if cfg.Weight > 0 {
		o.MaximumWeight = cfg.Weight
		o.Weigher = func(id K, it *Item[V]) uint32 { return cfg.Weigh(id, it.Value) }
	} else {
		o.MaximumSize = cfg.Items
	}
	var err error
	if t.entries, err = otter.New(&o); err != nil {
		return nil, err
	}
	t.sessions = wake.NewSessions(cfg.Client, wake.Tracking{Prefixes: cfg.Prefixes, Each: len(cfg.Prefixes) == 0, Told: t.told}, t.live)
	t.channel = &channel{client: cfg.Client, name: cfg.Channel, told: t.told}
	return t, nil
}

// Now is the time on the clock of the items' times.
func (t *Tier[K, V]) Now() int64 { return int64(time.Since(t.base)) }

// Get gives what is kept for id, if it may be served. It allocates nothing.
func (t *Tier[K, V]) Get(id K) (*Item[V], bool) {
	it, ok := t.entries.GetIfPresent(id)
	if !ok || !it.serves(t.Now()) {
		return nil, false
	}
	return it, true
}

// GetAsOf is Get for a caller who asks for many, and has read the clock at now,
// since he was called: what he gets was right then, or became so later.
func (t *Tier[K, V]) GetAsOf(id K, now int64) (*Item[V], bool) {
	it, ok := t.entries.GetIfPresent(id)
	if !ok || !it.serves(now) {
		return nil, false
	}
	return it, true
}

// serves reports whether the item may be served.
func (it *Item[V]) serves(now int64) bool {
	return now < it.until && (now < it.life.until.Load() || !it.life.over(now)) && (it.labels == nil || it.labelled(now))
}

// labelled reports whether nothing on which the item depends has changed, or
// could have without being told.
func (it *Item[V]) labelled(now int64) bool {
	for _, l := range it.labels {
		if l.cell.changes.Load() != l.seen || now >= l.life.until.Load() && l.life.over(now) {
			return false
		}
	}
	return true
}

// Age is how long ago the item was asked for.
func (t *Tier[K, V]) Age(it *Item[V]) time.Duration { return time.Duration(t.Now() - it.born) }

// All gives what is kept and may be served, in no order.
func (t *Tier[K, V]) All() iter.Seq2[K, *Item[V]] {
	return func(yield func(K, *Item[V]) bool) {
		for id := range t.entries.All() {
			if it, ok := t.Get(id); ok && !yield(id, it) {
				return
			}
		}
	}
}

// Stats tells what was done so far.
func (t *Tier[K, V]) Stats() Stats {
	return Stats{Items: t.entries.EstimatedSize(), Pushed: t.stats.pushed.Load(), Refused: t.stats.refused.Load(), Flushed: t.stats.flushed.Load()}
}

func (t *Tier[K, V]) shard(key string) *shard[K, V] {
	return &t.shards[maphash.String(t.seed, key)%uint64(len(t.shards))]
}

// deleted keeps the index in step with what the bound on memory has removed.
func (t *Tier[K, V]) deleted(e otter.DeletionEvent[K, *Item[V]]) {
	s := t.shard(e.Value.key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if h, ok := s.held[e.Value.key]; ok && h.item == e.Value {
		delete(s.held, e.Value.key)
	}
}
