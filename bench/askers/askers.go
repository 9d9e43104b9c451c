// Package askers is the contestants of the stampede: what each does for one caller who wants a value.
package askers

import (
	"context"
	"fmt"
	"strconv"
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
	// Asker gives the value of an id: what is cached, else what the loader gives.
	Asker func(ctx context.Context, id int) (string, error)
	// Loader is the source of truth. It takes its time and counts.
	Loader func(ctx context.Context) (string, error)
)

// Place is where a contestant asks.
type Place struct {
	Address string        `json:"address"`
	URL     string        `json:"url"`
	Callers int           `json:"callers"` // at once
	TTL     time.Duration `json:"ttl"`     // of what is stored
}

// Contestant of the stampede, as the parent and its children know it.
type Contestant struct {
	Name    string
	About   string
	Local   bool                                              // uses no server
	Prepare func(context.Context, *redstarttest.Server) error // the server; nil: as it is

	// Join makes a process one of the contestant's.
	Join func(context.Context, Place, Loader) (ask Asker, closing func(), err error)
}

// All contestants; the first is the control.
func All() []Contestant {
	return []Contestant{
		{Name: "pub/sub by hand", Join: joinPubSub, About: "SET NX as a lock; the holder publishes, waiters are subscribed and read again; one flight a process"},
		{Name: "redstart", Join: joinRedstart},
		{Name: "redstart, polling", Join: joinRedstart, Prepare: refuseTracking, About: "the server refuses CLIENT TRACKING (by its ACL)"},
		{Name: "polling recipe", Join: joinPolling, About: "SET NX EX 30 as a lock; who does not get it sleeps 100 ms and begins again"},
		{Name: "rueidisaside", Join: joinAside},
		{Name: "go-redis/cache", Join: joinGoCache, About: "one flight a process and nothing between processes"},
		{Name: "sturdyc", Join: joinSturdyc, Local: true, About: "in the process only"},
	}
}

// Join makes this process one of the contestant of that name.
func Join(ctx context.Context, name string, p Place, load Loader) (Asker, func(), error) {
	for _, c := range All() {
		if c.Name == name {
			return c.Join(ctx, p, load)
		}
	}
	return nil, nil, fmt.Errorf("there is no contestant %q", name)
}

func refuseTracking(ctx context.Context, server *redstarttest.Server) error {
	_, err := server.Do(ctx, "ACL", "SETUSER", "default", "-client|tracking")
	return err
}

func joinRedstart(ctx context.Context, p Place, load Loader) (Asker, func(), error) {
	client, err := redstart.Open(ctx, p.URL, redstart.Config{})
	if err != nil {
		return nil, nil, err
	}
	values, err := cache.New(client, cache.Config[int, string]{
		Key: "plain:<id>", TTL: p.TTL,
		Load: func(ctx context.Context, _ int) (string, error) { return load(ctx) },
	})
	if err != nil {
		client.Close()
		return nil, nil, err
	}
	return values.Get, client.Close, nil
}

// joinPolling is the recipe as it is printed everywhere, with a loop for its recursion.
func joinPolling(_ context.Context, p Place, load Loader) (Asker, func(), error) {
	client, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{p.Address}})
	if err != nil {
		return nil, nil, err
	}
	return func(ctx context.Context, id int) (string, error) {
		name := key(id)
		lock := name + ":lock"
		for {
			value, err := client.Do(ctx, client.B().Get().Key(name).Build()).ToString()
			if !rueidis.IsRedisNil(err) {
				return value, err
			}
			err = client.Do(ctx, client.B().Set().Key(lock).Value("1").Nx().ExSeconds(30).Build()).Error()
			switch {
			case err == nil:
				value, err := load(ctx)
				if err == nil {
					err = client.Do(ctx, client.B().Setex().Key(name).Seconds(int64(p.TTL.Seconds())).Value(value).Build()).Error()
				}
				client.Do(ctx, client.B().Del().Key(lock).Build())
				return value, err
			case !rueidis.IsRedisNil(err):
				return "", err
			}
			select {
			case <-time.After(100 * time.Millisecond):
			case <-ctx.Done():
				return "", ctx.Err()
			}
		}
	}, client.Close, nil
}

func joinAside(_ context.Context, p Place, load Loader) (Asker, func(), error) {
	client, err := rueidisaside.NewClient(rueidisaside.ClientOption{
		ClientOption: rueidis.ClientOption{InitAddress: []string{p.Address}},
	})
	if err != nil {
		return nil, nil, err
	}
	return func(ctx context.Context, id int) (string, error) {
		return client.Get(ctx, p.TTL, key(id), func(ctx context.Context, _ string) (string, error) { return load(ctx) })
	}, client.Close, nil
}

func joinGoCache(_ context.Context, p Place, load Loader) (Asker, func(), error) {
	client := redis.NewClient(&redis.Options{Addr: p.Address, PoolSize: p.Callers})
	values := gocache.New(&gocache.Options{Redis: client})
	return func(ctx context.Context, id int) (string, error) {
		var value string
		err := values.Once(&gocache.Item{
			Ctx: ctx, Key: key(id), Value: &value, TTL: p.TTL,
			Do: func(item *gocache.Item) (any, error) { return load(item.Ctx) },
		})
		return value, err
	}, func() { _ = client.Close() }, nil
}

func joinSturdyc(_ context.Context, p Place, load Loader) (Asker, func(), error) {
	values := sturdyc.New[string](10_000, 64, p.TTL, 10)
	return func(ctx context.Context, id int) (string, error) {
		return values.GetOrFetch(ctx, strconv.Itoa(id), sturdyc.FetchFn[string](load))
	}, func() {}, nil
}

// key builds a key as a program without Redstart does.
func key(id int) string { return "plain:" + strconv.Itoa(id) }
