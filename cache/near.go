package cache

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"time"

	"github.com/redstart-go/redstart/internal/entry"
	"github.com/redstart-go/redstart/internal/near"
	"github.com/redstart-go/redstart/internal/nearby"
	"github.com/redstart-go/redstart/internal/stamp"
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
	if n.MaxStale = cmp.Or(n.MaxStale, defaultMaxStale); n.MaxStale < 100*time.Millisecond {
		bad("Near", "a MaxStale of %v is below 100 ms, less than a busy machine's pauses", n.MaxStale)
	}
	if n.Broadcast && template != nil && template.Prefix() == "" {
		bad("Near", "Broadcast needs a template that begins with literal text; this one's keys may begin with anything")
	}
}

// tier makes the near tier; nil for none.
func (c *Cache[K, V]) tier() (*nearby.Reader[K, V], error) {
	n := &c.cfg.Near
	if !n.on() {
		return nil, nil
	}
	var prefixes []string
	if n.Broadcast {
		prefixes = c.tags.WithPrefix([]string{c.template.Prefix()})
	}
	d, err := nearby.New(near.Config[K, nearby.Kept[V]]{
		Client:   c.client,
		Channel:  c.tags.Channel(),
		Prefixes: prefixes,
		MaxStale: n.MaxStale,
		Items:    n.Items,
		Weight:   n.Weight,
		Weigh:    func(id K, v nearby.Kept[V]) uint32 { return n.Weigh(id, v.Value) },
		Remember: n.InOutage > 0,
	}, c.reader, c.form)
	if err == nil && c.cfg.Refresh.on() {
		d.Ahead = c.cfg.Refresh.ahead
	}
	return d, err
}

// nearEntry gives what is kept in the process.
func (c *Cache[K, V]) nearEntry(it *near.Item[nearby.Kept[V]]) (Entry[V], error) {
	if it.Absent {
		return Entry[V]{}, ErrNotFound
	}
	return Entry[V]{Value: it.Value.Value, Tier: TierNear, Age: c.near.AgeOf(it)}, nil
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
	return Entry[V]{Value: it.Value.Value, Age: max(age, c.near.AgeOf(it)), Tier: TierNear, Stale: true}, nil
}

// fetch reads an entry.
func (c *Cache[K, V]) fetch(ctx context.Context, k string, q query[K]) (entry.Reply, error) {
	if q.again {
		return c.reader.Over(c.client).Fetch(ctx, k, q.labels)
	}
	return c.reader.Fetch(ctx, k, q.labels)
}

// fetchNear is fetch through the near tier.
func (c *Cache[K, V]) fetchNear(ctx context.Context, k string, q query[K]) (entry.Reply, error) {
	if r, ok, err := c.near.Fetch(ctx, q.id, k, q.labels); ok {
		return r, err
	}
	r, err := c.fetch(ctx, k, q)
	if err == nil { // what is kept may be older, and be served again once the server is heard
		c.near.Forget(k)
	}
	return r, err
}

// lookNear answers those of many ids that are kept in the process, and gives the
// rest, in the same memory.
func (m *many[K, V]) lookNear(open []int) (rest []int) {
	rest = m.near.Hits(m.ids, open, func(i int, it *near.Item[nearby.Kept[V]]) {
		g := &m.got[i]
		g.Entry, g.Err = m.nearEntry(it)
		if m.hits != nil {
			m.hits[i] = true
		}
	})
	m.stats.near.Add(uint64(len(open) - len(rest)))
	return rest
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
	if c.near == nil {
		return func(func(K, V) bool) {}
	}
	return c.near.Values()
}

// query is what a read is about.
type query[K any] struct {
	id     K
	labels []stamp.Label
	again  bool // a replica may lack what he waited for
}
