package cache

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/internal/entry"
	"github.com/redstart-go/redstart/internal/flight"
	"github.com/redstart-go/redstart/internal/floor"
	"github.com/redstart-go/redstart/internal/ids"
	"github.com/redstart-go/redstart/internal/nearby"
	"github.com/redstart-go/redstart/internal/source"
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
	outage   source.Places // one for each load allowed while the server is away
	stats    counters

	key    ids.Keys[K] // builds entries' keys
	form   *entry.Form[V]
	terms  *entry.Terms[K, V]
	reader *entry.Reader
	source *source.Source[K, V]
	tags   *stamp.Tags
	floors floor.Floors
	near   *nearby.Reader[K, V] // nil: off

	gets    *turns.Turns[query[K], entry.Reply]
	directs *turns.Turns[job[K], V]

	flights *flights[K, V]

	refreshing turns.Some
}

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
		key:      ids.Of(template, cfg.Args),
		flights:  flight.New[subject[K, V], ending[V]](),

		refreshing: turns.Some{Most: refreshesAtOnce},
	}
	c.form = entry.New(entry.Config[V]{
		Codec: cfg.Codec, Version: cfg.Version, Adopt: cfg.Adopt, MaxBytes: cfg.MaxBytes,
		Timed: cfg.Refresh.on() || cfg.StaleFor > 0 || cfg.Ages, StaleFor: cfg.StaleFor,
		Packing: cfg.Compress.packing(), PackAbove: cfg.CompressAbove,
		Corrupt: func(err error) { c.notify("corrupt", 0, err) },
	})
	c.floors = floor.Floors{Client: client, For: cfg.FloorFor}
	c.source = sourceOf(&cfg, &c.floors, c.key, func(took time.Duration, err error) { c.notify("load", took, err) })
	if c.tags, err = stamp.Of(client, template, cfg.LoadTimeout); err != nil {
		return nil, fmt.Errorf("redstart/cache: config: Key: its tags' keys: %w", err)
	}
	c.outage = source.PlacesOf(client)
	c.terms = &entry.Terms[K, V]{
		Form: c.form, Tags: c.tags, TagsOf: cfg.Tags, Clearable: cfg.Clearable, ResultTags: cfg.ResultTags,
		TTL: cfg.TTL, NegativeTTL: cfg.NegativeTTL, Jitter: cfg.Jitter, LoadTimeout: cfg.LoadTimeout,
		Within: 2 * client.Config().Timeout, NotStored: func(err error) { c.notify("not stored", 0, err) },
	}
	first, err := client.ReadingFrom(cfg.ReadFrom)
	if err != nil {
		return nil, fmt.Errorf("redstart/cache: config: %w", err)
	}
	c.reader = &entry.Reader{Client: client, First: first, Tags: c.tags, Timed: c.form.Timed || cfg.Near.on()}
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
		if it, ok := c.near.Hit(id); ok && !it.Absent {
			c.stats.near.Add(1)
			return it.Value.Value, nil
		}
	}
	e, err := c.GetEntry(ctx, id)
	return e.Value, err
}

// GetEntry is Get with what is known of the value.
func (c *Cache[K, V]) GetEntry(ctx context.Context, id K) (Entry[V], error) {
	if c.near != nil {
		if it, ok := c.near.Hit(id); ok {
			c.stats.near.Add(1)
			return c.nearEntry(it)
		}
	}
	k, err := c.key.One(id)
	if err != nil {
		return Entry[V]{}, c.failRead("get", "", err)
	}
	labels, err := c.terms.Known(id)
	if err != nil {
		return Entry[V]{}, c.failRead("get", k, err)
	}
	pauses := c.pauses()
	patient := true   // he waits for a load although an old value is there
	var failure error // of the load for which he waited
	for again := 0; ; again++ {
		r, shared, err := c.gets.Do(ctx, k, query[K]{id: id, labels: labels, again: again > 0})
		if err == nil {
			err = r.Err
		}
		switch {
		case err == nil:
		case pauses.Again(ctx, &err):
			again--
			continue
		case failure != nil && ctx.Err() == nil:
			return Entry[V]{}, failure
		case ctx.Err() == nil && redstart.Away(err):
			v, err := c.duringOutage(ctx, k, id, err)
			return c.lastResort(ctx, k, v, err)
		default:
			return Entry[V]{}, c.failRead("get", k, err)
		}
		seen, verdict := c.form.Read(&r, shared)
		switch verdict {
		case entry.Hit:
			c.stats.hits.Add(1)
			if c.cfg.Refresh.on() {
				c.consider(ctx, k, id, &seen)
			}
			return cached(&seen, false), nil
		case entry.Absent:
			c.stats.hits.Add(1)
			return Entry[V]{}, ErrNotFound
		case entry.Failed:
			c.stats.loadErrors.Add(1)
			return Entry[V]{}, c.failRead("get", k, ErrLoad)
		case entry.Stale:
			if !patient || seen.Resting() {
				c.stats.stale.Add(1)
				return cached(&seen, true), nil
			}
		case entry.Bypass:
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
		if patient && verdict == entry.Stale {
			patience = c.cfg.SoftTimeout
		}
		v, ok, err := c.board(ctx, k, id, &seen, patience)
		switch {
		case ok && err != nil && verdict == entry.Stale && settles(ctx, err):
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

// maxAgain bounds how often a caller looks again because what he waited for
// was invalidated; he then loads for himself.
const maxAgain = 3

// Peek gives what is cached for id and not past its TTL, and never loads: ok
// says whether anything is. ErrNotFound says that "not found" is cached. It
// costs what Get does for a hit.
func (c *Cache[K, V]) Peek(ctx context.Context, id K) (v V, ok bool, err error) {
	k, err := c.key.One(id)
	if err != nil {
		return v, false, c.failRead("peek", "", err)
	}
	labels, err := c.terms.Known(id)
	if err != nil {
		return v, false, c.failRead("peek", k, err)
	}
	var r entry.Reply
	err = c.pauses().Insist(ctx, func() error {
		r, err = c.fetch(ctx, k, query[K]{id: id, labels: labels})
		return cmp.Or(err, r.Err)
	})
	if err != nil {
		return v, false, c.failRead("peek", k, err)
	}
	switch seen, verdict := c.form.Read(&r, false); verdict {
	case entry.Hit:
		return seen.Value, true, nil
	case entry.Absent:
		return v, true, ErrNotFound
	default:
		return v, false, nil
	}
}

// pauses are a call's while the slot of what it is about moves.
func (c *Cache[K, V]) pauses() *entry.Pauses { return &entry.Pauses{Within: c.terms.Within / 2} }

func (c *Cache[K, V]) notify(event string, took time.Duration, err error) {
	c.client.Notify(redstart.PatternInfo{Pattern: "cache", Template: c.template.String(), Event: event, Took: took, Err: err})
}
