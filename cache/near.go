package cache

import (
	"context"
	"errors"
	"iter"
	"math/rand/v2"
	"time"

	"github.com/redstart-go/redstart/internal/entry"
	"github.com/redstart-go/redstart/internal/near"
	"github.com/redstart-go/redstart/internal/stamp"
	"github.com/redstart-go/redstart/internal/wake"
	"github.com/redstart-go/redstart/key"
)

// Near says what a cache keeps in the process, decoded, in front of the server;
// with Items or Weight set it is on. The server tells of what has been read and
// has changed (client tracking), over one more connection a node.
//
// A near hit asks nobody. One's own writes are read back at once. Others' are
// seen as soon as the server's message arrives, and whatever happens to
// connections, servers or processes but a failover, at most MaxStale later:
// "strong" is a cache without it. Callers share the values, so they must not
// change what a value points to.
//
// Where the server does not track (an ACL, the embedded server) the caches tell
// one another by a channel, and a value is kept for MaxStale at most.
type Near[K comparable, V any] struct {
	// Items is how many values are kept at most.
	Items int

	// Weight bounds them by the sum of what Weigh says instead, such as bytes.
	Weight uint64
	Weigh  func(K, V) uint32

	// MaxStale is how old a value may be, after a change, that is served when
	// the server can no longer tell of it. A quarter of it is how often each
	// node is asked for a sign of life. Default: 2 s.
	MaxStale time.Duration

	// InOutage is how old, since it was read, a value may be that a caller gets
	// as a last resort: the server is away, and no load from the source is
	// possible (redstart.Config.OutageLoads), or the load failed. It is
	// flagged, and may be older than an invalidation by others of which this
	// process, cut off, could not hear; never than one's own. Values with tags
	// are not kept for this. Negative or default: off, such a caller gets the
	// error.
	InOutage time.Duration

	// Broadcast makes the server tell of every key of the template, read by
	// this process or not. By default it remembers which keys a process has
	// read, in a table of a million keys (tracking-table-max-keys), and tells
	// of these: right for many processes and keys that change. A broadcast
	// costs each write a message to each process, and the server no memory:
	// right for a few processes with very many keys that hardly change. The
	// template must begin with literal text.
	Broadcast bool
}

func (n *Near[K, V]) on() bool { return n.Items > 0 || n.Weight > 0 }

const defaultMaxStale = 2 * time.Second

// complete checks every field and fills in what is zero.
func (n *Near[K, V]) complete(template *key.Template, bad func(string, string, ...any)) {
	switch {
	case n.Items < 0:
		bad("Near", "Items is negative; leave it out for no near tier")
	case n.Items > 0 && n.Weight > 0:
		bad("Near", "Items and Weight are both set; leave one out")
	case n.Weight > 0 && n.Weigh == nil:
		bad("Near", "Weight needs Weigh, which says what a value weighs")
	case !n.on() && (n.Weigh != nil || n.MaxStale != 0 || n.Broadcast || n.InOutage > 0):
		bad("Near", "needs Items or Weight; without them nothing is kept")
	}
	switch {
	case n.MaxStale == 0:
		n.MaxStale = defaultMaxStale
	case n.MaxStale < 100*time.Millisecond:
		bad("Near", "a MaxStale of %v is below 100 ms, less than a busy machine's pauses", n.MaxStale)
	}
	if n.Broadcast && template != nil && template.Prefix() == "" {
		bad("Near", "Broadcast needs a template that begins with literal text; this one's keys may begin with anything")
	}
}

// kept is a value in the near tier.
type kept[V any] struct {
	value V
	age   time.Duration // when it was read; negative when not known
}

// tier makes the near tier; nil for none.
func (c *Cache[K, V]) tier() (*near.Tier[K, kept[V]], error) {
	n := &c.cfg.Near
	if !n.on() {
		return nil, nil
	}
	var prefixes []string
	if n.Broadcast {
		prefixes = []string{c.template.Prefix()}
		if c.cfg.Clearable || c.cfg.Tags != nil || c.cfg.ResultTags {
			prefixes = c.tags.WithPrefix(prefixes)
		}
	}
	return near.New(near.Config[K, kept[V]]{
		Client:   c.client,
		Channel:  c.tags.Channel(),
		Prefixes: prefixes,
		MaxStale: n.MaxStale,
		Items:    n.Items,
		Weight:   n.Weight,
		Weigh:    func(id K, v kept[V]) uint32 { return n.Weigh(id, v.value) },
		Remember: n.InOutage > 0,
	})
}

// nearHit gives what is kept in the process for id, unless it is time to
// refresh it.
func (c *Cache[K, V]) nearHit(id K) (*near.Item[kept[V]], bool) {
	it, ok := c.near.Get(id)
	if !ok || it.Due != 0 && c.near.Now() >= it.Due {
		return nil, false
	}
	return it, true
}

// nearEntry is nearHit with what is known of the value.
func (c *Cache[K, V]) nearEntry(id K) (e Entry[V], found bool, err error) {
	it, ok := c.nearHit(id)
	if !ok {
		return e, false, nil
	}
	c.stats.near.Add(1)
	if it.Absent {
		return e, true, ErrNotFound
	}
	e = Entry[V]{Value: it.Value.value, Tier: TierNear, Age: it.Value.age}
	if e.Age >= 0 {
		e.Age += c.near.Age(it)
	}
	return e, true, nil
}

// lastResort is what a caller gets in an outage instead of an error.
func (c *Cache[K, V]) lastResort(ctx context.Context, k string, v V, err error) (Entry[V], error) {
	if err == nil || errors.Is(err, ErrNotFound) || ctx.Err() != nil || c.near == nil {
		return sourced(v), err
	}
	it, age, ok := c.near.Last(k)
	if !ok || age > c.cfg.Near.InOutage || it.Absent {
		return sourced(v), err
	}
	c.stats.stale.Add(1)
	if it.Value.age >= 0 {
		age += it.Value.age
	}
	return Entry[V]{Value: it.Value.value, Age: age, Tier: TierNear, Stale: true}, nil
}

// fetch reads an entry.
func (c *Cache[K, V]) fetch(ctx context.Context, k string, q query[K]) (entry.Reply, error) {
	if q.again {
		return c.reader.Over(c.client).Fetch(ctx, k, q.labels)
	}
	return c.reader.Fetch(ctx, k, q.labels)
}

// fetchNear is fetch over the connection on which the server then tells of the
// key, and keeps what it gives.
func (c *Cache[K, V]) fetchNear(ctx context.Context, k string, q query[K]) (entry.Reply, error) {
	elsewhere := map[string]*wake.Session{}
	m := c.mark(q.id, k, q.labels, elsewhere)
	if m == nil {
		return c.fetch(ctx, k, q)
	}
	defer m.Drop() // unless it is kept
	looking, cancel := context.WithTimeout(ctx, c.cfg.Near.MaxStale/4)
	defer cancel() // a session that is silent must not hold up the read
	r, err := c.reader.Over(c.over(m.Session(), elsewhere)).Fetch(looking, k, q.labels)
	if err != nil || r.Err != nil {
		if m.Session() == nil || ctx.Err() != nil {
			return r, err
		}
		return c.reader.Over(c.client).Fetch(ctx, k, q.labels) // the key has moved, or the session is gone
	}
	e, v := c.form.Read(&r, true)
	c.keep(m, &r, &e, v, len(q.labels))
	return r, nil
}

// mark sets a mark for a read of a key, and of its labels'; nil: do not keep it.
// elsewhere are the sessions over which labels are to be read that lie at
// another node.
func (c *Cache[K, V]) mark(id K, k string, labels []stamp.Label, elsewhere map[string]*wake.Session) *near.Mark[K, kept[V]] {
	m := c.near.Mark(id, k)
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
func (c *Cache[K, V]) over(session *wake.Session, elsewhere map[string]*wake.Session) entry.Asker {
	if session == nil {
		return c.client
	}
	return told{session, elsewhere}
}

// keep keeps what was read under a mark, if it is fresh.
func (c *Cache[K, V]) keep(m *near.Mark[K, kept[V]], r *entry.Reply, e *entry.Entry[V], v entry.Verdict, labels int) {
	lasts, ok := e.Lasts(r)
	if !ok || v != entry.Hit && v != entry.Absent || len(r.Stamps) > labels { // what only the result tells was read without a mark
		m.Drop()
		return
	}
	m.Keep(kept[V]{e.Value, e.Age}, v == entry.Absent, lasts, c.due(e, lasts))
}

// due is when a value that is kept is to be looked at in the server again, to
// be refreshed; zero for never.
func (c *Cache[K, V]) due(e *entry.Entry[V], left time.Duration) int64 {
	m := &e.Frame.Meta
	if !c.cfg.Refresh.on() || m.TTL == 0 || left == 0 {
		return 0
	}
	ahead := c.cfg.Refresh.ahead(m.TTL, m.Cost, rand.ExpFloat64())
	return c.near.Now() + max(int64(left-ahead), 1)
}

// wrote notes that this process has written a key, or has tried to: what is
// kept of it is given up before the writer is answered.
func (c *Cache[K, V]) wrote(ctx context.Context, k string, err error) {
	if err == nil {
		c.forget(k)
	}
	if c.near != nil {
		c.near.Forget(k)
		c.near.Tell(ctx, k)
	}
}

// All gives what is kept in the process and may be served, in no order; nothing
// without Near.
func (c *Cache[K, V]) All() iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		if c.near == nil {
			return
		}
		for id, it := range c.near.All() {
			if !it.Absent && !yield(id, it.Value.value) {
				return
			}
		}
	}
}

// query is what a read is about.
type query[K any] struct {
	id     K
	labels []stamp.Label
	again  bool // a replica may lack what he waited for
}
