package cache

import (
	"context"
	"slices"
	"time"

	"github.com/redis/rueidis"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/internal/frame"
	"github.com/redstart-go/redstart/internal/stamp"
)

// Tier is where a value came from.
type Tier uint8

const (
	// TierNear: it was kept in the process.
	TierNear Tier = iota + 1
	// TierRedis: it was cached.
	TierRedis
	// TierSource: it was loaded for this caller, or for one with whom he waited.
	TierSource
)

// String is the tier for people.
func (t Tier) String() string {
	switch t {
	case TierNear:
		return "near"
	case TierRedis:
		return "redis"
	case TierSource:
		return "source"
	default:
		return "unknown"
	}
}

// Entry is a value with what is known of it.
type Entry[V any] struct {
	Value V
	// Age is how long ago the value was stored, by the server's countdown; zero
	// for one just loaded. Negative: not known, because none of Refresh,
	// StaleFor and Ages was set when it was stored, or it never expires.
	Age time.Duration
	// Tier says where it came from.
	Tier Tier
	// Stale: it is past its TTL, and the load of a new one failed or takes
	// longer than Config.SoftTimeout.
	Stale bool
}

// reply is what the server says of an entry.
type reply struct {
	entry  rueidis.RedisResult
	timed  bool
	left   time.Duration // what the key has to live, if timed; noEnd, justNow
	stamps []frame.Tag   // of all tags that were asked for
}

// What PTTL says where there is no time: the key never expires; the key was not
// there yet when its entry was.
const (
	noEnd   = -1 * time.Millisecond
	justNow = -2 * time.Millisecond
)

// fetch reads an entry, with what the cache needs to judge it: the time that
// it has left, and the stamps of its tags, in the same round trip where the id
// tells them, else in a second one. A read is sent again over another
// connection when the first is lost. An error reply to the GET stays in the
// result.
//
// The time is asked for before the entry, so that another client's write
// between the two gives a new value and an old time: it may be thought older
// than it is, and be loaded or flagged for nothing, never younger. Only where
// one of the two was sent again later may a value pass for younger, once.
func (c *Cache[K, V]) fetch(ctx context.Context, k string, q query[K]) (r reply, err error) {
	if q.again || len(q.labels) > 0 {
		return c.fetchOver(ctx, k, q.labels, c.client, c.client)
	}
	return c.fetchOver(ctx, k, nil, c.reader, c.client)
}

// asker is whom the questions are sent to: a client, or a session of the near
// tier.
type asker interface {
	Do(ctx context.Context, cmd rueidis.Completed) rueidis.RedisResult
	DoMulti(ctx context.Context, commands ...rueidis.Completed) []rueidis.RedisResult
}

// fetchOver asks one for the entry and another for the stamps that only it
// tells.
func (c *Cache[K, V]) fetchOver(ctx context.Context, k string, labels []stamp.Label, over, later asker) (r reply, err error) {
	timed := c.timed || c.near != nil
	if !timed && len(labels) == 0 {
		r.entry = over.Do(ctx, c.client.B().Get().Key(k).Build())
		if err = r.entry.NonRedisError(); again(ctx, err) {
			r.entry = over.Do(ctx, c.client.B().Get().Key(k).Build())
			err = r.entry.NonRedisError()
		}
	} else {
		err = c.ask(ctx, over, k, timed, true, labels, &r)
	}
	if err != nil {
		return r, err
	}
	raw, none := r.entry.AsBytes()
	if none != nil || !frame.Tells(raw) {
		return r, nil
	}
	f, bad := frame.Parse(raw)
	if bad != nil {
		return r, nil
	}
	var more []stamp.Label
	for name := range f.Meta.Tags() {
		if slices.ContainsFunc(labels, func(l stamp.Label) bool { return l.Name == name }) {
			continue
		}
		l, bad := c.tags.Label(name)
		if bad != nil {
			return r, nil // dead: nothing was asked for it
		}
		more = append(more, l)
	}
	if late := f.Meta.StaleFor > 0 && !r.timed; late || len(more) > 0 {
		err = c.ask(ctx, later, k, late, false, more, &r)
		if late && r.left == justNow {
			r.left = 0 // gone since it was read
		}
	}
	return r, err
}

// ask sends the questions together, and again if a connection was lost.
func (c *Cache[K, V]) ask(ctx context.Context, over asker, k string, pttl, get bool, labels []stamp.Label, r *reply) error {
	err := c.askOnce(ctx, over, k, pttl, get, labels, r)
	if again(ctx, err) {
		err = c.askOnce(ctx, over, k, pttl, get, labels, r)
	}
	return err
}

func (c *Cache[K, V]) askOnce(ctx context.Context, over asker, k string, pttl, get bool, labels []stamp.Label, r *reply) error {
	b := c.client.B()
	commands := make([]rueidis.Completed, 0, 2+len(labels))
	if pttl {
		commands = append(commands, b.Pttl().Key(k).Build())
	}
	if get {
		commands = append(commands, b.Get().Key(k).Build())
	}
	for _, l := range labels {
		commands = append(commands, b.Get().Key(l.Key).Build())
	}
	results := over.DoMulti(ctx, commands...)
	if pttl {
		ms, err := results[0].AsInt64()
		if err != nil {
			return err
		}
		r.timed, r.left, results = true, time.Duration(ms)*time.Millisecond, results[1:]
	}
	if get {
		r.entry, results = results[0], results[1:]
		if err := r.entry.NonRedisError(); err != nil {
			return err
		}
	}
	had := len(r.stamps)
	for i, l := range labels {
		text, err := results[i].ToString()
		if err != nil && !rueidis.IsRedisNil(err) {
			r.stamps = r.stamps[:had]
			return err
		}
		r.stamps = append(r.stamps, frame.Tag{Name: l.Name, Stamp: text})
	}
	return nil
}

// again reports whether a read that failed is worth another connection.
func again(ctx context.Context, err error) bool {
	return err != nil && redstart.Away(err) && redstart.OutcomeOf(err) == redstart.Unknown && ctx.Err() == nil
}

// replyError is an error reply; nil is none.
func replyError(r reply) error {
	if err := r.entry.Error(); err != nil && !rueidis.IsRedisNil(err) {
		return err
	}
	return nil
}

// weigh judges an entry by what stands around it: its tags' stamps and its time.
func (c *Cache[K, V]) weigh(e entry[V], v verdict, r *reply) (entry[V], verdict) {
	m := &e.frame.Meta
	if (v == hit || v == absent) && (m.HasTags() || len(r.stamps) > 0) && !stamp.Alive(m, r.stamps) {
		c.stats.dead.Add(1)
		return entry[V]{raw: e.raw, replace: e.raw}, miss
	}
	if v != hit || !r.timed || !e.frame.HasMeta || m.TTL == 0 || r.left == noEnd {
		return e, v
	}
	e.stands = r.left
	if r.left == justNow {
		e.stands = m.TTL + m.StaleFor
	}
	e.left = e.stands - m.StaleFor
	e.age = max(m.TTL-e.left, 0)
	switch {
	case e.left > 0 || m.StaleFor == 0:
		return e, hit
	case -e.left > c.cfg.StaleFor: // another process keeps values longer
		return entry[V]{raw: e.raw, replace: e.raw}, miss
	default:
		return e, stale
	}
}

// about is what an entry knows of itself.
type about struct {
	ttl, cost time.Duration
	tags      []frame.Tag
}

// appendMeta appends an entry's metadata to its header, if the cache, or a tag,
// asks for any.
func (c *Cache[K, V]) appendMeta(raw []byte, a about) []byte {
	if !c.timed && len(a.tags) == 0 {
		return raw
	}
	return frame.AppendMeta(raw, a.ttl, c.staleFor(a.ttl), a.cost, a.tags)
}

// staleFor is how long a value with the TTL stands beyond it.
func (c *Cache[K, V]) staleFor(ttl time.Duration) time.Duration {
	if ttl == 0 {
		return 0
	}
	return c.cfg.StaleFor
}

// encode is the frame of a value. With check it makes sure that what was
// written can be read again.
func (c *Cache[K, V]) encode(v V, a about, check bool) (raw []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = ErrPanic
		}
	}()
	raw = c.appendMeta(frame.Begin(make([]byte, 0, 256), frame.Value, c.codec, c.schema), a)
	at := len(raw)
	if raw, err = c.cfg.Codec.Append(raw, v); err != nil {
		return nil, err
	}
	if c.cfg.MaxBytes > 0 && len(raw)-at > c.cfg.MaxBytes {
		return nil, ErrTooLarge
	}
	if check {
		if _, err = c.decode(raw[at:]); err != nil {
			return nil, err
		}
	}
	return frame.Seal(c.packed(raw, at)), nil
}

// encodeAbsent is the frame that says that there is nothing.
func (c *Cache[K, V]) encodeAbsent(a about) []byte {
	raw := frame.Begin(nil, frame.Absent, 0, 0)
	if len(a.tags) > 0 {
		raw = frame.AppendMeta(raw, a.ttl, 0, a.cost, a.tags)
	}
	return frame.Seal(raw)
}
