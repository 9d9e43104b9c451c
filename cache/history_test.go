package cache

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/redstart-go/redstart"
)

// counter is a source of truth whose only row counts up. A reader who begins
// after an invalidation has returned must not get less than it had then.
type counter struct {
	row   atomic.Int64
	floor atomic.Int64 // what the row was at the last invalidation that returned
	loads atomic.Int64
	fail  func() bool          // whether a load fails
	pause func() time.Duration // what a load takes
}

func (c *counter) load(ctx context.Context) (int64, error) {
	c.loads.Add(1)
	v := c.row.Load()
	if c.pause != nil {
		select {
		case <-time.After(c.pause()):
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
	if c.fail != nil && c.fail() {
		return 0, errBoom
	}
	return v, nil
}

// newDice gives random numbers below n from one seed, which it prints; set
// REDSTART_SEED to have those of another run.
func newDice(t *testing.T) func(n int64) int64 {
	t.Helper()
	seed, err := strconv.ParseUint(os.Getenv("REDSTART_SEED"), 10, 64)
	if err != nil {
		seed = rand.Uint64()
	}
	t.Logf("REDSTART_SEED=%d", seed)
	var mu sync.Mutex
	random := rand.New(rand.NewPCG(seed, seed))
	return func(n int64) int64 {
		mu.Lock()
		defer mu.Unlock()
		return random.Int64N(n)
	}
}

// tally is what a history came to.
type tally struct{ reads, served, stale, back int64 }

// history lets readers read while the row is changed and invalidated, and
// counts what they got that was too old, and what went back for a reader
// between whose reads an invalidation had returned. meddle does something else
// to the server between two changes.
func history(t *testing.T, c *counter, changes int, readers []func(context.Context) (int64, error), invalidate func() error, meddle func()) tally {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	var n tally
	for _, read := range readers {
		wg.Go(func() {
			last := int64(0)
			for ctx.Err() == nil {
				floor := c.floor.Load()
				v, err := read(ctx)
				if ctx.Err() != nil {
					return
				}
				atomic.AddInt64(&n.reads, 1)
				if err != nil {
					if !errors.Is(err, errBoom) && !errors.Is(err, ErrLoad) {
						t.Errorf("read: %v", err)
						return
					}
					continue
				}
				atomic.AddInt64(&n.served, 1)
				if v < floor {
					atomic.AddInt64(&n.stale, 1)
				}
				if v < min(last, floor) {
					atomic.AddInt64(&n.back, 1)
				}
				last = max(last, v)
			}
		})
	}
	for range changes {
		before := atomic.LoadInt64(&n.reads)
		v := c.row.Add(1)
		if err := invalidate(); err != nil {
			t.Fatal(err)
		}
		c.floor.Store(v)
		for range 3 { // some reads between two changes
			if meddle != nil {
				meddle()
			}
			for end := time.Now().Add(5 * time.Second); atomic.LoadInt64(&n.reads) < before+int64(len(readers)) && time.Now().Before(end); {
				time.Sleep(100 * time.Microsecond)
			}
			before = atomic.LoadInt64(&n.reads)
		}
	}
	stop()
	wg.Wait()
	return n
}

// TestHistories: after an invalidation, of whatever kind, no read returns what
// was loaded before it, while values near their end are refreshed, values past
// it are served by failing and by slow loads, and stamps are lost.
func TestHistories(t *testing.T) {
	dice := newDice(t)
	onServers(t, func(t *testing.T, url string) {
		for name, tc := range map[string]struct {
			change     func(*Config[int, user])
			fail, slow bool
			invalidate func(us *Cache[int, user]) error
			lose       []string // keys that are lost now and then
		}{
			"refresh": {
				change:     func(cfg *Config[int, user]) { cfg.Refresh = Refresh{Fraction: 0.5, Beta: 1} },
				slow:       true,
				invalidate: func(us *Cache[int, user]) error { return us.Invalidate(t.Context(), 1) },
			},
			"stale, failing and slow": {
				change:     func(cfg *Config[int, user]) { cfg.SoftTimeout = 2 * time.Millisecond },
				fail:       true,
				slow:       true,
				invalidate: func(us *Cache[int, user]) error { return us.Invalidate(t.Context(), 1) },
			},
			"tags by id": {
				change: func(cfg *Config[int, user]) {
					byID(cfg)
					cfg.SoftTimeout, cfg.Refresh = 2*time.Millisecond, Refresh{Fraction: 0.5}
				},
				fail:       true,
				slow:       true,
				invalidate: func(us *Cache[int, user]) error { return us.InvalidateTag(t.Context(), "all") },
				lose:       []string{"user:%:%tag:all", "user:%:%tag:user%201"},
			},
			"tags by result": {
				change:     func(cfg *Config[int, user]) { cfg.ResultTags, cfg.Refresh = true, Refresh{Fraction: 0.5} },
				fail:       true,
				slow:       true,
				invalidate: func(us *Cache[int, user]) error { return us.InvalidateTag(t.Context(), "told") },
				lose:       []string{"user:%:%tag:told", "user:%:%ledger"},
			},
			"clear": {
				change:     func(cfg *Config[int, user]) { cfg.Clearable, cfg.SoftTimeout = true, 2*time.Millisecond },
				fail:       true,
				slow:       true,
				invalidate: func(us *Cache[int, user]) error { return us.Clear(t.Context()) },
				lose:       []string{"user:%:%clear"},
			},
		} {
			t.Run(name, func(t *testing.T) {
				c := &counter{}
				if tc.fail {
					c.fail = func() bool { return dice(4) == 0 }
				}
				if tc.slow {
					c.pause = func() time.Duration { return time.Duration(dice(int64(4 * time.Millisecond))) }
				}
				var caches []*Cache[int, user]
				for range 3 {
					caches = append(caches, users(t, open(t, url, redstart.Config{}), nil, keep, func(cfg *Config[int, user]) {
						cfg.ErrorTTL, cfg.Lease = time.Millisecond, 100*time.Millisecond
						cfg.LoadResult = func(ctx context.Context, _ int, old Old[user]) (Result[user], error) {
							v, err := c.load(ctx)
							r := Result[user]{Value: user{ID: int(v)}}
							if err == nil && old.OK && old.Value.ID == int(v) {
								r.NotModified = true
							}
							if cfg.ResultTags {
								r.Tags = []string{"told"}
							}
							return r, err
						}
					}, tc.change))
				}
				raw := open(t, url, redstart.Config{})
				if err := raw.Do(t.Context(), raw.B().Flushall().Build()).Error(); err != nil {
					t.Fatal(err)
				}
				var readers []func(context.Context) (int64, error)
				for i := range 9 {
					readers = append(readers, func(ctx context.Context) (int64, error) {
						u, err := caches[i%3].Get(ctx, 1)
						return int64(u.ID), err
					})
				}
				n := history(t, c, 40, readers, func() error { return tc.invalidate(caches[dice(3)]) }, func() {
					left := time.Duration(dice(int64(2*time.Hour))) + time.Second                                           // fresh, near its end, or past it
					_ = raw.Do(t.Context(), raw.B().Pexpire().Key("user:1").Milliseconds(left.Milliseconds()).Lt().Build()) // never longer: a failure would be remembered for hours
					if len(tc.lose) > 0 && dice(4) == 0 {
						_ = raw.Do(t.Context(), raw.B().Del().Key(tc.lose[dice(int64(len(tc.lose)))]).Build())
					}
				})
				var sum Stats
				for _, us := range caches {
					s := us.Stats()
					sum.Stale, sum.Refreshes, sum.Hits, sum.Refused, sum.Dead = sum.Stale+s.Stale, sum.Refreshes+s.Refreshes, sum.Hits+s.Hits, sum.Refused+s.Refused, sum.Dead+s.Dead
				}
				t.Logf("%+v of %d loads; %d hits, %d served past their TTL, %d refreshes, %d fills refused, %d dead",
					n, c.loads.Load(), sum.Hits, sum.Stale, sum.Refreshes, sum.Refused, sum.Dead)
				if n.stale != 0 || n.back != 0 || n.served == 0 {
					t.Errorf("%+v; want none stale and none going back", n)
				}
				if caches[0].cfg.SoftTimeout > 0 && sum.Stale == 0 || caches[0].cfg.Refresh.on() && sum.Refreshes == 0 {
					t.Error("what is tested did not happen")
				}
			})
		}
	})
}

// The recipes fail the same count, each by the flaw it is known for.
func TestNaiveHistories(t *testing.T) {
	dice := newDice(t)
	onServers(t, func(t *testing.T, url string) {
		for name, tc := range map[string]struct {
			read       func(ctx context.Context, c *redstart.Client, src *counter) (int64, error)
			invalidate func(ctx context.Context, c *redstart.Client) error
			fail       bool
		}{
			"stale-if-error from a copy that a DEL does not reach": {naiveStale, del, true},
			"refresh that writes whatever stands there":            {naiveRewrite, del, false},
			"a set of the tag's members, and DEL":                  {naiveTag, naiveInvalidateTag, false},
		} {
			t.Run(name, func(t *testing.T) {
				src := &counter{pause: func() time.Duration { return time.Duration(dice(int64(4 * time.Millisecond))) }}
				if tc.fail {
					src.fail = func() bool { return dice(4) == 0 }
				}
				c := open(t, url, redstart.Config{})
				if err := c.Do(t.Context(), c.B().Flushall().Build()).Error(); err != nil {
					t.Fatal(err)
				}
				var readers []func(context.Context) (int64, error)
				for range 9 {
					readers = append(readers, func(ctx context.Context) (int64, error) { return tc.read(ctx, c, src) })
				}
				for range 20 { // on a busy machine its readers may happen not to meet the writer
					n := history(t, src, 100, readers, func() error { return tc.invalidate(t.Context(), c) }, nil)
					t.Logf("%+v", n)
					if n.stale > 0 {
						return
					}
				}
				t.Error("the recipe passes")
			})
		}
	})
}

func del(ctx context.Context, c *redstart.Client) error {
	return c.Do(ctx, c.B().Del().Key("naive").Build()).Error()
}

func setNaive(ctx context.Context, c *redstart.Client, k string, v int64) error {
	return c.Do(ctx, c.B().Set().Key(k).Value(strconv.FormatInt(v, 10)).Px(time.Hour).Build()).Error()
}

// naiveStale keeps a second copy for when a load fails.
func naiveStale(ctx context.Context, c *redstart.Client, src *counter) (int64, error) {
	v, err := c.Do(ctx, c.B().Get().Key("naive").Build()).AsInt64()
	if err == nil || !rueidis.IsRedisNil(err) {
		return v, err
	}
	if v, err = src.load(ctx); err != nil {
		if old, none := c.Do(ctx, c.B().Get().Key("naive:copy").Build()).AsInt64(); none == nil {
			return old, nil
		}
		return 0, err
	}
	_ = setNaive(ctx, c, "naive:copy", v)
	return v, setNaive(ctx, c, "naive", v)
}

// naiveRewrite loads in the background, for one read of four, and writes.
func naiveRewrite(ctx context.Context, c *redstart.Client, src *counter) (int64, error) {
	v, err := c.Do(ctx, c.B().Get().Key("naive").Build()).AsInt64()
	if rueidis.IsRedisNil(err) {
		if v, err = src.load(ctx); err == nil {
			err = setNaive(ctx, c, "naive", v)
		}
		return v, err
	}
	if rand.IntN(4) == 0 {
		_ = c.Go(func(ctx context.Context) {
			if v, err := src.load(ctx); err == nil {
				_ = setNaive(ctx, c, "naive", v)
			}
		})
	}
	return v, err
}

// naiveTag keeps the keys of a tag in a set.
func naiveTag(ctx context.Context, c *redstart.Client, src *counter) (int64, error) {
	v, err := c.Do(ctx, c.B().Get().Key("naive").Build()).AsInt64()
	if err == nil || !rueidis.IsRedisNil(err) {
		return v, err
	}
	if v, err = src.load(ctx); err != nil {
		return 0, err
	}
	if err = setNaive(ctx, c, "naive", v); err == nil {
		err = c.Do(ctx, c.B().Sadd().Key("naive:tag").Member("naive").Build()).Error()
	}
	return v, err
}

func naiveInvalidateTag(ctx context.Context, c *redstart.Client) error {
	keys, err := c.Do(ctx, c.B().Smembers().Key("naive:tag").Build()).AsStrSlice()
	if err != nil {
		return err
	}
	for _, k := range append(keys, "naive:tag") { // one key a command, for a cluster
		if err := c.Do(ctx, c.B().Del().Key(k).Build()).Error(); err != nil {
			return err
		}
	}
	return nil
}
