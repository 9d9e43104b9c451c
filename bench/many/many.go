// Package many is the contestants of a read of 1,000 values by one call.
package many

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/rueidis"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/bench/cost"
	"github.com/redstart-go/redstart/bench/product"
	"github.com/redstart-go/redstart/cache"
	"github.com/redstart-go/redstart/redstarttest"
)

// Items is how many values a call reads.
const Items = 1000

const (
	first = 100_000 // the lowest id
	ttl   = time.Hour
	limit = 10 * time.Second
)

// Contestants that are named in what is said about the figures.
const (
	Ours     = "redstart"
	Warm     = "redstart, near"
	Packed   = "redstart, msgpack"
	Decoding = "msgpack, decoding alone"
)

var (
	errMiss  = errors.New("a miss, where everything is cached")
	errOther = errors.New("not the values that were stored")
)

// Clients are one of each library on one server.
type Clients struct {
	rueidis  rueidis.Client // its own defaults
	redstart *redstart.Client
	goRedis  *redis.Client
	ids      []int
}

// Open makes the clients.
func Open(ctx context.Context, server *redstarttest.Server) (c *Clients, err error) {
	c = &Clients{ids: make([]int, Items)}
	for i := range c.ids {
		c.ids[i] = first + i
	}
	if c.rueidis, err = rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{server.Addr()}}); err != nil {
		return nil, fmt.Errorf("rueidis: %w", err)
	}
	if c.redstart, err = redstart.Open(ctx, server.URL(), redstart.Config{}); err != nil {
		c.rueidis.Close()
		return nil, err
	}
	c.goRedis = redis.NewClient(&redis.Options{Addr: server.Addr()})
	return c, nil
}

// Close ends the clients.
func (c *Clients) Close() {
	_ = c.goRedis.Close()
	c.redstart.Close()
	c.rueidis.Close()
}

// Raw gives contestants that read texts of so many bytes and leave them as they are, the first of them the control. All
// read what the cache stores, which is longer by the head of its frame.
func (c *Clients) Raw(ctx context.Context, bytes int) ([]cost.Contestant, error) {
	value := func(int) string { return strings.Repeat("x", bytes) }
	name := fmt.Sprintf("raw-%d:", bytes)
	texts, err := cached(ctx, c, name, cache.Raw[string](), value, cache.Near[int, string]{})
	if err != nil {
		return nil, err
	}
	warm, err := cached(ctx, c, "near-"+name, cache.Raw[string](), value, cache.Near[int, string]{Items: 10 * Items})
	if err != nil {
		return nil, err
	}
	keys := c.keys(name)
	hit := func(get func() ([]string, error)) func(n int) error {
		return cost.Repeat(func() error {
			got, err := get()
			if err == nil && (len(got) != Items || len(got[0]) < bytes || len(got[Items-1]) < bytes) {
				err = errOther
			}
			return err
		})
	}
	gets := func(all *cache.Cache[int, string]) func(n int) error {
		return cost.Repeat(func() error {
			got, err := all.GetMany(ctx, c.ids)
			if err == nil && (len(got) != Items || len(got[0].Value) != bytes || len(got[Items-1].Value) != bytes) {
				err = errOther
			}
			return err
		})
	}
	return []cost.Contestant{
		{Name: "MGET", About: "rueidis, its own defaults, with keys that were made before: the control", Loop: hit(func() ([]string, error) {
			return mget(ctx, c.rueidis, keys)
		})},
		{Name: "MGET, and its keys", About: "which it makes from ids each time, as all of Redstart's do", Loop: hit(func() ([]string, error) {
			return mget(ctx, c.rueidis, c.keys(name))
		})},
		{Name: "rueidis, DoMulti", About: "of 1,000 GETs, with keys that were made before", Loop: hit(func() ([]string, error) {
			return doMulti(ctx, c.rueidis, keys)
		})},
		{Name: "go-redis, pipeline", About: "of 1,000 GETs, with keys that were made before", Loop: hit(func() ([]string, error) {
			return pipeline(ctx, c.goRedis, keys)
		})},
		{Name: Ours, About: "GetMany", Loop: gets(texts)},
		{Name: Warm, About: "GetMany with everything in the process", Loop: gets(warm)},
		{Name: "rueidis, MGetCache", About: "with everything in the process, and keys that were made before", Loop: hit(func() ([]string, error) {
			return mgetCache(ctx, c.rueidis, keys)
		})},
	}, nil
}

// Decoded gives contestants that read and decode structs, the first of them the control.
func (c *Clients) Decoded(ctx context.Context) ([]cost.Contestant, error) {
	value := func(id int) product.Product { return product.Make(int64(id)) }
	const name = "plain:"
	keys := c.keys(name)
	for i, id := range c.ids {
		text, err := json.Marshal(value(id))
		if err != nil {
			return nil, err
		}
		if err := c.rueidis.Do(ctx, c.rueidis.B().Set().Key(keys[i]).Value(rueidis.BinaryString(text)).Ex(ttl).Build()).Error(); err != nil {
			return nil, err
		}
	}
	all := []cost.Contestant{{
		Name: "MGET, encoding/json", About: "rueidis, its own defaults, with keys that were made before: the control",
		Loop: cost.Repeat(func() error {
			texts, err := mget(ctx, c.rueidis, keys)
			if err != nil {
				return err
			}
			got := make([]product.Product, len(texts))
			for i, text := range texts {
				if err := json.Unmarshal([]byte(text), &got[i]); err != nil {
					return err
				}
			}
			return is(got[Items-1].ID)
		}),
	}}
	for _, codec := range []struct {
		name, about, key string
		codec            cache.Codec[product.Product]
	}{
		{Packed, "structs as arrays: the default codec", "array:", cache.Msgpack[product.Product]()},
		{"redstart, JSON", "encoding/json", "jsons:", cache.JSON[product.Product]()},
	} {
		entries, err := cached(ctx, c, codec.key, codec.codec, value, cache.Near[int, product.Product]{})
		if err != nil {
			return nil, err
		}
		all = append(all, many(ctx, c, codec.name, codec.about, entries, func(p product.Product) int64 { return p.ID }))
	}
	generated, _ := cache.Generated[product.Fast]()
	fast, err := cached(ctx, c, "quick:", generated, func(id int) product.Fast { return product.Fast(value(id)) }, cache.Near[int, product.Fast]{})
	if err != nil {
		return nil, err
	}
	all = append(all, many(ctx, c, "redstart, generated", "the type's own methods, as msgp generates them", fast, func(p product.Fast) int64 { return p.ID }))
	alone, err := decoding(c, cache.Msgpack[product.Product](), value)
	return append(all, alone), err
}

func is(id int64) error {
	if id != first+Items-1 {
		return errOther
	}
	return nil
}

func many[V any](ctx context.Context, c *Clients, name, about string, entries *cache.Cache[int, V], id func(V) int64) cost.Contestant {
	return cost.Contestant{Name: name, About: about, Loop: cost.Repeat(func() error {
		got, err := entries.GetMany(ctx, c.ids)
		if err != nil {
			return err
		}
		return is(id(got[Items-1].Value))
	})}
}

// decoding is what a codec needs for the values, without any reading.
func decoding(c *Clients, codec cache.Codec[product.Product], value func(id int) product.Product) (cost.Contestant, error) {
	payloads := make([][]byte, Items)
	for i, id := range c.ids {
		var err error
		if payloads[i], err = codec.Append(nil, value(id)); err != nil {
			return cost.Contestant{}, err
		}
	}
	return cost.Contestant{Name: Decoding, About: "of as many, which are in the process", Loop: cost.Repeat(func() error {
		got := make([]product.Product, Items)
		for i, payload := range payloads {
			var err error
			if got[i], err = codec.Decode(payload); err != nil {
				return err
			}
		}
		return is(got[Items-1].ID)
	})}, nil
}

// cached makes a cache and fills it, the process as well if it has a near tier.
func cached[V any](ctx context.Context, c *Clients, name string, codec cache.Codec[V], value func(id int) V, near cache.Near[int, V]) (*cache.Cache[int, V], error) {
	entries, err := cache.New(c.redstart, cache.Config[int, V]{
		Key: name + "<id>", TTL: ttl, Codec: codec, Near: near,
		Load: func(context.Context, int) (v V, err error) { return v, errMiss },
	})
	if err != nil {
		return nil, err
	}
	all := map[int]V{}
	for _, id := range c.ids {
		all[id] = value(id)
	}
	if err := entries.SetMany(ctx, maps.All(all)); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		before := entries.Stats().NearHits
		got, err := entries.GetMany(ctx, c.ids)
		if err != nil {
			return nil, err
		}
		for i, id := range c.ids {
			if !reflect.DeepEqual(got[i].Value, all[id]) {
				return nil, errOther
			}
		}
		if near.Items == 0 || entries.Stats().NearHits == before+Items {
			return entries, nil
		}
	}
}

// keys makes the ids' keys as a program without Redstart does.
func (c *Clients) keys(name string) []string {
	keys := make([]string, len(c.ids))
	for i, id := range c.ids {
		keys[i] = name + strconv.Itoa(id)
	}
	return keys
}

func mget(ctx context.Context, c rueidis.Client, keys []string) ([]string, error) {
	messages, err := c.Do(ctx, c.B().Mget().Key(keys...).Build()).ToArray()
	if err != nil {
		return nil, err
	}
	got := make([]string, len(messages))
	for i := range messages {
		if got[i], err = messages[i].ToString(); err != nil {
			return nil, err
		}
	}
	return got, nil
}

func doMulti(ctx context.Context, c rueidis.Client, keys []string) ([]string, error) {
	commands := make([]rueidis.Completed, len(keys))
	for i, k := range keys {
		commands[i] = c.B().Get().Key(k).Build()
	}
	got := make([]string, len(keys))
	for i, r := range c.DoMulti(ctx, commands...) {
		var err error
		if got[i], err = r.ToString(); err != nil {
			return nil, err
		}
	}
	return got, nil
}

func mgetCache(ctx context.Context, c rueidis.Client, keys []string) ([]string, error) {
	messages, err := rueidis.MGetCache(c, ctx, ttl, keys)
	if err != nil {
		return nil, err
	}
	got := make([]string, len(keys))
	for i, k := range keys {
		message := messages[k]
		if got[i], err = message.ToString(); err != nil {
			return nil, err
		}
	}
	return got, nil
}

func pipeline(ctx context.Context, c *redis.Client, keys []string) ([]string, error) {
	pipe := c.Pipeline()
	commands := make([]*redis.StringCmd, len(keys))
	for i, k := range keys {
		commands[i] = pipe.Get(ctx, k)
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, err
	}
	got := make([]string, len(keys))
	for i, cmd := range commands {
		got[i] = cmd.Val()
	}
	return got, nil
}
