package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	gocache "github.com/go-redis/cache/v9"
	"github.com/redis/go-redis/v9"
	"github.com/redis/rueidis"
	"github.com/redis/rueidis/rueidisaside"
	"github.com/viccon/sturdyc"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/cache"
	"github.com/redstart-go/redstart/redstarttest"
)

type (
	// asker gives the value of an id: what is cached, else what the loader gives.
	asker func(ctx context.Context, id int) (string, error)
	// loader is the source of truth. It takes its time and counts.
	loader func(ctx context.Context) (string, error)
)

// contestant of the stampede, as the parent and its children know it.
type contestant struct {
	name    string
	about   string
	local   bool                                                // uses no server
	prepare func(context.Context, *redstarttest.Server) error   // the server; nil: as it is
	join    func(context.Context, role, loader) (askers, error) // in a child
}

type askers struct {
	ask   asker
	close func()
}

// contestants of the stampede; the first is the control.
func contestants() []contestant {
	return []contestant{
		{name: "pub/sub by hand", join: joinPubSub, about: "SET NX as a lock; the holder publishes, waiters are subscribed and read again; one flight a process"},
		{name: "redstart", join: joinRedstart},
		{name: "redstart, polling", join: joinRedstart, prepare: refuseTracking, about: "the server refuses CLIENT TRACKING (by its ACL)"},
		{name: "polling recipe", join: joinPolling, about: "SET NX EX 30 as a lock; who does not get it sleeps 100 ms and begins again"},
		{name: "rueidisaside", join: joinAside},
		{name: "go-redis/cache", join: joinGoCache, about: "one flight a process and nothing between processes"},
		{name: "sturdyc", join: joinSturdyc, local: true, about: "in the process only"},
	}
}

// join makes a child a contestant.
func join(ctx context.Context, r role, load loader) (asker, func(), error) {
	for _, c := range contestants() {
		if c.name == r.Contestant {
			a, err := c.join(ctx, r, load)
			return a.ask, a.close, err
		}
	}
	return nil, nil, fmt.Errorf("there is no contestant %q", r.Contestant)
}

func refuseTracking(ctx context.Context, server *redstarttest.Server) error {
	_, err := server.Do(ctx, "ACL", "SETUSER", "default", "-client|tracking")
	return err
}

func joinRedstart(ctx context.Context, r role, load loader) (askers, error) {
	client, err := redstart.Open(ctx, r.URL, redstart.Config{})
	if err != nil {
		return askers{}, err
	}
	values, err := cache.New(client, cache.Config[int, string]{
		Key: "plain:<id>", TTL: ttl,
		Load: func(ctx context.Context, _ int) (string, error) { return load(ctx) },
	})
	if err != nil {
		client.Close()
		return askers{}, err
	}
	return askers{values.Get, client.Close}, nil
}

// joinPolling is the recipe as it is printed everywhere, with a loop for its recursion.
func joinPolling(_ context.Context, r role, load loader) (askers, error) {
	client, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{r.Address}})
	if err != nil {
		return askers{}, err
	}
	return askers{func(ctx context.Context, id int) (string, error) {
		key, lock := plainKey(id), plainKey(id)+":lock"
		for {
			value, err := client.Do(ctx, client.B().Get().Key(key).Build()).ToString()
			if !rueidis.IsRedisNil(err) {
				return value, err
			}
			err = client.Do(ctx, client.B().Set().Key(lock).Value("1").Nx().ExSeconds(30).Build()).Error()
			switch {
			case err == nil:
				value, err := load(ctx)
				if err == nil {
					err = client.Do(ctx, client.B().Setex().Key(key).Seconds(int64(ttl.Seconds())).Value(value).Build()).Error()
				}
				client.Do(ctx, client.B().Del().Key(lock).Build())
				return value, err
			case !rueidis.IsRedisNil(err):
				return "", err
			}
			if err := pause(ctx, 100*time.Millisecond); err != nil {
				return "", err
			}
		}
	}, client.Close}, nil
}

func joinAside(_ context.Context, r role, load loader) (askers, error) {
	client, err := rueidisaside.NewClient(rueidisaside.ClientOption{
		ClientOption: rueidis.ClientOption{InitAddress: []string{r.Address}},
	})
	if err != nil {
		return askers{}, err
	}
	return askers{func(ctx context.Context, id int) (string, error) {
		return client.Get(ctx, ttl, plainKey(id), func(ctx context.Context, _ string) (string, error) { return load(ctx) })
	}, client.Close}, nil
}

func joinGoCache(_ context.Context, r role, load loader) (askers, error) {
	client := redis.NewClient(&redis.Options{Addr: r.Address, PoolSize: callers})
	values := gocache.New(&gocache.Options{Redis: client})
	return askers{func(ctx context.Context, id int) (string, error) {
		var value string
		err := values.Once(&gocache.Item{
			Ctx: ctx, Key: plainKey(id), Value: &value, TTL: ttl,
			Do: func(item *gocache.Item) (any, error) { return load(item.Ctx) },
		})
		return value, err
	}, func() { _ = client.Close() }}, nil
}

func joinSturdyc(_ context.Context, _ role, load loader) (askers, error) {
	values := sturdyc.New[string](10_000, 64, ttl, 10)
	return askers{func(ctx context.Context, id int) (string, error) {
		return values.GetOrFetch(ctx, strconv.Itoa(id), sturdyc.FetchFn[string](load))
	}, func() {}}, nil
}

// stampedeValue is what the loader gives.
func stampedeValue() string { return strings.Repeat("x", hitBytes) }
