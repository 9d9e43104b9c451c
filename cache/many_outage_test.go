package cache

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/redstarttest"
	"github.com/redstart-go/redstart/redstarttest/proxy"
)

// While the server is away a GetMany is one load, of those that are allowed;
// the rest fails at once. Hits of a server that refuses writes stay hits.
func TestGetManyOutage(t *testing.T) {
	s := redstarttest.Run(t, redstarttest.ServerConfig{})
	c := open(t, s.URL(), redstart.Config{OutageLoads: 2})
	var seen calls
	var running atomic.Int64
	release := make(chan struct{})
	us := manyUsers(t, c, func(_ context.Context, ids []int) (map[int]user, error) {
		seen.add(ids)
		running.Add(1)
		<-release
		return every(ids), nil
	})
	if err := us.SetMany(t.Context(), func(yield func(int, user) bool) { yield(1, user{ID: 1}) }); err != nil {
		t.Fatal(err)
	}
	command(t, s, "CONFIG", "SET", "maxmemory", "1")
	ids := []int{1, 2, 404, 2}
	full := make(chan struct{})
	go func() {
		defer close(full)
		got, err := us.GetMany(t.Context(), ids)
		isEvery(t, ids, got, err)
	}()
	eventually(t, "the full server's misses load", func() bool { return running.Load() == 1 })
	release <- struct{}{}
	<-full
	if n := seen.all(); len(n) != 1 || len(n[0]) != 2 {
		t.Errorf("a full server: loaded %v", n)
	}
	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	var served, rejected atomic.Int64
	for range 8 {
		wg.Go(func() {
			got, err := us.GetMany(t.Context(), ids)
			if err == nil {
				isEvery(t, ids, got, err)
				served.Add(1)
				return
			}
			for i := range got {
				if e := got[i].Err; !errors.Is(err, redstart.ErrUnavailable) || !errors.Is(e, redstart.ErrUnavailable) || redstart.OutcomeOf(e) != redstart.NotApplied {
					t.Errorf("%+v, %v", got[i], err)
				}
			}
			rejected.Add(1)
		})
	}
	eventually(t, "2 load and 6 are rejected", func() bool { return running.Load() == 3 && rejected.Load() == 6 })
	if _, err := us.Warm(t.Context(), seq(3), nil); !errors.Is(err, redstart.ErrUnavailable) {
		t.Errorf("Warm = %v", err)
	}
	close(release)
	wg.Wait()
	if served.Load() != 2 || len(seen.all()) != 3 {
		t.Errorf("%d served by %d loads", served.Load(), len(seen.all()))
	}
	err := us.InvalidateMany(t.Context(), 1, 2, 3)
	var failed Errors[int]
	if !errors.As(err, &failed) || len(failed) != 3 || redstart.OutcomeOf(err) != redstart.NotApplied {
		t.Errorf("InvalidateMany = %v, %v", err, redstart.OutcomeOf(err))
	}
	if err := s.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "cached values", func() bool {
		got, err := us.GetMany(t.Context(), ids)
		if err != nil || got[0].Err != nil {
			return false
		}
		_, ok, err := us.Peek(t.Context(), 2)
		return ok && err == nil
	})
}

// Without a LoadMany each id is a load, and a panic of one reaches the caller.
func TestGetManyOutageByLoad(t *testing.T) {
	s := redstarttest.Run(t, redstarttest.ServerConfig{})
	us := users(t, open(t, s.URL(), redstart.Config{OutageLoads: 2}), func(_ context.Context, id int) (user, error) {
		if id == 13 {
			panic("kaboom")
		}
		return user{ID: id}, nil
	}, func(cfg *Config[int, user]) { cfg.Loads = 2 })
	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	got, err := us.GetMany(t.Context(), upTo(12))
	isEvery(t, upTo(12), got, err)
	defer func() {
		if p, ok := recover().(error); !ok || !errors.Is(p, ErrPanic) {
			t.Errorf("panic value %v", p)
		}
	}()
	_, err = us.GetMany(t.Context(), []int{12, 13})
	t.Errorf("no panic, %v", err)
}

// A claim whose reply is lost with its connection is made again, by all ids
// together; those that had come through are used.
func TestGetManyLostReplies(t *testing.T) {
	for _, lost := range []string{"MGET", "SET", "EVALSHA"} {
		t.Run(lost, func(t *testing.T) {
			s := redstarttest.Run(t, redstarttest.ServerConfig{})
			p, c := behind(t, s, redstart.Config{Pipelines: 1})
			var seen calls
			us := manyUsers(t, c, func(_ context.Context, ids []int) (map[int]user, error) {
				seen.add(ids)
				return every(ids), nil
			})
			if _, err := us.GetMany(t.Context(), []int{-1}); err != nil { // so that the server knows the scripts
				t.Fatal(err)
			}
			h := p.AddRule(proxy.Rule{Match: proxy.Named(lost), Nth: 1, Action: proxy.SwallowReply(proxy.CutConnection)})
			ids := upTo(30)
			began := time.Now()
			got, err := us.GetMany(t.Context(), ids)
			isEvery(t, ids, got, err)
			if took := time.Since(began); took > defaultLease/2 {
				t.Errorf("it took %v", took)
			}
			if h.Hits() != 1 || us.Stats().Uncached != 0 {
				t.Errorf("%d replies lost, %+v", h.Hits(), us.Stats())
			}
			for id := range ids {
				if n := seen.perID()[id]; n != 1 {
					t.Errorf("%d was loaded %d times", id, n)
				}
				if _, ok, err := us.Peek(t.Context(), id); !ok || err != nil {
					t.Errorf("%d is not cached: %v", id, err)
				}
			}
			t.Logf("%d calls of LoadMany", len(seen.all())-1)
		})
	}
}

// A value beyond MaxBytes is served, to all, and not cached.
func TestGetManyTooLarge(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		load := func(id int) user { return user{ID: id, Name: strings.Repeat("x", 200*(id%2))} }
		many := func(_ context.Context, ids []int) (map[int]user, error) {
			m := map[int]user{}
			for _, id := range ids {
				m[id] = load(id)
			}
			return m, nil
		}
		small := func(cfg *Config[int, user]) {
			cfg.MaxBytes = 100
			cfg.Load = func(_ context.Context, id int) (user, error) { return load(id), nil }
		}
		us := manyUsers(t, open(t, url, redstart.Config{}), many, small)
		ids := append(upTo(6), 1, 2)
		for range 2 {
			got, err := us.GetMany(t.Context(), ids)
			isEvery(t, ids, got, err)
			for i, id := range ids {
				if len(got[i].Value.Name) != 200*(id%2) {
					t.Errorf("%d: %d bytes", id, len(got[i].Value.Name))
				}
			}
		}
		for id := range 6 {
			if _, ok, err := us.Peek(t.Context(), id); ok != (id%2 == 0) || err != nil {
				t.Errorf("%d: cached %v, %v", id, ok, err)
			}
		}
		for _, change := range []func(*Config[int, user]){func(*Config[int, user]) {}, func(cfg *Config[int, user]) { cfg.LoadMany = nil }} {
			if err := us.InvalidateMany(t.Context(), ids...); err != nil {
				t.Fatal(err)
			}
			w := manyUsers(t, open(t, url, redstart.Config{}), many, small, change)
			done, err := w.Warm(t.Context(), seq(6), nil)
			if done != (Warmed{Loaded: 3, Failed: 3}) || !errors.Is(err, errNotCached) {
				t.Errorf("Warm = %+v, %v", done, err)
			}
		}
	})
}
