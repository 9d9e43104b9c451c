package cache

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redstart-go/redstart"
)

func TestGetLoadsOnceThenHits(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		c := open(t, url, redstart.Config{Namespace: "shop"})
		var loads atomic.Int64
		want := user{ID: 7, Name: "Ann", Seen: time.Unix(1700000000, 0).UTC(), Tags: []string{"a", "b"}}
		us := users(t, c, func(context.Context, int) (user, error) { loads.Add(1); return want, nil })
		for range 3 {
			got, err := us.Get(t.Context(), 7)
			if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
				t.Fatalf("Get = %+v, %v, want %+v", got, err, want)
			}
		}
		if n := loads.Load(); n != 1 {
			t.Errorf("%d loads, want 1", n)
		}
		if s := us.Stats(); s.Hits != 2 || s.Misses != 1 || s.Loads != 1 {
			t.Errorf("Stats = %+v", s)
		}
		if n, err := c.Do(t.Context(), c.B().Exists().Key("shop:user:7").Build()).AsInt64(); err != nil || n != 1 {
			t.Errorf("the entry is not at shop:user:7: %d, %v", n, err)
		}
	})
}

func TestNotFoundIsCached(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		c := open(t, url, redstart.Config{})
		var loads atomic.Int64
		us := users(t, c, func(context.Context, int) (user, error) {
			loads.Add(1)
			return user{}, fmt.Errorf("no row: %w", ErrNotFound)
		})
		for range 3 {
			if _, err := us.Get(t.Context(), 1); !errors.Is(err, ErrNotFound) {
				t.Fatalf("Get = %v, want ErrNotFound", err)
			}
		}
		if _, ok, err := us.Peek(t.Context(), 1); !ok || !errors.Is(err, ErrNotFound) {
			t.Errorf("Peek = %v, %v", ok, err)
		}
		if n := loads.Load(); n != 1 {
			t.Errorf("%d loads, want 1", n)
		}
		if err := us.Invalidate(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		_, _ = us.Get(t.Context(), 1)
		if n := loads.Load(); n != 2 {
			t.Errorf("%d loads after Invalidate, want 2", n)
		}
	})
}

func TestManyCallersOneLoad(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		const processes, callers = 4, 64
		var loads atomic.Int64
		var caches []*Cache[int, user]
		for range processes {
			caches = append(caches, users(t, open(t, url, redstart.Config{}), func(context.Context, int) (user, error) {
				loads.Add(1)
				time.Sleep(30 * time.Millisecond)
				return user{ID: 1, Name: "once"}, nil
			}))
		}
		var wg sync.WaitGroup
		for _, us := range caches {
			for range callers {
				wg.Go(func() {
					if u, err := us.Get(t.Context(), 1); err != nil || u.Name != "once" {
						t.Errorf("Get = %+v, %v", u, err)
					}
				})
			}
		}
		wg.Wait()
		if n := loads.Load(); n != 1 {
			t.Errorf("%d loads, want 1", n)
		}
	})
}
