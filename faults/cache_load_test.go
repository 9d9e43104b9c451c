package faults

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/redstart-go/redstart/faults/harness"
	"github.com/redstart-go/redstart/faults/history"
	"github.com/redstart-go/redstart/redstarttest"
)

// getEverywhere lets every child ask for a key at once, and gives what each
// got.
func getEverywhere(t *testing.T, children []*harness.Child, arg getArg) []getResult {
	t.Helper()
	results := make([]getResult, len(children))
	var wg sync.WaitGroup
	for i, c := range children {
		wg.Go(func() {
			if err := c.Call(context.Background(), "get", arg, &results[i]); err != nil {
				t.Errorf("process %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	return results
}

// slowly makes every load take its time.
func slowly(s *harness.Source, latency time.Duration) {
	s.Behave(func(ctx context.Context, _ harness.Ask, a harness.Answer) harness.Answer {
		select {
		case <-time.After(latency):
		case <-ctx.Done():
		}
		return a
	})
}

// TestC1ColdKeyIsLoadedOnce: callers of several processes ask for a key that
// is not cached, half of them behind a slow network; the source counts.
func TestC1ColdKeyIsLoadedOnce(t *testing.T) {
	form := harness.Run(t)
	seed := harness.Seed(t)
	processes := harness.Choose(form, 4, 8)
	callers := harness.Choose(form, 64, 200)
	const (
		loadTime = 50 * time.Millisecond
		lease    = time.Second
		longTime = 1300 * time.Millisecond // a load that outlasts the lease, and the recipe's lock
	)

	var servers []string
	total := 0
	for i, l := range launchers(t, form, true) {
		keys := harness.Choose(form, 30, 1000)
		if i > 0 {
			keys = harness.Choose(form, 15, 100)
		}
		total += keys
		t.Run(l.Name, func(t *testing.T) {
			server, name := start(t, l, redstarttest.ServerConfig{})
			servers = append(servers, name)
			source := harness.NewSource(t)
			slowly(source, loadTime)
			slow := newProxy(t, server)
			slow.Delay(2*time.Millisecond, 2*time.Millisecond)
			slow.Jitter(3*time.Millisecond, seed)
			var children []*harness.Child
			for p := range processes {
				url := server.URL()
				if p%2 == 1 {
					url = slow.URL()
				}
				children = append(children, harness.Start(t, "member", memberArg{
					Recipe: redstarts, URL: url, Source: source.Addr(), Process: p, TTL: time.Minute, Lease: lease,
				}))
			}
			loads := map[string]int{}
			for k := range keys {
				key := fmt.Sprintf("cold%d", k)
				if k == keys-1 {
					slowly(source, longTime)
				}
				for p, got := range getEverywhere(t, children, getArg{Key: key, Callers: callers, Within: time.Minute}) {
					if got.Versions[1] != callers {
						t.Errorf("%s in process %d: %v, errors %v; want version 1 for %d callers", key, p, got.Versions, got.Errors, callers)
					}
				}
				loads[key] = source.Loads(key)
			}
			for _, wrong := range history.LoadedOnce(loads) {
				t.Error(wrong)
			}
			if f := slow.Faults(); f.Delayed == 0 {
				t.Error("the proxy delayed nothing")
			}
		})
	}
	aside := naiveLoads(t, cacheAside, processes, callers, loadTime, lease)
	// A load that outlasts its lock lets the next one in.
	locked := naiveLoads(t, lockRetry, processes, callers, longTime, lease)
	keep(t, form, "C1", servers, "1 load for each of %d keys, each asked for by %d processes × %d callers at once, half of them behind a proxy of 4 to 10 ms; also where the load outlasts the lease "+
		"(GET/SETEX: %d loads for one key; lock and retry, where the load outlasts the lock: %d)", total, processes, callers, aside, locked)
}

// naiveLoads is how many times a naive recipe loads one cold key. The checker
// must find fault with it.
func naiveLoads(t *testing.T, recipe string, processes, callers int, loadTime, lock time.Duration) int {
	t.Helper()
	loads := map[string]int{}
	t.Run(recipe, func(t *testing.T) {
		server := redstarttest.Run(t, redstarttest.ServerConfig{})
		source := harness.NewSource(t)
		slowly(source, loadTime)
		var children []*harness.Child
		for p := range processes {
			children = append(children, harness.Start(t, "member", memberArg{
				Recipe: recipe, URL: server.URL(), Source: source.Addr(), Process: p, TTL: time.Minute, Lock: lock,
			}))
		}
		for p, got := range getEverywhere(t, children, getArg{Key: "cold", Callers: callers, Within: time.Minute}) {
			if got.Versions[1] != callers {
				t.Errorf("process %d: %v, errors %v; want version 1 for %d callers", p, got.Versions, got.Errors, callers)
			}
		}
		loads["cold"] = source.Loads("cold")
		if history.LoadedOnce(loads) == nil {
			t.Errorf("the checker finds no fault with %s: %v", recipe, loads)
		}
	})
	return loads["cold"]
}
