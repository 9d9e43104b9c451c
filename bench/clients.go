package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	gocache "github.com/go-redis/cache/v9"
	"github.com/redis/go-redis/v9"
	"github.com/redis/rueidis"
	"github.com/redis/rueidis/rueidisaside"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/redstarttest"
)

// ttl outlives every benchmark.
const ttl = time.Hour

// clients are one of each library on one server.
type clients struct {
	rueidis   rueidis.Client // its own defaults
	redstart  *redstart.Client
	aside     rueidisaside.CacheAsideClient
	goRedis   *redis.Client
	pipelined *redis.AutoPipeliner
	goCache   *gocache.Cache // over goRedis
}

// asideAbout says how rueidisaside is set up where every hit is to be one in Redis.
const asideAbout = "its client-side cache is off, else it would not ask Redis; its methods, locks and marker are its own"

// connect makes the clients.
func connect(ctx context.Context, server *redstarttest.Server) (c *clients, err error) {
	c = &clients{}
	defer func() {
		if err != nil {
			c.close()
		}
	}()
	address := []string{server.Addr()}
	if c.rueidis, err = rueidis.NewClient(rueidis.ClientOption{InitAddress: address}); err != nil {
		return c, fmt.Errorf("rueidis: %w", err)
	}
	if c.redstart, err = redstart.Open(ctx, server.URL(), redstart.Config{}); err != nil {
		return c, err
	}
	if c.aside, err = rueidisaside.NewClient(rueidisaside.ClientOption{
		ClientOption: rueidis.ClientOption{InitAddress: address, DisableCache: true},
	}); err != nil {
		return c, fmt.Errorf("rueidisaside: %w", err)
	}
	// A connection for every caller: at the default of ten a core they would queue.
	c.goRedis = redis.NewClient(&redis.Options{Addr: server.Addr(), PoolSize: callers})
	if c.pipelined, err = c.goRedis.AutoPipeline(); err != nil {
		return c, fmt.Errorf("go-redis: %w", err)
	}
	c.goCache = gocache.New(&gocache.Options{Redis: c.goRedis})
	return c, nil
}

func (c *clients) close() {
	if c.pipelined != nil {
		_ = c.pipelined.Close()
	}
	if c.goRedis != nil {
		_ = c.goRedis.Close()
	}
	if c.aside != nil {
		c.aside.Close()
	}
	if c.redstart != nil {
		c.redstart.Close()
	}
	if c.rueidis != nil {
		c.rueidis.Close()
	}
}

// set stores a plain value.
func (c *clients) set(ctx context.Context, key, value string) error {
	return c.rueidis.Do(ctx, c.rueidis.B().Set().Key(key).Value(value).Ex(ttl).Build()).Error()
}

// errMiss is what a loader gives where everything is cached: a miss is a fault of the benchmark.
var errMiss = errors.New("a miss, where everything is cached")

// errOther is for a value that is not the one asked for.
var errOther = errors.New("not the value that was stored")
