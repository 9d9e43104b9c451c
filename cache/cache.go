package cache

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/internal/codec"
	"github.com/redstart-go/redstart/internal/frame"
	"github.com/redstart-go/redstart/internal/ids"
	"github.com/redstart-go/redstart/internal/near"
	"github.com/redstart-go/redstart/internal/pack"
	"github.com/redstart-go/redstart/internal/schema"
	"github.com/redstart-go/redstart/internal/stamp"
	"github.com/redstart-go/redstart/internal/turns"
	"github.com/redstart-go/redstart/internal/wake"
	"github.com/redstart-go/redstart/key"
)

// Cache reads through a cache in the server to the source of truth. It is
// shared by all goroutines. See the package's documentation for its promises.
type Cache[K comparable, V any] struct {
	client   *redstart.Client
	cfg      Config[K, V]
	template *key.Template
	waker    *wake.Waker
	outage   chan struct{} // a place for each load allowed while the server is away
	stats    counters

	key    func(K) (string, error) // builds an entry's key
	codec  byte
	schema uint32
	shares bool // decoded values share memory with the reply
	packer *pack.Packer
	tags   *stamp.Tags
	timed  bool                   // entries know their TTL, and reads ask what is left of it
	near   *near.Tier[K, kept[V]] // nil: off
	reader *redstart.Client       // where entries are read first; client but for Config.ReadFrom

	gets    *turns.Turns[query[K], reply]
	directs *turns.Turns[job[K], V]

	mu         sync.Mutex // guards what follows, and what is inside flights
	flights    map[string]*flight[K, V]
	refreshing map[string]struct{}
}

type outageKey struct{}

// New makes a cache on the client. It sends nothing.
func New[K comparable, V any](client *redstart.Client, cfg Config[K, V]) (*Cache[K, V], error) {
	cfg, template, err := cfg.withDefaults(client)
	if err != nil {
		return nil, err
	}
	client = client.FailFast().OnPrimary() // there is the source to turn to; a replica may hold what was invalidated
	c := &Cache[K, V]{
		client:   client,
		cfg:      cfg,
		template: template,
		waker:    wake.Of(client),
		key:      ids.KeyOf(template, cfg.Args),
		codec:    codec.ID(cfg.Codec.Name()),
		schema:   schema.Of[V](cfg.Codec.Name(), cfg.Version),
		packer:   packerOf(cfg.Compress, cfg.MaxBytes),
		timed:    cfg.Refresh.on() || cfg.StaleFor > 0 || cfg.Ages,
		flights:  map[string]*flight[K, V]{},

		refreshing: map[string]struct{}{},
	}
	if c.tags, err = stamp.Of(client, template, cfg.LoadTimeout); err != nil {
		return nil, fmt.Errorf("redstart/cache: config: Key: its tags' keys: %w", err)
	}
	c.outage = client.Attach(outageKey{}, func() any {
		return make(chan struct{}, max(client.Config().OutageLoads, 0))
	}).(chan struct{})
	if s, ok := cfg.Codec.(sharer); ok {
		c.shares = s.Shares()
	}
	if c.reader, err = client.ReadingFrom(cfg.ReadFrom); err != nil {
		return nil, fmt.Errorf("redstart/cache: config: %w", err)
	}
	if c.near, err = c.tier(); err != nil {
		return nil, fmt.Errorf("redstart/cache: config: Near: %w", err)
	}
	fetch, atOnce := c.fetch, 2 // see package turns
	if c.near != nil {
		fetch, atOnce = c.fetchNear, 1 // else an older answer could be kept after a newer one
	}
	c.gets = turns.New(atOnce, fetch, redstart.Away, client.Go)
	c.directs = turns.New(2, c.loadDirect, func(error) bool { return false }, client.Go)
	return c, nil
}

// Get gives the value of id: what is cached, else what Load gives, which is
// then cached. ErrNotFound says that there is none.
//
// A hit costs one GET; a miss two more commands, the load, and one script. Of
// all callers in all processes that miss at once one loads and the others are
// woken. A caller whose context ends gets its error, and no other is harmed.
// While the server is away Get loads from the source, up to
// redstart.Config.OutageLoads at once, and fails with redstart.ErrUnavailable
// beyond that.
//
// With Refresh, StaleFor or Ages the PTTL travels in the GET's round trip, with
// tags that the id tells a GET for each; what it serves may then be past its
// TTL, see [Cache.GetEntry].
func (c *Cache[K, V]) Get(ctx context.Context, id K) (V, error) {
	if c.near != nil {
		if it, ok := c.nearHit(id); ok && !it.Absent {
			c.stats.near.Add(1)
			return it.Value.value, nil
		}
	}
	e, err := c.GetEntry(ctx, id)
	return e.Value, err
}

// GetEntry is Get with what is known of the value.
func (c *Cache[K, V]) GetEntry(ctx context.Context, id K) (Entry[V], error) {
	if c.near != nil {
		if e, found, err := c.nearEntry(id); found {
			return e, err
		}
	}
	k, err := c.key(id)
	if err != nil {
		return Entry[V]{}, c.failRead("get", "", err)
	}
	labels, err := c.known(id)
	if err != nil {
		return Entry[V]{}, c.failRead("get", k, err)
	}
	patient := true   // he waits for a load although an old value is there
	var failure error // of the load for which he waited
	for again := 0; ; again++ {
		r, shared, err := c.gets.Do(ctx, k, query[K]{id: id, labels: labels, again: again > 0})
		if err == nil {
			err = replyError(r)
		}
		switch {
		case err == nil:
		case failure != nil && ctx.Err() == nil:
			return Entry[V]{}, failure
		case ctx.Err() == nil && redstart.Away(err):
			v, err := c.duringOutage(ctx, k, id, err)
			return c.lastResort(ctx, k, v, err)
		default:
			return Entry[V]{}, c.failRead("get", k, err)
		}
		seen, verdict := c.read(&r, shared)
		switch verdict {
		case hit:
			c.stats.hits.Add(1)
			if c.cfg.Refresh.on() {
				c.consider(ctx, k, id, &seen)
			}
			return Entry[V]{Value: seen.value, Age: seen.age, Tier: TierRedis}, nil
		case absent:
			c.stats.hits.Add(1)
			return Entry[V]{}, ErrNotFound
		case failed:
			c.stats.loadErrors.Add(1)
			return Entry[V]{}, c.failRead("get", k, ErrLoad)
		case stale:
			if rider := seen.frame.Rider; !patient || rider.Resting && rider.Stands(seen.stands) {
				c.stats.stale.Add(1)
				return Entry[V]{Value: seen.value, Age: seen.age, Tier: TierRedis, Stale: true}, nil
			}
		case bypass:
			v, err := c.direct(ctx, k, id)
			return sourced(v), err
		}
		if failure != nil { // and nothing older may be served
			return Entry[V]{}, failure
		}
		if again == 0 {
			c.stats.misses.Add(1)
		}
		if again == maxAgain {
			v, err := c.direct(ctx, k, id)
			return sourced(v), err
		}
		var patience time.Duration
		if patient && verdict == stale {
			patience = c.cfg.SoftTimeout
		}
		v, ok, err := c.board(ctx, k, id, &seen, patience)
		switch {
		case ok && err != nil && verdict == stale && settles(ctx, err):
			failure, patient = err, false
		case ok && redstart.Away(err):
			return c.lastResort(ctx, k, v, err)
		case ok:
			return sourced(v), err
		case err != nil: // the end of his patience
			patient = false
		}
	}
}

// sourced is a value that was just loaded.
func sourced[V any](v V) Entry[V] { return Entry[V]{Value: v, Tier: TierSource} }

// maxAgain bounds how often a caller looks again because what he waited for
// was invalidated; he then loads for himself.
const maxAgain = 3

// Peek gives what is cached for id and not past its TTL, and never loads: ok
// says whether anything is. ErrNotFound says that "not found" is cached. It
// costs what Get does for a hit.
func (c *Cache[K, V]) Peek(ctx context.Context, id K) (v V, ok bool, err error) {
	k, err := c.key(id)
	if err != nil {
		return v, false, c.failRead("peek", "", err)
	}
	labels, err := c.known(id)
	if err != nil {
		return v, false, c.failRead("peek", k, err)
	}
	r, err := c.fetch(ctx, k, query[K]{id: id, labels: labels})
	if err == nil {
		err = replyError(r)
	}
	if err != nil {
		return v, false, c.failRead("peek", k, err)
	}
	switch seen, verdict := c.read(&r, false); verdict {
	case hit:
		return seen.value, true, nil
	case absent:
		return v, true, ErrNotFound
	default:
		return v, false, nil
	}
}

// verdict is what an entry means for a reader.
type verdict uint8

const (
	miss   verdict = iota // nothing that can be served: load
	hit                   // a value
	absent                // known not to exist
	failed                // a load failed a moment ago
	bypass                // not to be cached for now
	leased                // someone loads
	stale                 // a value past its TTL
)

// entry is what stands at a key.
type entry[V any] struct {
	value   V
	raw     []byte        // all of it
	replace []byte        // on a miss: what stands there and is to be replaced; nil for nothing
	frame   frame.Frame   // what raw is, taken apart
	stands  time.Duration // what the key has to live; zero when not known
	left    time.Duration // what the value has; meaningless where stands is zero
	age     time.Duration // negative when not known
}

// read judges a reply. shared says that others decode the same bytes.
func (c *Cache[K, V]) read(r *reply, shared bool) (entry[V], verdict) {
	raw, err := r.entry.AsBytes()
	if err != nil {
		return entry[V]{}, miss
	}
	e, v := c.judge(raw, shared)
	if !e.frame.HasMeta && len(r.stamps) == 0 {
		return e, v
	}
	return c.weigh(e, v, r)
}

// judge is read without what stands around the entry.
func (c *Cache[K, V]) judge(raw []byte, shared bool) (e entry[V], _ verdict) {
	e.raw, e.age = raw, -1
	f, err := frame.Parse(raw)
	if err != nil {
		if c.cfg.Adopt != nil && errors.Is(err, frame.ErrForeign) {
			if v, err := c.adopt(raw, shared); err == nil {
				c.stats.adopted.Add(1)
				e.value = v
				return e, hit
			}
		}
		c.unreadable("corrupt", err)
		e.replace = raw
		return e, miss
	}
	e.frame = f
	switch f.Kind {
	case frame.Value:
		if f.Schema != c.schema || f.Codec != c.codec {
			c.stats.otherSchema.Add(1)
			break
		}
		if e.value, err = c.open(&f, shared); err == nil {
			return e, hit
		}
		c.unreadable("corrupt", errPayload)
	case frame.Absent:
		return e, absent
	case frame.Failed:
		return e, failed
	case frame.Bypass:
		return e, bypass
	case frame.Lease:
		return e, leased
	default:
		c.unreadable("corrupt", frame.ErrVersion)
	}
	var none V
	e.value, e.replace = none, raw
	return e, miss
}

// open is the value in a frame. shared says that others decode the same bytes.
func (c *Cache[K, V]) open(f *frame.Frame, shared bool) (v V, err error) {
	payload := f.Payload
	switch {
	case f.Packing != frame.Plain:
		if payload, err = c.packer.Expand(payload, f.Packing); err != nil {
			return v, err
		}
	case shared && c.shares:
		payload = append([]byte(nil), payload...)
	}
	return c.decode(payload)
}

func (c *Cache[K, V]) unreadable(event string, err error) {
	c.stats.corrupt.Add(1)
	c.notify(event, 0, err)
}

// adopt is Config.Adopt on bytes of the caller's own; its panic is an error.
func (c *Cache[K, V]) adopt(raw []byte, shared bool) (v V, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = ErrPanic
		}
	}()
	if shared {
		raw = append([]byte(nil), raw...)
	}
	return c.cfg.Adopt(raw)
}

// decode is the codec's Decode; bytes that make it panic are corrupt.
func (c *Cache[K, V]) decode(payload []byte) (v V, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = ErrPanic
		}
	}()
	return c.cfg.Codec.Decode(payload)
}

// jittered takes a random part off a TTL; zero stays zero.
func (c *Cache[K, V]) jittered(ttl time.Duration) time.Duration {
	if ttl == 0 || c.cfg.Jitter == 0 {
		return ttl
	}
	return max(ttl-time.Duration(rand.Float64()*c.cfg.Jitter*float64(ttl)), time.Millisecond)
}

func (c *Cache[K, V]) notify(event string, took time.Duration, err error) {
	c.client.Notify(redstart.PatternInfo{Pattern: "cache", Template: c.template.String(), Event: event, Took: took, Err: err})
}
