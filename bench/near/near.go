// Package near is the contestants of a hit in the process: a struct of 1 KiB that is asked for again and again.
package near

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"time"
	"unsafe"

	gocache "github.com/go-redis/cache/v9"
	"github.com/maypok86/otter/v2"
	"github.com/redis/go-redis/v9"
	"github.com/redis/rueidis"
	"github.com/redis/rueidis/rueidisaside"
	"github.com/viccon/sturdyc"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/bench/cost"
	"github.com/redstart-go/redstart/bench/product"
	"github.com/redstart-go/redstart/cache"
	"github.com/redstart-go/redstart/redstarttest"
)

const (
	first = 100_000 // the lowest id
	keys  = 1000
	room  = 10 * keys // nobody evicts
	ttl   = time.Hour // nothing ends
	limit = 10 * time.Second
)

// Contestants that are named in what is said about the figures. That without MaxStale has one which outlasts the run:
// there is none without any.
const (
	Ours     = "redstart"
	Unstaled = "redstart, no MaxStale"
)

// Struct takes 1 KiB of memory: a product of some 860 bytes as JSON, and bytes that nobody encodes.
type Struct struct {
	Product product.Product                               `json:"product"`
	Rest    [1024 - unsafe.Sizeof(product.Product{})]byte `json:"-" msgpack:"-"`
}

// Make gives the struct of an id, and Point a pointer to it.
func Make(id int) Struct { return Struct{Product: product.Make(int64(id))} }

// Point gives a pointer to the struct of an id.
func Point(id int) *Struct { v := Make(id); return &v }

var (
	errMiss  = errors.New("a miss, where everything is cached")
	errOther = errors.New("not the value that was stored")
)

// Hits is the contestants with all values in the process.
type Hits struct {
	Contestants []cost.Contestant // the first is the control

	calls, elsewhere func() uint64 // hits of Redstart's in the process, and in Redis
	closing          []func()
}

// Open makes contestants that hold what value gives: a Struct or a pointer to one. Those that hold bytes decode into a
// Struct in any case.
func Open[V any](ctx context.Context, server *redstarttest.Server, value func(id int) V) (h *Hits, err error) {
	h = &Hits{}
	defer func() {
		if err != nil {
			h.Close()
		}
	}()
	for _, o := range []struct {
		name, about string
		options     otter.Options[int, V]
	}{
		{"otter", "bounded by items, by int: the control", otter.Options[int, V]{MaximumSize: room}},
		{"otter, with a TTL", "", otter.Options[int, V]{MaximumSize: room, ExpiryCalculator: otter.ExpiryWriting[int, V](ttl)}},
	} {
		held, err := otter.New(&o.options)
		if err != nil {
			return h, fmt.Errorf("otter: %w", err)
		}
		for id := first; id < first+keys; id++ {
			held.Set(id, value(id))
		}
		look := func(id int) (v V, err error) {
			v, ok := held.GetIfPresent(id)
			if !ok {
				err = errMiss
			}
			return v, err
		}
		err = add(h, o.name, o.about, value, look, func(id int) error {
			if _, ok := held.GetIfPresent(id); !ok {
				return errMiss
			}
			return nil
		})
		if err != nil {
			return h, err
		}
	}
	if err := addRedstart(ctx, h, server, value); err != nil {
		return h, err
	}
	if err := addSturdyc(ctx, h, value); err != nil {
		return h, err
	}
	if err := addGoCache(ctx, h, server); err != nil {
		return h, err
	}
	return h, addAside(ctx, h, server)
}

// Close ends the clients.
func (h *Hits) Close() {
	for _, c := range h.closing {
		c()
	}
}

// Check gives an error when Redstart's hits were not in the process but for one in a thousand: figures would then not be
// about such hits.
func (h *Hits) Check() error {
	if far, all := h.elsewhere(), h.calls(); 1000*far > all {
		return fmt.Errorf("redstart: Redis was asked for %d values beside %d in the process", far, all)
	}
	return nil
}

// add adds a contestant, who must have every value. What is measured is hit, which leaves the value alone.
func add[V any](h *Hits, name, about string, value func(id int) V, look func(id int) (V, error), hit func(id int) error) error {
	for id := first; id < first+keys; id++ {
		v, err := look(id)
		if err == nil && !reflect.DeepEqual(v, value(id)) {
			err = errOther
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	h.Contestants = append(h.Contestants, cost.Contestant{Name: name, About: about, Loop: func(n int) error {
		id := first
		for range n {
			if err := hit(id); err != nil {
				return err
			}
			if id++; id == first+keys {
				id = first
			}
		}
		return nil
	}})
	return nil
}

func addRedstart[V any](ctx context.Context, h *Hits, server *redstarttest.Server, value func(id int) V) error {
	client, err := redstart.Open(ctx, server.URL(), redstart.Config{})
	if err != nil {
		return err
	}
	h.closing = append(h.closing, client.Close)
	var all []*cache.Cache[int, V]
	for _, o := range []struct {
		name, about, key string
		maxStale         time.Duration
	}{
		{Ours, "MaxStale is 2 s, its default", "stale:<id>", 0},
		{Unstaled, "MaxStale outlasts the run", "never:<id>", ttl},
	} {
		entries, err := cache.New(client, cache.Config[int, V]{
			Key: o.key, TTL: ttl, Codec: cache.JSON[V](),
			Load: func(context.Context, int) (v V, err error) { return v, errMiss },
			Near: cache.Near[int, V]{Items: room, MaxStale: o.maxStale},
		})
		if err != nil {
			return err
		}
		all = append(all, entries)
		if err := warm(ctx, entries, value); err != nil {
			return fmt.Errorf("%s: %w", o.name, err)
		}
		look := func(id int) (V, error) { return entries.Get(ctx, id) }
		err = add(h, o.name, o.about, value, look, func(id int) error {
			_, err := entries.Get(ctx, id)
			return err
		})
		if err != nil {
			return err
		}
	}
	before := all[0].Stats().Hits + all[1].Stats().Hits
	h.calls = func() uint64 { return all[0].Stats().NearHits + all[1].Stats().NearHits }
	h.elsewhere = func() uint64 { return all[0].Stats().Hits + all[1].Stats().Hits - before }
	return nil
}

// warm stores every value and asks for it until it is kept in the process.
func warm[V any](ctx context.Context, entries *cache.Cache[int, V], value func(id int) V) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for id := first; id < first+keys; id++ {
		if err := entries.Set(ctx, id, value(id)); err != nil {
			return err
		}
	}
	for id := first; id < first+keys; id++ {
		for before := entries.Stats().NearHits; entries.Stats().NearHits == before; {
			if _, err := entries.Get(ctx, id); err != nil {
				return err
			}
		}
	}
	return nil
}

func addSturdyc[V any](ctx context.Context, h *Hits, value func(id int) V) error {
	held := sturdyc.New[V](room, 64, ttl, 10, sturdyc.WithNoContinuousEvictions()) // whose goroutine never ends
	for id := first; id < first+keys; id++ {
		held.Set(strconv.Itoa(id), value(id))
	}
	missed := func(context.Context) (v V, err error) { return v, errMiss }
	look := func(id int) (V, error) { return held.GetOrFetch(ctx, strconv.Itoa(id), missed) }
	return add(h, "sturdyc", "GetOrFetch, without continuous evictions; its keys are text", value, look, func(id int) error {
		_, err := held.GetOrFetch(ctx, strconv.Itoa(id), missed)
		return err
	})
}

func addGoCache(ctx context.Context, h *Hits, server *redstarttest.Server) error {
	client := redis.NewClient(&redis.Options{Addr: server.Addr()})
	h.closing = append(h.closing, func() { _ = client.Close() })
	held := gocache.New(&gocache.Options{Redis: client, LocalCache: gocache.NewTinyLFU(room, ttl)})
	key := func(id int) string { return "packd:" + strconv.Itoa(id) }
	for id := first; id < first+keys; id++ {
		if err := held.Set(&gocache.Item{Ctx: ctx, Key: key(id), Value: Make(id), TTL: ttl}); err != nil {
			return fmt.Errorf("go-redis/cache: %w", err)
		}
	}
	look := func(id int) (v Struct, err error) {
		err = held.Once(&gocache.Item{
			Ctx: ctx, Key: key(id), Value: &v, TTL: ttl,
			Do: func(*gocache.Item) (any, error) { return nil, errMiss },
		})
		return v, err
	}
	return add(h, "go-redis/cache", "Once, with its TinyLFU in the process, which holds MessagePack", Make, look, func(id int) error {
		_, err := look(id)
		return err
	})
}

func addAside(ctx context.Context, h *Hits, server *redstarttest.Server) error {
	client, err := rueidisaside.NewClient(rueidisaside.ClientOption{
		ClientOption: rueidis.ClientOption{InitAddress: []string{server.Addr()}},
	})
	if err != nil {
		return fmt.Errorf("rueidisaside: %w", err)
	}
	h.closing = append(h.closing, client.Close)
	held := rueidisaside.NewTypedCacheAsideClient(client,
		func(v *Struct) (string, error) { text, err := json.Marshal(v); return string(text), err },
		func(text string) (*Struct, error) { v := &Struct{}; return v, json.Unmarshal([]byte(text), v) })
	key := func(id int) string { return "aside:" + strconv.Itoa(id) }
	for id := first; id < first+keys; id++ {
		fill := func(context.Context, string) (*Struct, error) { return Point(id), nil }
		if _, err := held.Get(ctx, ttl, key(id), fill); err != nil {
			return fmt.Errorf("rueidisaside: %w", err)
		}
	}
	missed := func(context.Context, string) (*Struct, error) { return nil, errMiss }
	look := func(id int) (*Struct, error) { return held.Get(ctx, ttl, key(id), missed) }
	return add(h, "rueidisaside", "typed, with encoding/json over its client-side cache", Point, look, func(id int) error {
		_, err := look(id)
		return err
	})
}
