package cache

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/internal/entry"
	"github.com/redstart-go/redstart/redstarttest"
)

// early is refresh-ahead when a fifth of the TTL is left.
func early(cfg *Config[int, user]) {
	cfg.TTL, cfg.Jitter, cfg.Refresh = time.Hour, -1, Refresh{Fraction: 0.2}
}

// age leaves the key so long to live, as if the rest had passed.
func age(t *testing.T, c *redstart.Client, k string, left time.Duration) {
	t.Helper()
	if err := c.Do(t.Context(), c.B().Pexpire().Key(k).Milliseconds(left.Milliseconds()).Build()).Error(); err != nil {
		t.Fatal(err)
	}
}

// XFetch refreshes with a chance of exp(-left / (beta × cost)): chi-square over
// 1e6 draws, a hundredth of error.
func TestXFetchRate(t *testing.T) {
	const draws, seed = 1_000_000, 7
	random := rand.New(rand.NewPCG(seed, seed))
	const cost = 100 * time.Millisecond
	chi, cells := 0.0, 0
	for _, beta := range []float64{0.5, 1, 2} {
		for _, left := range []time.Duration{0, 10 * time.Millisecond, 100 * time.Millisecond, 300 * time.Millisecond, 800 * time.Millisecond} {
			r := Refresh{Beta: beta}
			p := math.Exp(-float64(left) / (beta * float64(cost)))
			const n = draws / 15
			hits := 0
			for range n {
				if left <= entry.Ahead(r.Fraction, r.Beta, time.Hour, cost, random.ExpFloat64()) {
					hits++
				}
			}
			if want := p * n; p < 1 && want >= 5 {
				chi += (float64(hits)-want)*(float64(hits)-want)/want + (float64(hits)-want)*(float64(hits)-want)/(n-want)
				cells++
			} else if p == 1 && hits != n {
				t.Errorf("nothing left: %d of %d refresh", hits, n)
			}
		}
	}
	// A cell has one degree of freedom; the bound is four deviations above what they have on average.
	t.Logf("chi-square %.1f over %d cells (seed %d)", chi, cells, seed)
	if bound := float64(cells) + 4*math.Sqrt(2*float64(cells)); chi > bound {
		t.Errorf("chi-square %.1f over %d cells, bound %.1f", chi, cells, bound)
	}
	// The check must notice another rate: a beta one twentieth off.
	hits, n := 0, 200_000
	for range n {
		if cost <= entry.Ahead(0, 1.05, time.Hour, cost, random.ExpFloat64()) {
			hits++
		}
	}
	want := math.Exp(-1) * float64(n)
	if off := (float64(hits) - want) * (float64(hits) - want) / want; off < 27 {
		t.Errorf("a rate 5 %% off passes: %.1f", off)
	}
	if time.Hour <= entry.Ahead(0, 1, 2*time.Hour, 0, random.ExpFloat64()) {
		t.Error("a value whose load cost nothing is refreshed early")
	}
}

// periods runs rounds of a key that comes near its end while the readers of a
// fleet read it all the time, and gives the loads of each.
func periods(t *testing.T, rounds int, readers []func(context.Context) (int64, error), near func(), settled func() bool, loads *atomic.Int64) (worst int64) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	var reads atomic.Int64
	for _, read := range readers {
		wg.Go(func() {
			for ctx.Err() == nil {
				if _, err := read(ctx); err != nil && ctx.Err() == nil {
					t.Errorf("read: %v", err)
					return
				}
				reads.Add(1)
			}
		})
	}
	for range rounds {
		redstarttest.Eventually(t, 20*time.Second, "no refresh is under way", settled)
		before := loads.Load()
		near()
		redstarttest.Eventually(t, 20*time.Second, "a refresh", func() bool { return loads.Load() > before })
		seen := reads.Load()
		redstarttest.Eventually(t, 20*time.Second, "everyone has read it since", func() bool { return reads.Load() > seen+int64(20*len(readers)) })
		worst = max(worst, loads.Load()-before)
	}
	stop()
	wg.Wait()
	return worst
}

// C7: at most one refresh a key and period in a fleet of eight, and no reader
// ever waits or misses. The naive recipe, where every reader who sees the end
// coming loads, fails the same count.
func TestOneRefreshInAFleet(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		var loads atomic.Int64
		load := func(context.Context, int) (user, error) {
			n := loads.Add(1)
			time.Sleep(2 * time.Millisecond) // as a source takes
			return user{ID: int(n)}, nil
		}
		caches := fleet(t, url, 8, load, early)
		if _, err := caches[0].Get(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		raw := open(t, url, redstart.Config{})
		near := func() { age(t, raw, "user:1", 10*time.Minute) }
		var under atomic.Int64
		var readers, naive []func(context.Context) (int64, error)
		for _, c := range caches {
			for range 2 {
				readers = append(readers, func(ctx context.Context) (int64, error) {
					u, err := c.Get(ctx, 1)
					return int64(u.ID), err
				})
				naive = append(naive, func(ctx context.Context) (int64, error) { return naiveRefresh(ctx, c.client, load, &under) })
			}
		}
		worst := periods(t, 20, readers, near, func() bool {
			for _, c := range caches {
				if c.refreshing.Busy() > 0 {
					return false
				}
			}
			return true
		}, &loads)
		var misses, refreshes uint64
		for _, c := range caches {
			misses += c.Stats().Misses
			refreshes += c.Stats().Refreshes
		}
		if worst != 1 || misses != 1 || refreshes != 20 {
			t.Errorf("%d refreshes in a period, %d misses, %d refreshes in 20 periods; want 1, 1 (the first) and 20", worst, misses, refreshes)
		}
		if err := raw.Do(t.Context(), raw.B().Set().Key("naive").Value("0").Px(time.Hour).Build()).Error(); err != nil {
			t.Fatal(err)
		}
		naiveWorst := periods(t, 5, naive, func() { age(t, raw, "naive", 10*time.Minute) }, func() bool { return under.Load() == 0 }, &loads)
		t.Logf("refreshes in the worst period: %d, naive %d", worst, naiveWorst)
		if naiveWorst < 2 {
			t.Errorf("the naive recipe passes as well: %d", naiveWorst)
		}
	})
}

// naiveRefresh is the recipe: whoever reads in the last fifth starts a load.
func naiveRefresh(ctx context.Context, c *redstart.Client, load func(context.Context, int) (user, error), under *atomic.Int64) (int64, error) {
	v, err := c.Do(ctx, c.B().Get().Key("naive").Build()).AsInt64()
	if err != nil {
		return 0, err
	}
	left, err := c.Do(ctx, c.B().Pttl().Key("naive").Build()).AsInt64()
	if err != nil {
		return 0, err
	}
	if left < (12 * time.Minute).Milliseconds() {
		under.Add(1)
		_ = c.Go(func(ctx context.Context) {
			defer under.Add(-1)
			if _, err := load(ctx, 1); err == nil {
				_ = c.Do(ctx, c.B().Set().Key("naive").Value("1").Px(time.Hour).Build()).Error()
			}
		})
	}
	return v, nil
}

// A refresh that dies, or fails, leaves the value, and gives way to the next.
func TestRefreshThatFails(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		var fail atomic.Bool
		var loads atomic.Int64
		us := fleet(t, url, 1, func(context.Context, int) (user, error) {
			n := loads.Add(1)
			if fail.Load() {
				return user{}, errors.New("boom")
			}
			return user{ID: int(n)}, nil
		}, early, func(cfg *Config[int, user]) { cfg.ErrorTTL = 200 * time.Millisecond })[0]
		if _, err := us.Get(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		age(t, us.client, "user:1", 10*time.Minute)
		fail.Store(true)
		began := time.Now()
		redstarttest.Eventually(t, 10*time.Second, "three attempts", func() bool {
			u, err := us.Get(t.Context(), 1)
			if err != nil || u.ID != 1 {
				t.Fatalf("Get = %+v, %v", u, err)
			}
			return loads.Load() >= 4
		})
		if took := time.Since(began); took < 400*time.Millisecond {
			t.Errorf("three attempts in %v, with a pause of 200 ms between them", took)
		}
		fail.Store(false)
		redstarttest.Eventually(t, 10*time.Second, "the refresh", func() bool {
			u, err := us.Get(t.Context(), 1)
			return err == nil && u.ID > 1
		})
		if s := us.Stats(); s.Misses != 1 {
			t.Errorf("Stats = %+v", s)
		}
	})
}

// A refresh under way when the key is deleted, or set, is not stored; one that
// finds another value than its reader saw does not load.
func TestRefreshMeetsAWrite(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		var version atomic.Int64
		version.Store(1)
		began, release := make(chan struct{}, 8), make(chan struct{})
		us := fleet(t, url, 1, func(context.Context, int) (user, error) {
			v := version.Load()
			if v == 2 {
				began <- struct{}{}
				<-release
			}
			return user{ID: int(v)}, nil
		}, early)[0]
		get := func(want int) {
			t.Helper()
			if u, err := us.Get(t.Context(), 1); err != nil || u.ID != want {
				t.Fatalf("Get = %+v, %v, want %d", u, err, want)
			}
		}
		get(1)
		age(t, us.client, "user:1", 10*time.Minute)
		version.Store(2)
		get(1) // starts the refresh
		<-began
		get(1) // and is not held up by it
		if info, err := Inspect(rawOf(t, us)); err != nil || info.Kind != "value" {
			t.Errorf("while it is refreshed: %+v, %v", info, err)
		}
		version.Store(3)
		if err := us.Invalidate(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		get(3)
		close(release)
		redstarttest.Eventually(t, 10*time.Second, "the refresh is refused", func() bool { return us.Stats().Refused == 1 })
		get(3)

		// Two readers see the end coming; the second's refresh finds the first's value.
		age(t, us.client, "user:1", 10*time.Minute)
		r, err := us.fetch(t.Context(), "user:1", query[int]{})
		if err != nil {
			t.Fatal(err)
		}
		seen, verdict := us.form.Read(&r, false)
		if verdict != entry.Hit {
			t.Fatalf("verdict %v", verdict)
		}
		if err := us.Set(t.Context(), 1, user{ID: 4}); err != nil {
			t.Fatal(err)
		}
		loads := us.Stats().Loads
		us.consider(t.Context(), "user:1", 1, &seen)
		redstarttest.Eventually(t, 10*time.Second, "it has looked", func() bool {
			return us.refreshing.Busy() == 0
		})
		get(4)
		if s := us.Stats(); s.Loads != loads {
			t.Errorf("loaded although a fresher value was there: %+v", s)
		}
	})
}

// rawOf is what stands at user:1.
func rawOf(t *testing.T, us *Cache[int, user]) []byte {
	t.Helper()
	raw, err := us.client.Do(t.Context(), us.client.B().Get().Key("user:1").Build()).AsBytes()
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// The death of a refreshing process costs the lease, and no reader waits.
func TestRefresherDies(t *testing.T) {
	s := redstarttest.Run(t, redstarttest.ServerConfig{})
	var dying atomic.Bool
	p, c := behind(t, s, redstart.Config{Timeout: 200 * time.Millisecond})
	hang := make(chan struct{})
	defer close(hang)
	began := make(chan struct{}, 1)
	short := func(cfg *Config[int, user]) { cfg.Lease = 300 * time.Millisecond }
	a := users(t, c, func(context.Context, int) (user, error) {
		if dying.Load() {
			began <- struct{}{}
			<-hang
		}
		return user{ID: 1}, nil
	}, early, short)
	if _, err := a.Get(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	age(t, a.client, "user:1", 10*time.Minute)
	dying.Store(true)
	if _, err := a.Get(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	<-began
	p.Refuse(true)
	p.Reset() // nothing of this process reaches the server any more
	b := users(t, open(t, s.URL(), redstart.Config{}), func(context.Context, int) (user, error) { return user{ID: 2}, nil }, early, short)
	start := time.Now()
	redstarttest.Eventually(t, 10*time.Second, "another refreshes", func() bool {
		u, err := b.Get(t.Context(), 1)
		if err != nil {
			t.Fatal(err)
		}
		return u.ID == 2
	})
	if took := time.Since(start); took > 3*time.Second {
		t.Errorf("a dead refresher cost %v, its lease was 300 ms", took)
	}
	if st := b.Stats(); st.Misses != 0 {
		t.Errorf("Stats = %+v", st)
	}
}
