package cache

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/redstarttest"
)

// byID gives every entry the tags "all" and one of its own.
func byID(cfg *Config[int, user]) {
	cfg.Tags = func(id int) []string { return []string{"all", fmt.Sprint("user ", id)} }
}

// results makes a cache whose results tell their tags.
func results(t *testing.T, c *redstart.Client, load func(ctx context.Context, id int, old Old[user]) (Result[user], error), change ...func(*Config[int, user])) *Cache[int, user] {
	t.Helper()
	return users(t, c, nil, append(change, func(cfg *Config[int, user]) { cfg.LoadResult, cfg.ResultTags = load, true })...)
}

func names(ts ...string) []string { return ts }

// One write ends all entries of a tag, and no others, in every process; its
// cost does not grow with them.
func TestInvalidateTag(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		var version atomic.Int64
		load := func(_ context.Context, id int) (user, error) {
			if id == 404 {
				return user{}, ErrNotFound
			}
			return user{ID: int(version.Load())}, nil
		}
		caches := fleet(t, url, 2, load, byID)
		get := func(c *Cache[int, user], id, want int) {
			t.Helper()
			if u, err := c.Get(t.Context(), id); err != nil || u.ID != want {
				t.Errorf("Get(%d) = %+v, %v, want %d", id, u, err, want)
			}
		}
		for id := range 100 {
			get(caches[id%2], id, 0)
		}
		_, _ = caches[0].Get(t.Context(), 404)
		size, err := caches[0].client.Do(t.Context(), caches[0].client.B().Dbsize().Build()).AsInt64()
		if err != nil || size > 101+101+1 { // entries, their stamps, that of all
			t.Errorf("%d keys for 101 entries with 102 tags, %v", size, err)
		}
		version.Store(1)
		if err := caches[0].InvalidateTag(t.Context(), "user 7"); err != nil {
			t.Fatal(err)
		}
		get(caches[1], 7, 1)
		get(caches[1], 8, 0)
		version.Store(2)
		if err := caches[0].InvalidateTag(t.Context(), "all"); err != nil {
			t.Fatal(err)
		}
		for id := range 100 {
			get(caches[id%2], id, 2)
			get(caches[1-id%2], id, 2) // stored again, and alive
		}
		before := caches[0].Stats().Loads
		if _, err := caches[0].Get(t.Context(), 404); !errors.Is(err, ErrNotFound) || caches[0].Stats().Loads != before+1 {
			t.Errorf("\"not found\" outlived its tag: %v", err)
		}
		if d := caches[0].Stats().Dead + caches[1].Stats().Dead; d < 102 {
			t.Errorf("%d dead entries were found", d)
		}
	})
}

// A tag whose stamp is evicted, or overwritten by a stranger, means a miss, and
// never a hit.
func TestTagEvicted(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		var loads atomic.Int64
		us := fleet(t, url, 1, func(context.Context, int) (user, error) { return user{ID: int(loads.Add(1))}, nil }, byID,
			func(cfg *Config[int, user]) { cfg.Clearable = true })[0]
		for i, lost := range [][][]string{
			{{"DEL", "user:%:%tag:all"}},
			{{"DEL", "user:%:%tag:user%201"}},
			{{"DEL", "user:%:%clear"}},
			{{"SET", "user:%:%tag:all", "foreign"}},
			{{"DEL", "user:%:%tag:all"}, {"DEL", "user:%:%tag:user%201"}, {"DEL", "user:%:%clear"}},
		} {
			for range 2 {
				if u, err := us.Get(t.Context(), 1); err != nil || u.ID != i+1 {
					t.Fatalf("Get = %+v, %v, want load %d", u, err, i+1)
				}
			}
			for _, words := range lost {
				n, err := us.client.Do(t.Context(), us.client.B().Arbitrary(words[0]).Keys(words[1]).Args(words[2:]...).Build()).ToMessage()
				if err != nil || n.IsInt64() && mustInt(n.AsInt64()) == 0 {
					t.Fatalf("%q: %v, %v: the stamp is not where it is thought", words, n, err)
				}
			}
			if u, ok, err := us.Peek(t.Context(), 1); ok {
				t.Errorf("after %q Peek = %+v, %v", lost, u, err)
			}
		}
		// A stamp of another type is an error, not a hit.
		_, _ = us.Get(t.Context(), 1)
		if err := us.client.Do(t.Context(), us.client.B().Del().Key("user:%:%tag:all").Build()).Error(); err != nil {
			t.Fatal(err)
		}
		if err := us.client.Do(t.Context(), us.client.B().Lpush().Key("user:%:%tag:all").Element("x").Build()).Error(); err != nil {
			t.Fatal(err)
		}
		var e *redstart.Error
		if u, err := us.Get(t.Context(), 1); !errors.As(err, &e) || e.Code != "WRONGTYPE" {
			t.Errorf("Get = %+v, %v", u, err)
		}
	})
}

func mustInt(n int64, _ error) int64 { return n }

// A load that began before the invalidation of its tag leaves nothing that is
// served afterwards, whether the id told the tag or the result, and a caller
// who asks after it does not get what he finds under way.
func TestTagInvalidatedDuringALoad(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		for name, changes := range map[string][]func(*Config[int, user]){"by id": {byID}, "by result": nil} {
			t.Run(name, func(t *testing.T) {
				var version atomic.Int64
				version.Store(1)
				began, release := make(chan struct{}, 1), make(chan struct{})
				load := func(context.Context, int, Old[user]) (Result[user], error) {
					v := version.Load()
					if v == 1 {
						began <- struct{}{}
						<-release
					}
					r := Result[user]{Value: user{ID: int(v)}}
					if name == "by result" {
						r.Tags = names("all", "other")
					}
					return r, nil
				}
				c := open(t, url, redstart.Config{Namespace: strings.ReplaceAll(name, " ", "-")})
				us := results(t, c, load, changes...)
				early := make(chan outcome, 1)
				go func() { u, err := us.Get(t.Context(), 1); early <- outcome{user: u, err: err} }()
				<-began
				version.Store(2)
				if err := us.InvalidateTag(t.Context(), "all"); err != nil {
					t.Fatal(err)
				}
				late := make(chan []outcome, 1)
				go func() { late <- ask(t.Context(), []*Cache[int, user]{us}, 4) }()
				redstarttest.Eventually(t, 10*time.Second, "they wait", func() bool { return us.Stats().Misses >= 5 })
				close(release)
				if o := <-early; o.err != nil || o.user.ID != 1 {
					t.Errorf("who asked before: %+v, %v", o.user, o.err)
				}
				for _, o := range <-late {
					if o.err != nil || o.user.ID != 2 {
						t.Errorf("who asked after: %+v, %v", o.user, o.err)
					}
				}
				if u, ok, err := us.Peek(t.Context(), 1); !ok || err != nil || u.ID != 2 {
					t.Errorf("cached afterwards: %+v, %v, %v", u, ok, err)
				}
			})
		}
	})
}

// A tag that a result tells is checked by every reader, also one that is not
// configured for any; the invalidation of another does not disturb a load.
func TestResultTags(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		var version, disturb atomic.Int64
		var us *Cache[int, user]
		us = results(t, open(t, url, redstart.Config{}), func(ctx context.Context, _ int, _ Old[user]) (Result[user], error) {
			if disturb.Load() > 0 {
				if err := us.InvalidateTag(ctx, "unrelated"); err != nil {
					t.Error(err)
				}
			}
			return Result[user]{Value: user{ID: int(version.Load())}, Tags: names("a", "b")}, nil
		})
		plain := users(t, open(t, url, redstart.Config{}), func(context.Context, int) (user, error) { return user{ID: 100}, nil })
		get := func(c *Cache[int, user], want int) {
			t.Helper()
			if u, err := c.Get(t.Context(), 1); err != nil || u.ID != want {
				t.Errorf("Get = %+v, %v, want %d", u, err, want)
			}
		}
		get(us, 0)
		get(us, 0)
		get(plain, 0)
		version.Store(1)
		if err := us.InvalidateTag(t.Context(), "b"); err != nil {
			t.Fatal(err)
		}
		if u, ok, err := plain.Peek(t.Context(), 1); ok {
			t.Errorf("a reader without tags has the dead value: %+v, %v", u, err)
		}
		disturb.Store(1)
		get(us, 1)
		if s := us.Stats(); s.Refused != 0 || s.Loads != 2 {
			t.Errorf("Stats = %+v", s)
		}
		get(us, 1)

		// SetResult carries them too.
		if err := us.SetResult(t.Context(), 1, Result[user]{Value: user{ID: 5}, Tags: names("c"), TTL: time.Hour}); err != nil {
			t.Fatal(err)
		}
		get(us, 5)
		if err := us.InvalidateTag(t.Context(), "c"); err != nil {
			t.Fatal(err)
		}
		get(us, 1)
	})
}

// Clear ends every entry of the cache, and nothing else.
func TestClear(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		var version atomic.Int64
		load := func(context.Context, int) (user, error) { return user{ID: int(version.Load())}, nil }
		clearable := func(cfg *Config[int, user]) { cfg.Clearable = true }
		caches := fleet(t, url, 2, load, clearable)
		other := fleet(t, url, 1, load, clearable, func(cfg *Config[int, user]) { cfg.Key = "account:<id>" })[0]
		put(t, other.client, "user", "a stranger's")
		for id := range 20 {
			_, _ = caches[id%2].Get(t.Context(), id)
			_, _ = other.Get(t.Context(), id)
		}
		if err := caches[0].Set(t.Context(), 99, user{}); err != nil {
			t.Fatal(err)
		}
		version.Store(1)
		if err := caches[0].Clear(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, id := range []int{0, 7, 19, 99} {
			if u, ok, err := caches[1].Peek(t.Context(), id); ok {
				t.Errorf("after Clear Peek(%d) = %+v, %v", id, u, err)
			}
			if u, err := caches[1].Get(t.Context(), id); err != nil || u.ID != 1 {
				t.Errorf("after Clear Get(%d) = %+v, %v", id, u, err)
			}
		}
		if u, ok, err := other.Peek(t.Context(), 7); !ok || err != nil || u.ID != 0 {
			t.Errorf("another cache's entry: %+v, %v, %v", u, ok, err)
		}
		if n, err := other.client.Do(t.Context(), other.client.B().Exists().Key("user").Build()).AsInt64(); err != nil || n != 1 {
			t.Errorf("a stranger's key: %d, %v", n, err)
		}
	})
}

// A stamp lives at least as long as what carries it, whatever TTL a result has.
func TestStampsOutliveEntries(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		for _, ttl := range []time.Duration{0, time.Minute, 24 * time.Hour, -1} {
			c := open(t, url, redstart.Config{Namespace: fmt.Sprint("t", int64(ttl/time.Second))})
			us := results(t, c, func(context.Context, int, Old[user]) (Result[user], error) {
				return Result[user]{TTL: ttl, Tags: names("told")}, nil
			}, byID, keep, func(cfg *Config[int, user]) { cfg.Clearable = true })
			if _, err := us.Get(t.Context(), 1); err != nil {
				t.Fatal(err)
			}
			left := func(k string) int64 {
				n, err := c.Do(t.Context(), c.B().Pttl().Key(c.Config().Namespace+":"+k).Build()).AsInt64()
				if err != nil || n == -2 {
					t.Fatalf("PTTL %s = %d, %v", k, n, err)
				}
				if n == -1 {
					n = 1 << 62
				}
				return n
			}
			entry := left("user:1")
			for _, k := range []string{"user:%:%tag:all", "user:%:%tag:user%201", "user:%:%tag:told", "user:%:%clear"} {
				if n := left(k); n < entry {
					t.Errorf("TTL %v: the stamp at %s lives %d ms, the entry %d", ttl, k, n, entry)
				}
			}
			if _, ok, err := us.Peek(t.Context(), 1); !ok || err != nil {
				t.Errorf("TTL %v: not cached: %v", ttl, err)
			}
		}
	})
}

func TestTagsNotConfigured(t *testing.T) {
	c := embeddedClient(t)
	plain := users(t, c, fresh)
	tagged := users(t, c, fresh, byID)
	untold := users(t, c, nil, func(cfg *Config[int, user]) {
		cfg.LoadResult = func(context.Context, int, Old[user]) (Result[user], error) {
			return Result[user]{Tags: names("a")}, nil
		}
	})
	_, untoldErr := untold.Get(t.Context(), 1)
	for what, err := range map[string]error{
		"InvalidateTag without tags":     plain.InvalidateTag(t.Context(), "a"),
		"InvalidateTag of an empty tag":  tagged.InvalidateTag(t.Context(), ""),
		"InvalidateTag of a huge tag":    tagged.InvalidateTag(t.Context(), strings.Repeat("x", 2000)),
		"Clear without Clearable":        plain.Clear(t.Context()),
		"SetResult with tags":            plain.SetResult(t.Context(), 1, Result[user]{Tags: names("a")}),
		"SetResult of nothing":           plain.SetResult(t.Context(), 1, Result[user]{NotModified: true}),
		"a result with tags, not set up": untoldErr,
	} {
		if err == nil || redstart.OutcomeOf(err) != redstart.NotApplied || strings.Contains(err.Error(), "xxx") {
			t.Errorf("%s: %v (%v)", what, err, redstart.OutcomeOf(err))
		}
	}
}
