package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	gocache "github.com/go-redis/cache/v9"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/bench/product"
	"github.com/redstart-go/redstart/bench/table"
	"github.com/redstart-go/redstart/cache"
)

// structBenchmark reads a cached struct of some 860 bytes as JSON and decodes it, with each codec.
type structBenchmark struct{}

func (structBenchmark) name() string { return "struct" }

const structRate = 1.6 // times rueidis with encoding/json, by the default codec

func (b structBenchmark) run(ctx context.Context, l lab) ([]table.Section, error) {
	server, err := l.server(ctx)
	if err != nil {
		return nil, err
	}
	defer server.Close()
	c, err := connect(ctx, server)
	if err != nil {
		return nil, err
	}
	defer c.close()
	readers, err := b.readers(ctx, c)
	if err != nil {
		return nil, err
	}
	size, err := json.Marshal(product.Make(1))
	if err != nil {
		return nil, err
	}
	t := throughput{
		name: b.name(), title: "hit in Redis, a struct", keys: hitKeys, readers: readers,
		how: fmt.Sprintf("64 goroutines ask for a struct of %d bytes as JSON, over 1,000 keys. Medians; the ratio is to the control in the same round.", len(size)),
	}
	s, err := t.run(ctx, l, server)
	if err != nil {
		return nil, err
	}
	s.Verdicts = []table.Verdict{s.Faster("redstart, msgpack", structRate)}
	return []table.Section{s}, nil
}

func (structBenchmark) readers(ctx context.Context, c *clients) ([]reader, error) {
	for id := firstID; id < firstID+hitKeys; id++ {
		text, err := json.Marshal(product.Make(int64(id)))
		if err != nil {
			return nil, err
		}
		if err := c.set(ctx, plainKey(id), string(text)); err != nil {
			return nil, err
		}
		if err := c.goCache.Set(&gocache.Item{Ctx: ctx, Key: packedKey(id), Value: product.Make(int64(id)), TTL: ttl}); err != nil {
			return nil, err
		}
	}
	is := func(id int, got int64, err error) error {
		if err == nil && got != int64(id) {
			return errOther
		}
		return err
	}
	all := []reader{{name: "rueidis, encoding/json", about: "GET, its own defaults: the control", get: func(ctx context.Context, id int) error {
		var p product.Product
		err := c.rueidis.Do(ctx, c.rueidis.B().Get().Key(plainKey(id)).Build()).DecodeJSON(&p)
		return is(id, p.ID, err)
	}}}
	for _, codec := range []struct {
		name, about, key string
		codec            cache.Codec[product.Product]
	}{
		{"redstart, msgpack", "structs as arrays: the default codec", "array:<id>", nil},
		{"redstart, msgpack map", "structs as maps by field name", "named:<id>", cache.MsgpackMap[product.Product]()},
		{"redstart, JSON", "encoding/json", "jsons:<id>", cache.JSON[product.Product]()},
	} {
		products, err := cached(ctx, c.redstart, codec.key, codec.codec, product.Make)
		if err != nil {
			return nil, err
		}
		all = append(all, reader{name: codec.name, about: codec.about, get: func(ctx context.Context, id int) error {
			p, err := products.Get(ctx, id)
			return is(id, p.ID, err)
		}})
	}
	fast, err := cached(ctx, c.redstart, "quick:<id>", nil, func(id int64) product.Fast { return product.Fast(product.Make(id)) })
	if err != nil {
		return nil, err
	}
	return append(all,
		reader{name: "redstart, generated", about: "the type's own methods, as msgp generates them", get: func(ctx context.Context, id int) error {
			p, err := fast.Get(ctx, id)
			return is(id, p.ID, err)
		}},
		reader{name: "go-redis/cache", about: "Once over go-redis; it writes msgpack and compresses with s2", get: func(ctx context.Context, id int) error {
			var p product.Product
			err := c.goCache.Once(&gocache.Item{
				Ctx: ctx, Key: packedKey(id), Value: &p, TTL: ttl,
				Do: func(*gocache.Item) (any, error) { return nil, errMiss },
			})
			return is(id, p.ID, err)
		}},
	), nil
}

// cached makes a cache and fills it.
func cached[V any](ctx context.Context, c *redstart.Client, key string, codec cache.Codec[V], value func(int64) V) (*cache.Cache[int, V], error) {
	entries, err := cache.New(c, cache.Config[int, V]{
		Key: key, TTL: ttl, Codec: codec,
		Load: func(context.Context, int) (v V, err error) { return v, errMiss },
	})
	if err != nil {
		return nil, err
	}
	for id := firstID; id < firstID+hitKeys; id++ {
		if err := entries.Set(ctx, id, value(int64(id))); err != nil {
			return nil, err
		}
	}
	return entries, nil
}

// packedKey is where go-redis/cache keeps its own format.
func packedKey(id int) string { return "packd:" + strconv.Itoa(id) }
