// Package nearby reads a cache's entries through the near tier: what is read
// over the connections on which the servers then tell of it is kept, decoded.
package nearby

import (
	"context"
	"iter"
	"time"

	"github.com/redis/rueidis"

	"github.com/redstart-go/redstart/internal/entry"
	"github.com/redstart-go/redstart/internal/near"
	"github.com/redstart-go/redstart/internal/stamp"
	"github.com/redstart-go/redstart/internal/wake"
)

// Kept is a value in the tier.
type Kept[V any] struct {
	Value V
	Age   time.Duration // when it was read; negative when not known
}

// Reader reads entries and keeps them.
type Reader[K comparable, V any] struct {
	*near.Tier[K, Kept[V]]
	Entries *entry.Reader
	Form    *entry.Form[V]
	// Patience is how long a session may take: one that is silent must not hold
	// up the read.
	Patience time.Duration
	// Ahead is how long before its end a value is to be looked at in the server
	// again, to be refreshed; nil for never.
	Ahead func(ttl, cost time.Duration) time.Duration
}

// New makes a Reader over a tier of its own.
func New[K comparable, V any](cfg near.Config[K, Kept[V]], entries *entry.Reader, form *entry.Form[V]) (*Reader[K, V], error) {
	tier, err := near.New(cfg)
	if err != nil {
		return nil, err
	}
	return &Reader[K, V]{Tier: tier, Entries: entries, Form: form, Patience: cfg.MaxStale / 4}, nil
}

// AgeOf is how old the value of an item is; negative when not known.
func (d *Reader[K, V]) AgeOf(it *near.Item[Kept[V]]) time.Duration {
	if it.Value.Age < 0 {
		return it.Value.Age
	}
	return it.Value.Age + d.Age(it)
}

// Hit gives what is kept for id, unless it is time to refresh it.
func (d *Reader[K, V]) Hit(id K) (*near.Item[Kept[V]], bool) {
	it, ok := d.Get(id)
	if !ok || it.Due != 0 && d.Now() >= it.Due {
		return nil, false
	}
	return it, true
}

// Hits is Hit for those of ids whose places are in at, by one reading of the
// clock. It gives the others' places, in the same memory.
func (d *Reader[K, V]) Hits(ids []K, at []int, tell func(i int, it *near.Item[Kept[V]])) (rest []int) {
	now := d.Now()
	rest = at[:0]
	for _, i := range at {
		if it, ok := d.GetAsOf(ids[i], now); ok && (it.Due == 0 || now < it.Due) {
			tell(i, it)
		} else {
			rest = append(rest, i)
		}
	}
	return rest
}

// Values gives what is kept and may be served, in no order.
func (d *Reader[K, V]) Values() iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		for id, it := range d.All() {
			if !it.Absent && !yield(id, it.Value.Value) {
				return
			}
		}
	}
}

// Fetch is Fetch of Entries over the connection on which the server then tells
// of the key; what it gives is kept. ok is false when the tier has nothing to do
// with it.
func (d *Reader[K, V]) Fetch(ctx context.Context, id K, k string, labels []stamp.Label) (r entry.Reply, ok bool, err error) {
	elsewhere := map[string]*wake.Session{}
	m := d.mark(id, k, labels, elsewhere)
	if m == nil {
		return r, false, nil
	}
	defer m.Drop() // unless it is kept
	looking, cancel := context.WithTimeout(ctx, d.Patience)
	defer cancel()
	r, err = d.Entries.Over(d.over(m.Session(), elsewhere)).Fetch(looking, k, labels)
	if err != nil || r.Err != nil {
		// The key may have moved, or the session be gone.
		return r, m.Session() == nil || ctx.Err() != nil, err
	}
	d.keep(m, &r, len(labels))
	return r, true, nil
}

// Many is Many of Entries in the same way. What is given back is still to be
// read.
func (d *Reader[K, V]) Many(
	ctx context.Context, ids []K, keys []string, at []int, labels [][]stamp.Label, tell func(i int, r *entry.Reply, err error),
) (rest []int) {
	marks := map[int]*near.Mark[K, Kept[V]]{}
	parts := map[*wake.Session][]int{}
	elsewhere := map[string]*wake.Session{}
	of := func(i int) []stamp.Label {
		if labels == nil {
			return nil
		}
		return labels[i]
	}
	for _, i := range at {
		if m := d.mark(ids[i], keys[i], of(i), elsewhere); m != nil {
			marks[i] = m
			parts[m.Session()] = append(parts[m.Session()], i)
		} else {
			rest = append(rest, i)
		}
	}
	defer func() { // of what was not told, should a panic end this
		for _, m := range marks {
			m.Drop()
		}
	}()
	looking, cancel := context.WithTimeout(ctx, d.Patience)
	defer cancel()
	for session, part := range parts {
		d.Entries.Over(d.over(session, elsewhere)).Many(looking, keys, part, labels, func(i int, r *entry.Reply, err error) {
			if session != nil && (err != nil || r.Err != nil) && ctx.Err() == nil {
				rest = append(rest, i)
				return
			}
			if err == nil && r.Err == nil {
				d.keep(marks[i], r, len(of(i)))
			}
			tell(i, r, err)
		})
	}
	return rest
}

// mark sets a mark for a read of a key, and of its labels'; nil: do not keep it.
// elsewhere are the sessions over which labels are to be read that lie at
// another node.
func (d *Reader[K, V]) mark(id K, k string, labels []stamp.Label, elsewhere map[string]*wake.Session) *near.Mark[K, Kept[V]] {
	m := d.Mark(id, k)
	if m == nil {
		return nil
	}
	for _, l := range labels {
		session, ok := m.Label(l.Key)
		if !ok {
			m.Drop()
			return nil
		}
		if session != m.Session() {
			elsewhere[l.Key] = session
		}
	}
	return m
}

// over is whom to ask for what was marked.
func (d *Reader[K, V]) over(session *wake.Session, elsewhere map[string]*wake.Session) entry.Asker {
	if session == nil {
		return d.Entries.Client
	}
	return told{session, elsewhere}
}

// keep keeps what was read under a mark, if it is fresh.
func (d *Reader[K, V]) keep(m *near.Mark[K, Kept[V]], r *entry.Reply, labels int) {
	e, v := d.Form.Read(r, true)
	lasts, ok := e.Lasts(r)
	if !ok || v != entry.Hit && v != entry.Absent || len(r.Stamps) > labels { // what only the result tells was read without a mark
		m.Drop()
		return
	}
	due := int64(0)
	if meta := &e.Frame.Meta; d.Ahead != nil && meta.TTL > 0 && lasts > 0 {
		due = d.Now() + max(int64(lasts-d.Ahead(meta.TTL, meta.Cost)), 1)
	}
	m.Keep(Kept[V]{e.Value, e.Age}, v == entry.Absent, lasts, due)
}

// told asks over connections on which the servers tell of what was asked for: in
// a cluster some tags lie at other nodes than the entry.
type told struct {
	session   *wake.Session
	elsewhere map[string]*wake.Session // by key
}

// Do sends one command.
func (t told) Do(ctx context.Context, cmd rueidis.Completed) rueidis.RedisResult {
	return t.DoMulti(ctx, cmd)[0]
}

// DoMulti sends several, those of one connection together.
func (t told) DoMulti(ctx context.Context, commands ...rueidis.Completed) []rueidis.RedisResult {
	if len(t.elsewhere) == 0 {
		return t.session.Do(ctx, commands...)
	}
	parts := map[*wake.Session][]int{}
	for i := range commands {
		s := t.session
		if other := t.elsewhere[commands[i].Commands()[1]]; other != nil {
			s = other
		}
		parts[s] = append(parts[s], i)
	}
	results := make([]rueidis.RedisResult, len(commands))
	for s, at := range parts {
		part := make([]rueidis.Completed, len(at))
		for j, i := range at {
			part[j] = commands[i]
		}
		for j, r := range s.Do(ctx, part...) {
			results[at[j]] = r
		}
	}
	return results
}
