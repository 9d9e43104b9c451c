package main

import (
	"context"
	"strconv"
	"strings"

	gocache "github.com/go-redis/cache/v9"

	"github.com/redstart-go/redstart/bench/table"
	"github.com/redstart-go/redstart/cache"
)

// hitBenchmark reads what is cached in Redis: 64 goroutines, 1 KiB, once over 1,000 keys and once one hot key.
type hitBenchmark struct{}

func (hitBenchmark) name() string { return "hit" }

const (
	hitKeys  = 1000
	hitBytes = 1024
	hitRate  = 0.95 // of raw rueidis
)

func (b hitBenchmark) run(ctx context.Context, l lab) ([]table.Section, error) {
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
	var sections []table.Section
	for _, t := range []throughput{
		{name: b.name(), title: "hit in Redis, 1,000 keys", keys: hitKeys, readers: readers},
		{name: b.name(), title: "hit in Redis, one hot key", keys: 1, readers: readers},
	} {
		t.how = "64 goroutines ask for 1 KiB and build the key from an id each time. Medians; the ratio is to the control in the same round."
		s, err := t.run(ctx, l, server)
		if err != nil {
			return nil, err
		}
		s.Verdicts = []table.Verdict{s.Faster("redstart cache", hitRate), s.NoMoreAllocs("redstart cache")}
		sections = append(sections, s)
	}
	return sections, nil
}

// readers stores the values and gives the contestants. All keys are equally long and built on every call.
func (hitBenchmark) readers(ctx context.Context, c *clients) ([]reader, error) {
	entries, err := cache.New(c.redstart, cache.Config[int, []byte]{
		Key: "entry:<id>", TTL: ttl, Codec: cache.Raw[[]byte](),
		Load: func(context.Context, int) ([]byte, error) { return nil, errMiss },
	})
	if err != nil {
		return nil, err
	}
	value := strings.Repeat("x", hitBytes)
	for id := firstID; id < firstID+hitKeys; id++ {
		if err := c.set(ctx, plainKey(id), value); err != nil {
			return nil, err
		}
		if err := entries.Set(ctx, id, []byte(value)); err != nil {
			return nil, err
		}
	}
	check := func(n int, err error) error {
		if err == nil && n != hitBytes {
			return errOther
		}
		return err
	}
	missed := func(context.Context, string) (string, error) { return "", errMiss }
	return []reader{
		{name: "rueidis", about: "GET, its own defaults: the control", get: func(ctx context.Context, id int) error {
			v, err := c.rueidis.Do(ctx, c.rueidis.B().Get().Key(plainKey(id)).Build()).AsBytes()
			return check(len(v), err)
		}},
		{name: "redstart client", about: "GET through the client that the cache stands on (rueidis with its defaults of Open)", get: func(ctx context.Context, id int) error {
			v, err := c.redstart.Do(ctx, c.redstart.B().Get().Key(plainKey(id)).Build()).AsBytes()
			return check(len(v), err)
		}},
		{name: "redstart cache", get: func(ctx context.Context, id int) error {
			v, err := entries.Get(ctx, id)
			return check(len(v), err)
		}},
		{name: "go-redis", about: "GET, a connection for each goroutine", get: func(ctx context.Context, id int) error {
			v, err := c.goRedis.Get(ctx, plainKey(id)).Bytes()
			return check(len(v), err)
		}},
		{name: "go-redis, pipelined", about: "GET on its AutoPipeline, which is experimental", get: func(ctx context.Context, id int) error {
			v, err := c.pipelined.Get(ctx, plainKey(id)).Bytes()
			return check(len(v), err)
		}},
		{name: "go-redis/cache", about: "Once over go-redis, no cache in the process", get: func(ctx context.Context, id int) error {
			var v []byte
			err := c.goCache.Once(&gocache.Item{
				Ctx: ctx, Key: plainKey(id), Value: &v, TTL: ttl,
				Do: func(*gocache.Item) (any, error) { return nil, errMiss },
			})
			return check(len(v), err)
		}},
		{name: "rueidisaside", about: asideAbout, get: func(ctx context.Context, id int) error {
			v, err := c.aside.Get(ctx, ttl, plainKey(id), missed)
			return check(len(v), err)
		}},
	}, nil
}

// plainKey builds a key as a program without Redstart does.
func plainKey(id int) string { return "plain:" + strconv.Itoa(id) }
