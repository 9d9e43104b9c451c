package cache

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/redstarttest"
	"github.com/redstart-go/redstart/redstarttest/proxy"
)

var errBoom = errors.New("boom")

// keep keeps values for an hour past their TTL of another.
func keep(cfg *Config[int, user]) {
	cfg.TTL, cfg.StaleFor, cfg.Jitter = time.Hour, time.Hour, -1
}

// expire lets the value's TTL end a minute ago.
func expire(t *testing.T, us *Cache[int, user]) {
	t.Helper()
	age(t, us.client, "user:1", time.Hour-time.Minute)
}

// C8: what is served past its TTL is flagged, bounded, and throttles the loads;
// an invalidation ends it, of whatever kind.
func TestStaleIfError(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		var fail atomic.Bool
		var loads atomic.Int64
		load := func(context.Context, int) (user, error) {
			n := loads.Add(1)
			if fail.Load() {
				return user{}, errBoom
			}
			return user{ID: int(n)}, nil
		}
		for name, invalidate := range map[string]func(us *Cache[int, user]) error{
			"Invalidate":    func(us *Cache[int, user]) error { return us.Invalidate(t.Context(), 1) },
			"InvalidateTag": func(us *Cache[int, user]) error { return us.InvalidateTag(t.Context(), "all") },
			"Clear":         func(us *Cache[int, user]) error { return us.Clear(t.Context()) },
			"a foreign DEL": func(us *Cache[int, user]) error {
				return us.client.Do(t.Context(), us.client.B().Del().Key("user:1").Build()).Error()
			},
			"the end": func(us *Cache[int, user]) error { age(t, us.client, "user:1", 0); return nil },
		} {
			t.Run(name, func(t *testing.T) {
				fail.Store(false)
				caches := fleet(t, url, 2, load, keep, func(cfg *Config[int, user]) {
					cfg.ErrorTTL = time.Hour // so that one failure throttles all that follows
					cfg.Tags, cfg.Clearable = func(int) []string { return []string{"all"} }, true
				})
				us := caches[0]
				if err := us.Invalidate(t.Context(), 1); err != nil { // what the test before left
					t.Fatal(err)
				}
				first, err := us.GetEntry(t.Context(), 1)
				if err != nil || first.Stale || first.Tier != TierSource || first.Age != 0 {
					t.Fatalf("GetEntry = %+v, %v", first, err)
				}
				expire(t, us)
				if u, ok, err := us.Peek(t.Context(), 1); ok || err != nil {
					t.Errorf("Peek of a value past its TTL = %+v, %v, %v", u, ok, err)
				}
				fail.Store(true)
				before := loads.Load()
				for i := range 20 {
					e, err := caches[i%2].GetEntry(t.Context(), 1)
					if err != nil || !e.Stale || e.Value.ID != first.Value.ID || e.Tier != TierRedis || e.Age < time.Hour || e.Age > 2*time.Hour {
						t.Fatalf("GetEntry while the source fails = %+v, %v", e, err)
					}
				}
				if n := loads.Load() - before; n != 1 {
					t.Errorf("%d loads at a failing source, want 1 in a pause", n)
				}
				if s := us.Stats(); s.Stale != 10 {
					t.Errorf("Stats = %+v", s)
				}
				if err := invalidate(us); err != nil {
					t.Fatal(err)
				}
				for _, c := range caches {
					if e, err := c.GetEntry(t.Context(), 1); !errors.Is(err, errBoom) && !errors.Is(err, ErrLoad) {
						t.Errorf("GetEntry after %s = %+v, %v, want the load's error", name, e, err)
					}
				}
				if err := us.Invalidate(t.Context(), 1); err != nil {
					t.Fatal(err)
				}
				fail.Store(false)
				if e, err := us.GetEntry(t.Context(), 1); err != nil || e.Stale {
					t.Errorf("GetEntry of the mended source = %+v, %v", e, err)
				}
			})
		}
	})
}

// The source mends: after the pause one load for all brings the new value.
func TestStaleEndsWithTheFailure(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		var fail atomic.Bool
		var loads atomic.Int64
		caches := fleet(t, url, 3, func(context.Context, int) (user, error) {
			n := loads.Add(1)
			if fail.Load() {
				return user{}, errBoom
			}
			return user{ID: int(n)}, nil
		}, keep, func(cfg *Config[int, user]) { cfg.ErrorTTL = 100 * time.Millisecond })
		if _, err := caches[0].Get(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		expire(t, caches[0])
		fail.Store(true)
		began := time.Now()
		redstarttest.Eventually(t, 10*time.Second, "five attempts", func() bool {
			for _, o := range ask(t.Context(), caches, 4) {
				if o.err != nil || o.user.ID != 1 {
					t.Fatalf("Get = %+v, %v", o.user, o.err)
				}
			}
			return loads.Load() >= 6
		})
		if took := time.Since(began); took < 4*100*time.Millisecond {
			t.Errorf("five attempts in %v, with a pause of 100 ms after each", took)
		}
		fail.Store(false)
		redstarttest.Eventually(t, 10*time.Second, "the new value", func() bool {
			e, err := caches[0].GetEntry(t.Context(), 1)
			return err == nil && !e.Stale && e.Value.ID > 1
		})
		before := loads.Load()
		for _, o := range ask(t.Context(), caches, 4) {
			if o.err != nil || o.user.ID < 2 {
				t.Errorf("Get = %+v, %v", o.user, o.err)
			}
		}
		if loads.Load() != before {
			t.Error("loaded once more")
		}
	})
}

// A slow load serves what is there after SoftTimeout, and ends in the
// background; several processes wait for one load.
func TestSoftTimeout(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		var slow atomic.Bool
		var loads atomic.Int64
		release := make(chan struct{})
		caches := fleet(t, url, 2, func(context.Context, int) (user, error) {
			n := loads.Add(1)
			if slow.Load() {
				<-release
			}
			return user{ID: int(n)}, nil
		}, keep, func(cfg *Config[int, user]) { cfg.SoftTimeout = 50 * time.Millisecond })
		if _, err := caches[0].Get(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		expire(t, caches[0])
		slow.Store(true)
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				began := time.Now()
				e, err := caches[i%2].GetEntry(t.Context(), 1)
				took := time.Since(began)
				if err != nil || !e.Stale || e.Value.ID != 1 {
					t.Errorf("GetEntry = %+v, %v", e, err)
				}
				if took < 50*time.Millisecond || took > 2*time.Second {
					t.Errorf("served after %v, want 50 ms and little more", took)
				}
			})
		}
		wg.Wait()
		close(release)
		redstarttest.Eventually(t, 10*time.Second, "the late load is stored", func() bool {
			u, ok, err := caches[1].Peek(t.Context(), 1)
			return err == nil && ok && u.ID == 2
		})
		if n := loads.Load(); n != 2 {
			t.Errorf("%d loads, want 2", n)
		}
	})
}

// The hard timeout ends a load that hangs; the old value is served.
func TestHardTimeoutOverStale(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		var slow atomic.Bool
		hang := make(chan struct{})
		defer close(hang)
		us := fleet(t, url, 1, func(context.Context, int) (user, error) {
			if slow.Load() {
				<-hang // deaf to its context
			}
			return user{ID: 1}, nil
		}, keep, func(cfg *Config[int, user]) { cfg.LoadTimeout = 100 * time.Millisecond })[0]
		if _, err := us.Get(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		expire(t, us)
		slow.Store(true)
		if e, err := us.GetEntry(t.Context(), 1); err != nil || !e.Stale || e.Value.ID != 1 {
			t.Errorf("GetEntry = %+v, %v", e, err)
		}
		if err := us.Invalidate(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		if e, err := us.GetEntry(t.Context(), 1); !errors.Is(err, ErrLoadTimeout) {
			t.Errorf("GetEntry after Invalidate = %+v, %v", e, err)
		}
	})
}

// An invalidation during a slow load: nobody who asks later gets the old value,
// although his patience ends, and the late load is not stored.
func TestInvalidateDuringASlowLoad(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		for name, invalidate := range map[string]func(us *Cache[int, user]) error{
			"Invalidate":    func(us *Cache[int, user]) error { return us.Invalidate(t.Context(), 1) },
			"InvalidateTag": func(us *Cache[int, user]) error { return us.InvalidateTag(t.Context(), "all") },
			"Clear":         func(us *Cache[int, user]) error { return us.Clear(t.Context()) },
		} {
			t.Run(name, func(t *testing.T) {
				var version atomic.Int64
				version.Store(1)
				var slow atomic.Bool
				began, release := make(chan struct{}, 8), make(chan struct{})
				caches := fleet(t, url, 2, func(context.Context, int) (user, error) {
					v := version.Load()
					if slow.CompareAndSwap(true, false) {
						began <- struct{}{}
						<-release
					}
					return user{ID: int(v)}, nil
				}, keep, func(cfg *Config[int, user]) {
					cfg.SoftTimeout, cfg.Lease = 20*time.Millisecond, 300*time.Millisecond
					cfg.Tags, cfg.Clearable = func(int) []string { return []string{"all"} }, true
				})
				if err := caches[0].Invalidate(t.Context(), 1); err != nil {
					t.Fatal(err)
				}
				if _, err := caches[0].Get(t.Context(), 1); err != nil {
					t.Fatal(err)
				}
				expire(t, caches[0])
				slow.Store(true)
				if e, err := caches[0].GetEntry(t.Context(), 1); err != nil || !e.Stale {
					t.Fatalf("GetEntry = %+v, %v", e, err)
				}
				<-began // version 1 is being loaded
				version.Store(2)
				if err := invalidate(caches[1]); err != nil {
					t.Fatal(err)
				}
				asked := func() (n uint64) {
					for _, c := range caches {
						s := c.Stats()
						n += s.Hits + s.Misses
					}
					return n
				}
				before := asked()
				late := make(chan []outcome, 1)
				go func() { late <- ask(t.Context(), caches, 4) }()
				redstarttest.Eventually(t, 10*time.Second, "they have asked", func() bool { return asked() >= before+8 })
				close(release)
				for _, o := range <-late {
					if o.err != nil || o.user.ID != 2 {
						t.Errorf("asked after the invalidation: %+v, %v", o.user, o.err)
					}
				}
				if u, err := caches[0].Get(t.Context(), 1); err != nil || u.ID != 2 {
					t.Errorf("Get = %+v, %v", u, err)
				}
			})
		}
	})
}

// Values that another process keeps longer, or at all, are past their TTL here.
func TestStaleOfAnotherConfig(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		load := func(n int) func(context.Context, int) (user, error) {
			return func(context.Context, int) (user, error) { return user{ID: n}, nil }
		}
		keeps := fleet(t, url, 1, load(1), keep)[0]
		plain := fleet(t, url, 1, load(2))[0]
		if _, err := keeps.Get(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		if u, err := plain.Get(t.Context(), 1); err != nil || u.ID != 1 {
			t.Errorf("a fresh one: %+v, %v", u, err)
		}
		expire(t, keeps)
		if u, err := plain.Get(t.Context(), 1); err != nil || u.ID != 2 {
			t.Errorf("one past its TTL: %+v, %v", u, err)
		}
	})
}

func TestAges(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		for name, tc := range map[string]struct {
			change func(*Config[int, user])
			want   time.Duration // after 20 minutes of an hour
		}{
			"kept":       {func(cfg *Config[int, user]) { cfg.Ages, cfg.TTL = true, time.Hour }, 20 * time.Minute},
			"not kept":   {func(cfg *Config[int, user]) { cfg.TTL = time.Hour }, -1},
			"for good":   {func(cfg *Config[int, user]) { cfg.Ages, cfg.TTL = true, -1 }, -1},
			"with stale": {func(cfg *Config[int, user]) { cfg.StaleFor, cfg.TTL = time.Minute, time.Hour }, 21 * time.Minute},
		} {
			us := fleet(t, url, 1, fresh, tc.change, func(cfg *Config[int, user]) { cfg.Jitter = -1 })[0]
			if err := us.Set(t.Context(), 1, user{}); err != nil {
				t.Fatal(err)
			}
			if name != "for good" {
				age(t, us.client, "user:1", 40*time.Minute)
			}
			e, err := us.GetEntry(t.Context(), 1)
			if err != nil || e.Stale || e.Tier != TierRedis || e.Age < tc.want || e.Age > tc.want+5*time.Second {
				t.Errorf("%s: GetEntry = %+v, %v, want %v old", name, e, err, tc.want)
			}
			if n := redstart.OutcomeOf(err); err != nil && n != redstart.NotApplied {
				t.Errorf("%s: %v", name, n)
			}
		}
	})
}

// Who saw the old value before an invalidation, and waits, is not given it
// after: he looks again when his patience ends, or the load fails.
func TestStaleIsLookedAtAgain(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		for name, fails := range map[string]bool{"slow": false, "failing": true} {
			t.Run(name, func(t *testing.T) {
				var second atomic.Bool
				began, release := make(chan struct{}, 8), make(chan struct{})
				const patience = 50 * time.Millisecond
				us := fleet(t, url, 1, func(context.Context, int) (user, error) {
					if !second.Load() {
						return user{ID: 1}, nil
					}
					began <- struct{}{}
					<-release
					if fails {
						return user{}, errBoom
					}
					return user{ID: 2}, nil
				}, keep, func(cfg *Config[int, user]) {
					if !fails {
						cfg.SoftTimeout = patience
					}
				})[0]
				if err := us.Set(t.Context(), 1, user{ID: 1}); err != nil {
					t.Fatal(err)
				}
				expire(t, us)
				second.Store(true)
				got := make(chan outcome, 1)
				start := time.Now()
				go func() { u, err := us.Get(t.Context(), 1); got <- outcome{user: u, err: err} }()
				<-began
				if err := us.client.Do(t.Context(), us.client.B().Del().Key("user:1").Build()).Error(); err != nil {
					t.Fatal(err)
				}
				redstarttest.Eventually(t, 10*time.Second, "his patience has ended", func() bool { return time.Since(start) > 3*patience })
				close(release)
				o := <-got
				if fails && !errors.Is(o.err, errBoom) || !fails && (o.err != nil || o.user.ID != 2) {
					t.Errorf("he got %+v, %v", o.user, o.err)
				}
				if s := us.Stats(); s.Stale != 0 {
					t.Errorf("Stats = %+v", s)
				}
			})
		}
	})
}

// What a lost reply leaves behind is found again, in every script and question
// of a load over a value with tags, and of an invalidation.
func TestLostRepliesOfRefinements(t *testing.T) {
	s := redstarttest.Run(t, redstarttest.ServerConfig{})
	for _, lost := range []string{"PTTL", "GET", "EVALSHA", "HMGET"} {
		for nth := 1; nth <= 4; nth++ {
			p, c := behind(t, s, redstart.Config{Pipelines: 1})
			command(t, s, "FLUSHALL")
			var version atomic.Int64
			us := users(t, c, nil, keep, func(cfg *Config[int, user]) {
				cfg.Clearable, cfg.ResultTags = true, true
				cfg.LoadResult = func(context.Context, int, Old[user]) (Result[user], error) {
					return Result[user]{Value: user{ID: int(version.Load())}, Tags: names("told")}, nil
				}
			})
			if _, err := us.Get(t.Context(), 1); err != nil { // so that the server knows the scripts
				t.Fatal(err)
			}
			expire(t, us)
			version.Store(1)
			h := p.AddRule(proxy.Rule{Match: proxy.Named(lost), Nth: nth, Action: proxy.SwallowReply(proxy.CutConnection)})
			start := time.Now()
			if u, err := us.Get(t.Context(), 1); err != nil || u.ID != 1 {
				t.Errorf("%s %d: Get = %+v, %v", lost, nth, u, err)
			}
			version.Store(2)
			if err := us.InvalidateTag(t.Context(), "told"); err != nil {
				t.Errorf("%s %d: InvalidateTag = %v", lost, nth, err)
			}
			if u, err := us.Get(t.Context(), 1); err != nil || u.ID != 2 {
				t.Errorf("%s %d: Get after the invalidation = %+v, %v", lost, nth, u, err)
			}
			if took := time.Since(start); took > defaultLease {
				t.Errorf("%s %d: a lost reply cost %v", lost, nth, took)
			}
			if h.Hits() == 0 && (nth == 1 || lost == "EVALSHA") {
				t.Errorf("%s %d: no reply was lost", lost, nth)
			}
		}
	}
}
