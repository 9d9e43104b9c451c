package cache

import (
	"context"
	"errors"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/redstarttest"
	"github.com/redstart-go/redstart/redstarttest/proxy"
)

// parity tags an id as even or odd.
func parity(id int) []string { return []string{[]string{"even", "odd"}[id%2]} }

// A tag that is invalidated, and a Clear, while a LoadMany runs: what it gives is
// dead for all who ask later, and what has another tag stays.
func TestGetManyTagsDuringLoad(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		var version, calls atomic.Int64
		began, goOn := make(chan struct{}, 9), make(chan struct{})
		us := manyUsers(t, open(t, url, redstart.Config{}), func(_ context.Context, ids []int) (map[int]user, error) {
			calls.Add(1)
			m := map[int]user{}
			for _, id := range ids {
				m[id] = user{ID: id, Name: strings.Repeat("v", int(version.Load()))}
			}
			began <- struct{}{}
			<-goOn
			return m, nil
		}, func(cfg *Config[int, user]) { cfg.Tags, cfg.Clearable = parity, true })
		read := func(ids []int) <-chan []Got[user] {
			done := make(chan []Got[user], 1)
			go func() {
				got, err := us.GetMany(t.Context(), ids)
				if err != nil {
					t.Error(err)
				}
				done <- got
			}()
			return done
		}
		ids := upTo(8)
		first := read(ids)
		<-began
		version.Store(1)
		if err := us.InvalidateTag(t.Context(), "odd"); err != nil {
			t.Fatal(err)
		}
		goOn <- struct{}{}
		<-first
		second := read(ids)
		<-began // the odd ones
		goOn <- struct{}{}
		for id, g := range <-second {
			if len(g.Value.Name) != id%2 {
				t.Errorf("%d after its tag: %+v", id, g)
			}
			if want := []Tier{TierRedis, TierSource}[id%2]; g.Tier != want {
				t.Errorf("%d comes from %v, want %v", id, g.Tier, want)
			}
		}
		if n := us.Stats().Dead; n != 4 || calls.Load() != 2 {
			t.Errorf("%d entries were dead, %d loads", n, calls.Load())
		}
		version.Store(2)
		if err := us.InvalidateMany(t.Context(), ids...); err != nil {
			t.Fatal(err)
		}
		third := read(ids)
		<-began
		version.Store(3)
		if err := us.Clear(t.Context()); err != nil {
			t.Fatal(err)
		}
		goOn <- struct{}{}
		<-third
		close(goOn)
		for id, g := range <-read(ids) {
			if len(g.Value.Name) != 3 {
				t.Errorf("%d after Clear: %+v", id, g)
			}
		}
	})
}

// SetMany's entries carry tags and ages, and are packed; GetMany reads them so.
func TestSetManyCarries(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		us := manyUsers(t, open(t, url, redstart.Config{}), func(_ context.Context, ids []int) (map[int]user, error) {
			return nil, nil
		}, func(cfg *Config[int, user]) {
			cfg.Tags, cfg.Clearable, cfg.Ages, cfg.Compress, cfg.CompressAbove = parity, true, true, S2, 100
		})
		const n = 250
		err := us.SetMany(t.Context(), func(yield func(int, user) bool) {
			for id := range n {
				if !yield(id, user{ID: id, Name: strings.Repeat("long ", 100)}) {
					return
				}
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		if raw := rawOf(t, us); len(raw) > 400 {
			t.Errorf("%d bytes: it is not packed", len(raw))
		}
		check := func(dead func(id int) bool) {
			t.Helper()
			got, err := us.GetMany(t.Context(), upTo(n))
			if err != nil {
				t.Fatal(err)
			}
			for id, g := range got {
				switch {
				case dead(id) && !errors.Is(g.Err, ErrNotFound):
					t.Fatalf("%d is there: %+v", id, g)
				case !dead(id) && (g.Err != nil || g.Value.ID != id || len(g.Value.Name) != 500 || g.Age < 0 || g.Age > time.Minute || g.Tier != TierRedis):
					t.Fatalf("%d: %+v", id, g)
				}
			}
		}
		check(func(int) bool { return false })
		if err := us.InvalidateTag(t.Context(), "even"); err != nil {
			t.Fatal(err)
		}
		check(func(id int) bool { return id%2 == 0 })
		if err := us.Clear(t.Context()); err != nil {
			t.Fatal(err)
		}
		check(func(int) bool { return true })
	})
}

// Values past their TTL are flagged while loads fail, at most Loads of them at a
// time, and beside values that are loaded; Warm counts them as failed. What
// nears its end is refreshed.
func TestGetManyStaleAndRefresh(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		c := open(t, url, redstart.Config{})
		var broken atomic.Bool
		var now, most, alone atomic.Int64
		us := users(t, c, func(_ context.Context, id int) (user, error) {
			alone.Add(1)
			n := now.Add(1)
			defer now.Add(-1)
			for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
			}
			if broken.Load() {
				return user{}, errBoom
			}
			return user{ID: id, Name: "new"}, nil
		}, func(cfg *Config[int, user]) {
			cfg.LoadMany = func(_ context.Context, ids []int) (map[int]user, error) { return every(ids), nil }
			cfg.Refresh, cfg.StaleFor, cfg.ErrorTTL, cfg.Loads = Refresh{Fraction: 0.2}, time.Hour, time.Minute, 3
			cfg.Jitter = -1
		})
		old := upTo(20)
		got, err := us.GetMany(t.Context(), old)
		isEvery(t, old, got, err)
		for _, id := range old {
			age(t, c, "user:"+strconv.Itoa(id), time.Hour-time.Minute)
		}
		broken.Store(true)
		for round := range 2 { // the second finds them resting
			got, err = us.GetMany(t.Context(), upTo(25))
			isEvery(t, upTo(25), got, err)
			for id, g := range got {
				if g.Stale != (id < 20) || g.Stale && (g.Tier != TierRedis || g.Age < defaultTTL) {
					t.Errorf("round %d: %d: %+v", round, id, g)
				}
			}
		}
		if n := alone.Load(); n != 20 || most.Load() > 3 {
			t.Errorf("%d loads, %d at a time", n, most.Load())
		}
		if done, err := us.Warm(t.Context(), seq(25), nil); done != (Warmed{Present: 5, Failed: 20}) || !errors.Is(err, errStale) {
			t.Errorf("Warm = %+v, %v", done, err)
		}
		broken.Store(false)
		if err := us.InvalidateMany(t.Context(), old...); err != nil {
			t.Fatal(err)
		}
		got, err = us.GetMany(t.Context(), old)
		isEvery(t, old, got, err)
		for id, g := range got {
			if g.Stale || g.Value.Name == "new" || g.Tier != TierSource {
				t.Errorf("%d after the invalidation: %+v", id, g)
			}
		}
		for _, id := range old {
			age(t, c, "user:"+strconv.Itoa(id), time.Hour+time.Minute)
		}
		got, err = us.GetMany(t.Context(), old)
		isEvery(t, old, got, err)
		for id, g := range got {
			if g.Stale || g.Tier != TierRedis {
				t.Errorf("%d near its end: %+v", id, g)
			}
		}
		eventually(t, "all are refreshed", func() bool { return us.Stats().Refreshes == 20 })
		eventually(t, "readers have the new ones", func() bool {
			got, err := us.GetMany(t.Context(), old)
			return err == nil && got[0].Value.Name == "new" && got[19].Value.Name == "new"
		})
	})
}

// LoadResult gives tags where there is no LoadMany, and each reader of many asks
// for them in one more round trip; each tag once.
func TestGetManyResultTags(t *testing.T) {
	s := redstarttest.Run(t, redstarttest.ServerConfig{})
	p, c := behind(t, s, redstart.Config{Pipelines: 1})
	us, err := New(c, Config[int, user]{
		Key: "user:<id>", ResultTags: true, Tags: func(int) []string { return []string{"all"} },
		LoadResult: func(_ context.Context, id int, _ Old[user]) (Result[user], error) {
			return Result[user]{Value: user{ID: id}, Tags: parity(id)}, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	ids := upTo(30)
	got, err := us.GetMany(t.Context(), ids)
	isEvery(t, ids, got, err)
	p.ResetCounts()
	got, err = us.GetMany(t.Context(), ids)
	isEvery(t, ids, got, err)
	if n := p.Commands(); n["MGET"] != 1 || n["GET"] != 3 || n["EVALSHA"] != 0 {
		t.Errorf("hits cost %v", n)
	}
	h := p.AddRule(proxy.Rule{Match: proxy.Named("MGET"), Nth: 1, Action: proxy.HoldReply()})
	done := make(chan struct{})
	go func() {
		defer close(done)
		got, err := us.GetMany(t.Context(), ids)
		isEvery(t, ids, got, err)
		for id, g := range got { // the tags' stamps are asked for after the entries
			if want := []Tier{TierRedis, TierSource}[id%2]; g.Tier != want {
				t.Errorf("%d comes from %v, want %v", id, g.Tier, want)
			}
		}
	}()
	if err := h.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	other, err := New(open(t, s.URL(), redstart.Config{}), Config[int, user]{
		Key: "user:<id>", ResultTags: true,
		LoadResult: func(context.Context, int, Old[user]) (Result[user], error) { return Result[user]{}, ErrNotFound },
	})
	if err == nil {
		err = other.InvalidateTag(t.Context(), "odd")
	}
	if err != nil {
		t.Fatal(err)
	}
	h.Release()
	<-done
}

// No read of GetMany that begins after InvalidateTag has returned gives what was
// loaded before it.
func TestGetManyTagsAreNeverStale(t *testing.T) {
	const ids = 24
	onServers(t, func(t *testing.T, url string) {
		s := newRising(ids)
		var readers []reader
		for range 3 {
			counters, err := New(open(t, url, redstart.Config{}), Config[int, int64]{
				Key: "{counter}:<id>", Tags: func(id int) []string { return []string{strconv.Itoa(id)} }, Clearable: true,
				LoadMany: func(_ context.Context, ids []int) (map[int]int64, error) { return s.load(ids, rand.IntN), nil },
			})
			if err != nil {
				t.Fatal(err)
			}
			readers = append(readers, reader{
				read: func(ctx context.Context, ids []int) ([]int64, error) {
					values := make([]int64, len(ids))
					got, err := counters.GetMany(ctx, ids)
					for i := range got {
						values[i] = got[i].Value
					}
					return values, err
				},
				invalidate: func(ctx context.Context, ids []int) error {
					for _, id := range ids {
						if err := counters.InvalidateTag(ctx, strconv.Itoa(id)); err != nil {
							return err
						}
					}
					return nil
				},
			})
		}
		if _, stale := race(t, s, readers, 10_000); stale != 0 {
			t.Errorf("%d stale", stale)
		}
	})
}
