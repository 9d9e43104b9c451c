package shard

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/cache"
)

// A pattern works on a sharded client: each key is loaded once by all processes,
// an invalidation is seen by all, and a load that it overtook is not stored.
func TestCacheOverShards(t *testing.T) {
	onServers(t, 3, func(t *testing.T, urls []string) {
		const ids, processes, callers = 30, 3, 4
		var loads [ids]atomic.Int64
		var version atomic.Int64
		load := func(_ context.Context, id int) (string, error) {
			loads[id].Add(1)
			if id == 7 {
				return "", cache.ErrNotFound
			}
			return fmt.Sprintf("%d at %d", id, version.Load()), nil
		}
		c := open(t, config(urls...))
		caches := make([]*cache.Cache[int, string], processes)
		for i := range caches {
			var err error
			mine := c
			if i > 0 {
				mine = open(t, config(urls...))
			}
			r := wrap(t, mine, redstart.Config{Namespace: "shop"})
			if caches[i], err = cache.New(r, cache.Config[int, string]{Key: "user:<id>", Load: load, TTL: time.Minute}); err != nil {
				t.Fatal(err)
			}
		}
		read := func() {
			var wg sync.WaitGroup
			for _, users := range caches {
				for range callers {
					wg.Go(func() {
						for id := range ids {
							got, err := users.Get(t.Context(), id)
							if want := fmt.Sprintf("%d at %d", id, version.Load()); id != 7 && (err != nil || got != want) || id == 7 && !errors.Is(err, cache.ErrNotFound) {
								t.Errorf("Get(%d) = %q, %v; want %q", id, got, err, want)
							}
						}
					})
				}
			}
			wg.Wait()
		}
		read()
		on := map[string]int{}
		for id := range ids {
			on[c.Shard(fmt.Sprintf("shop:user:%d", id))]++
			if n := loads[id].Load(); n != 1 {
				t.Errorf("%d was loaded %d times", id, n)
			}
		}
		if len(on) != 3 {
			t.Fatalf("the keys lie on %v: this test shows nothing", on)
		}
		version.Add(1)
		for id := range ids {
			if err := caches[id%processes].Invalidate(t.Context(), id); err != nil {
				t.Fatal(err)
			}
		}
		read()
		for id := range ids {
			if n := loads[id].Load(); n != 2 {
				t.Errorf("%d was loaded %d times by the second round", id, n)
			}
		}

		// A load under way when its key is invalidated is not stored.
		begun, goOn := make(chan struct{}), make(chan struct{})
		old := "old"
		slow, err := cache.New(wrap(t, c, redstart.Config{}), cache.Config[int, string]{Key: "slow:<id>", Load: func(context.Context, int) (string, error) {
			if old == "old" {
				old = "new"
				close(begun)
				<-goOn
				return "old", nil
			}
			return "new", nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		first := make(chan string, 1)
		go func() { v, _ := slow.Get(context.Background(), 1); first <- v }()
		<-begun
		if err := slow.Invalidate(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		close(goOn)
		if v := <-first; v != "old" {
			t.Errorf("who asked before has %q", v)
		}
		if v, err := slow.Get(t.Context(), 1); v != "new" || err != nil {
			t.Errorf("after the invalidation: %q, %v", v, err)
		}
	})
}
