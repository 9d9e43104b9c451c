package cache

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/key"
	"github.com/redstart-go/redstart/redstarttest"
)

func withNear(change ...func(*Near[int, user])) func(*Config[int, user]) {
	return func(cfg *Config[int, user]) {
		cfg.Near = Near[int, user]{Items: 1000}
		for _, f := range change {
			f(&cfg.Near)
		}
	}
}

// isNear waits until an id is kept in the process.
func isNear(t *testing.T, us *Cache[int, user], id int) {
	t.Helper()
	redstarttest.Eventually(t, 10*time.Second, "the value is kept in the process", func() bool {
		_, err := us.Get(t.Context(), id)
		_, ok := us.near.Get(id)
		return (err == nil || errors.Is(err, ErrNotFound)) && ok
	})
}

// A near hit asks nobody; what changes is seen, whoever changes it and how.
func TestNear(t *testing.T) {
	for name, change := range map[string]func(*Near[int, user]){
		"by key":    func(*Near[int, user]) {},
		"broadcast": func(n *Near[int, user]) { n.Broadcast = true },
	} {
		t.Run(name, func(t *testing.T) {
			onServers(t, func(t *testing.T, url string) {
				var version atomic.Int64
				load := func(_ context.Context, id int) (user, error) {
					if id == 404 {
						return user{}, ErrNotFound
					}
					return user{ID: int(version.Load())}, nil
				}
				tags := func(cfg *Config[int, user]) {
					cfg.Clearable = true
					cfg.Tags = func(id int) []string { return []string{"odd" + strconv.Itoa(id%2)} }
				}
				a, b := open(t, url, redstart.Config{}), open(t, url, redstart.Config{})
				plain := []*Cache[int, user]{users(t, a, load, withNear(change)), users(t, b, load, withNear(change))}
				tagged := func(cfg *Config[int, user]) { cfg.Key = "tagged:<id>"; tags(cfg) }
				labelled := []*Cache[int, user]{users(t, a, load, withNear(change), tagged), users(t, b, load, withNear(change), tagged)}

				us := plain[0]
				isNear(t, us, 1)
				before := us.Stats()
				for range 100 {
					if e, err := us.GetEntry(t.Context(), 1); err != nil || e.Tier != TierNear || e.Value.ID != int(version.Load()) {
						t.Fatalf("GetEntry = %+v, %v", e, err)
					}
				}
				if s := us.Stats(); s.NearHits != before.NearHits+100 || s.Hits != before.Hits || s.NearItems == 0 {
					t.Errorf("Stats = %+v, before %+v", s, before)
				}
				isNear(t, us, 404)
				if _, err := us.GetEntry(t.Context(), 404); !errors.Is(err, ErrNotFound) {
					t.Errorf("absent: %v", err)
				}
				found := 0
				for id, v := range us.All() {
					if id != 1 || v.ID != int(version.Load()) {
						t.Errorf("All gives %d, %+v", id, v)
					}
					found++
				}
				if found != 1 {
					t.Errorf("All gave %d", found)
				}

				// One's own writes at once, others' by the message.
				all := map[string]func(us *Cache[int, user]) error{
					"Set":        func(us *Cache[int, user]) error { return us.Set(t.Context(), 1, user{ID: int(version.Load())}) },
					"Invalidate": func(us *Cache[int, user]) error { return us.Invalidate(t.Context(), 1) },
				}
				ended := map[string]func(us *Cache[int, user]) error{
					"InvalidateTag": func(us *Cache[int, user]) error { return us.InvalidateTag(t.Context(), "odd1") },
					"Clear":         func(us *Cache[int, user]) error { return us.Clear(t.Context()) },
				}
				try := func(pair []*Cache[int, user], how string, write func(us *Cache[int, user]) error) {
					for _, writer := range pair {
						for _, us := range pair {
							isNear(t, us, 1)
						}
						version.Add(1)
						if err := write(writer); err != nil {
							t.Fatal(err)
						}
						if u, err := writer.Get(t.Context(), 1); err != nil || u.ID != int(version.Load()) {
							t.Errorf("%s: one's own: %+v, %v, want %d", how, u, err, version.Load())
						}
						redstarttest.Eventually(t, 10*time.Second, how+" by another is seen", func() bool {
							ok := true
							for _, us := range pair {
								u, err := us.Get(t.Context(), 1)
								ok = ok && err == nil && u.ID == int(version.Load())
							}
							return ok
						})
					}
				}
				for how, write := range all {
					try(plain, how, write)
					try(labelled, how, write)
				}
				for how, write := range ended {
					try(labelled, how, write)
				}
				if plain[0].near.Stats().Flushed > 0 && plain[0].Stats().NearPushed == 0 {
					t.Errorf("nothing was pushed: %+v", plain[0].Stats())
				}
			})
		})
	}
}

// A counter that only grows, read near by several processes under writes, with
// connections cut: it never goes back, one's own writes are read back, and a
// read is never older than MaxStale.
func TestNearHistory(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		const members, keys, maxStale = 3, 4, time.Second
		var source [keys]atomic.Int64
		var mu sync.Mutex
		acked := [keys][]time.Time{} // when version i+1 was invalidated
		load := func(_ context.Context, id int) (user, error) { return user{ID: int(source[id].Load())}, nil }
		var caches []*Cache[int, user]
		for range members {
			caches = append(caches, users(t, open(t, url, redstart.Config{}), load, withNear(func(n *Near[int, user]) { n.MaxStale = maxStale })))
		}
		ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
		defer cancel()
		floor := func(id int, at time.Time) int {
			mu.Lock()
			defer mu.Unlock()
			n := 0
			for n < len(acked[id]) && acked[id][n].Before(at) {
				n++
			}
			return n
		}
		var work sync.WaitGroup
		var reads, near atomic.Int64
		for m, us := range caches {
			for id := range keys {
				work.Go(func() {
					last := 0
					for ctx.Err() == nil {
						began := time.Now()
						u, err := us.Get(ctx, id)
						if err != nil {
							continue
						}
						reads.Add(1)
						if u.ID < last {
							t.Errorf("member %d: key %d went back from %d to %d", m, id, last, u.ID)
							return
						}
						if f := floor(id, began.Add(-maxStale)); u.ID < f {
							t.Errorf("member %d: key %d is %d, and was %d before %v", m, id, u.ID, f, maxStale)
							return
						}
						last = u.ID
						<-time.After(50 * time.Microsecond)
					}
				})
			}
		}
		work.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				id, us := i%keys, caches[i%members]
				v := int(source[id].Add(1))
				if err := us.Invalidate(t.Context(), id); err != nil {
					t.Errorf("Invalidate: %v", err)
					return
				}
				mu.Lock()
				acked[id] = append(acked[id], time.Now())
				mu.Unlock()
				if u, err := us.Get(t.Context(), id); err != nil || u.ID < v {
					t.Errorf("one's own write %d of key %d reads %+v, %v", v, id, u, err)
					return
				}
				<-time.After(5 * time.Millisecond)
			}
		})
		work.Wait()
		for _, us := range caches {
			near.Add(int64(us.Stats().NearHits))
		}
		t.Logf("%d reads, %d of them near", reads.Load(), near.Load())
		if near.Load() == 0 {
			t.Error("no read was near: nothing is shown")
		}
	})
}

// What Near cannot mean is refused by name.
func TestNearConfig(t *testing.T) {
	c := open(t, redstarttest.Run(t, redstarttest.ServerConfig{}).URL(), redstart.Config{})
	for _, bad := range []Near[int, user]{
		{Items: -1}, {Items: 1, Weight: 1}, {Weight: 1}, {MaxStale: time.Second}, {Broadcast: true}, {Items: 1, MaxStale: time.Millisecond},
	} {
		cfg := Config[int, user]{Key: "u:<id>", Load: func(context.Context, int) (user, error) { return user{}, nil }, Near: bad}
		if _, err := New(c, cfg); err == nil {
			t.Errorf("%+v is accepted", bad)
		}
	}
}

// In an outage a caller who can have nothing else gets what stood in the
// process, flagged, if that is allowed; never what he invalidated himself.
func TestNearInOutage(t *testing.T) {
	s := redstarttest.Run(t, redstarttest.ServerConfig{AOF: "always"})
	var version atomic.Int64
	load := func(context.Context, int) (user, error) { return user{ID: int(version.Load())}, nil }
	near := func(d time.Duration) func(*Config[int, user]) {
		return withNear(func(n *Near[int, user]) { n.MaxStale, n.InOutage = 200*time.Millisecond, d })
	}
	cfg := redstart.Config{OutageLoads: -1}
	us := users(t, open(t, s.URL(), cfg), load, near(time.Hour))
	brief := users(t, open(t, s.URL(), cfg), load, near(time.Nanosecond))
	for id := range 4 {
		isNear(t, us, id)
		isNear(t, brief, id)
	}
	version.Store(1)
	if err := us.Invalidate(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	redstarttest.Eventually(t, 10*time.Second, "a flagged value in the outage", func() bool {
		e, err := us.GetEntry(t.Context(), 1)
		return err == nil && e.Stale && e.Tier == TierNear && e.Value.ID == 0 && e.Age > 0
	})
	if v, err := us.Get(t.Context(), 1); err != nil || v.ID != 0 {
		t.Errorf("Get = %+v, %v", v, err)
	}
	if e, err := us.GetEntry(t.Context(), 2); !errors.Is(err, redstart.ErrUnavailable) {
		t.Errorf("after one's own invalidation: %+v, %v", e, err)
	}
	_ = us.Invalidate(t.Context(), 3) // refused, but who knows
	if e, err := us.GetEntry(t.Context(), 3); !errors.Is(err, redstart.ErrUnavailable) {
		t.Errorf("after an attempt at one: %+v, %v", e, err)
	}
	if e, err := brief.GetEntry(t.Context(), 1); !errors.Is(err, redstart.ErrUnavailable) {
		t.Errorf("older than allowed: %+v, %v", e, err)
	}
	if err := s.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	redstarttest.Eventually(t, 10*time.Second, "the server is back", func() bool {
		e, err := us.GetEntry(t.Context(), 1)
		return err == nil && !e.Stale
	})
}

// Many ids that are near ask nobody; what is read for many is kept, and what
// changes is seen.
func TestNearMany(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		var version atomic.Int64
		loadMany := func(_ context.Context, ids []int) (map[int]user, error) {
			m := map[int]user{}
			for _, id := range ids {
				if id != 404 {
					m[id] = user{ID: int(version.Load())}
				}
			}
			return m, nil
		}
		many := func(cfg *Config[int, user]) { cfg.Load, cfg.LoadMany, cfg.Clearable = nil, loadMany, true }
		a, b := users(t, open(t, url, redstart.Config{}), nil, withNear(), many), users(t, open(t, url, redstart.Config{}), nil, withNear(), many)
		ids := append(upTo(200), 404, 1)
		get := func(us *Cache[int, user], tier Tier) bool {
			t.Helper()
			got, err := us.GetMany(t.Context(), ids)
			if err != nil {
				t.Fatal(err)
			}
			all := true
			for i, g := range got {
				if ids[i] == 404 {
					if !errors.Is(g.Err, ErrNotFound) {
						t.Fatalf("404: %+v", g)
					}
					continue
				}
				all = all && g.Value.ID == int(version.Load()) && (tier == 0 || g.Tier == tier)
			}
			return all
		}
		near := func(us *Cache[int, user]) {
			t.Helper()
			redstarttest.Eventually(t, 10*time.Second, "all are near", func() bool { return get(us, TierNear) })
		}
		near(a)
		near(b)
		for how, write := range map[string]func() error{
			"InvalidateMany": func() error { return a.InvalidateMany(t.Context(), ids...) },
			"Clear":          func() error { return a.Clear(t.Context()) },
			"SetMany": func() error {
				return a.SetMany(t.Context(), func(yield func(int, user) bool) {
					for _, id := range upTo(200) {
						if !yield(id, user{ID: int(version.Load())}) {
							return
						}
					}
				})
			},
		} {
			version.Add(1)
			if err := write(); err != nil {
				t.Fatal(err)
			}
			if !get(a, 0) {
				t.Errorf("%s: one's own is not read back", how)
			}
			redstarttest.Eventually(t, 10*time.Second, how+" by another is seen", func() bool { return get(b, 0) })
			near(a)
			near(b)
		}
	})
}

// Where some ids are near and the others are not, each has its own answer, also
// one that has no key.
func TestNearManyInPart(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		for _, tagged := range []bool{false, true} {
			texts, err := New(open(t, url, redstart.Config{}), Config[string, string]{
				Key: "text" + strconv.FormatBool(tagged) + ":<id>", Clearable: tagged, Near: Near[string, string]{Items: 1000},
				Load: func(_ context.Context, id string) (string, error) {
					if id == "none" {
						return "", ErrNotFound
					}
					return "of " + id, nil
				},
			})
			if err != nil {
				t.Fatal(err)
			}
			bad := strings.Repeat("x", key.MaxLen)
			some := []string{"a", "c", "none", "e"}
			redstarttest.Eventually(t, 10*time.Second, "some are near", func() bool {
				before := texts.Stats().NearHits
				_, err := texts.GetMany(t.Context(), some)
				return err == nil && texts.Stats().NearHits == before+uint64(len(some))
			})
			ids := []string{bad, "a", "b", "c", "none", "d", "e", bad, "a", "f"}
			before := texts.Stats().NearHits
			got, err := texts.GetMany(t.Context(), ids)
			var failed Errors[string]
			if !errors.As(err, &failed) || len(failed) != 1 || failed[bad] == nil {
				t.Errorf("%d failed: %v", len(failed), err)
			}
			for i, g := range got {
				switch id := ids[i]; id {
				case bad:
					if !errors.Is(g.Err, key.ErrTooLong) {
						t.Errorf("an id without a key: %+v", g)
					}
				case "none":
					if !errors.Is(g.Err, ErrNotFound) {
						t.Errorf("%s: %+v", id, g)
					}
				default:
					if g.Err != nil || g.Value != "of "+id {
						t.Errorf("%s: %+v", id, g)
					}
				}
			}
			if n := texts.Stats().NearHits - before; n != uint64(len(some))+1 {
				t.Errorf("%d were near", n)
			}
		}
	})
}
