package cache

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/redstarttest"
	"github.com/redstart-go/redstart/redstarttest/proxy"
)

// seq gives n ids.
func seq(n int) iter.Seq[int] { return slices.Values(upTo(n)) }

// Warm fills what is missing, in groups, and may be interrupted and begun again.
func TestWarm(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		c := open(t, url, redstart.Config{})
		boom := errors.New("boom")
		var seen calls
		var broken atomic.Bool
		var now atomic.Int64
		us := manyUsers(t, c, func(_ context.Context, ids []int) (map[int]user, error) {
			if now.Add(1) > 1 {
				t.Error("two loads at a time")
			}
			defer now.Add(-1)
			seen.add(ids)
			if broken.Load() {
				return every(ids), Errors[int]{1000: boom}
			}
			return every(ids), nil
		}, func(cfg *Config[int, user]) { cfg.ErrorTTL = time.Millisecond })
		newer := map[int]user{7: {ID: 7, Name: "newer"}, 8: {ID: 8}}
		if err := us.SetMany(t.Context(), maps.All(newer)); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var reports []Warmed
		broken.Store(true)
		done, err := us.Warm(ctx, seq(1700), func(w Warmed) {
			if reports = append(reports, w); len(reports) == 3 {
				cancel()
			}
		})
		if !errors.Is(err, context.Canceled) || done != reports[2] ||
			fmt.Sprint(reports) != "[{2 497 1 0} {2 997 1 0} {2 1496 1 1}]" {
			t.Fatalf("Warm = %+v, %v, %+v", done, err, reports)
		}
		broken.Store(false)
		eventually(t, "the failure is forgotten", func() bool {
			raw, err := c.Do(t.Context(), c.B().Exists().Key("user:1000").Build()).AsInt64()
			return err == nil && raw == 0
		})
		done, err = us.Warm(t.Context(), seq(1700), nil)
		if err != nil || done != (Warmed{Present: 1499, Loaded: 201}) {
			t.Errorf("begun again: %+v, %v", done, err)
		}
		if u, err := us.Get(t.Context(), 7); err != nil || u.Name != "newer" {
			t.Errorf("a newer value is gone: %+v, %v", u, err)
		}
		n := seen.perID()
		delete(n, 1000)
		for id, times := range n {
			if times != 1 || id == 7 || id == 8 {
				t.Errorf("%d was loaded %d times", id, times)
			}
		}
		if done, err := us.Warm(t.Context(), seq(0), nil); done != (Warmed{}) || err != nil {
			t.Errorf("no ids: %+v, %v", done, err)
		}
	})
}

// What is written while Warm loads it stays.
func TestWarmNeverOverwrites(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		began, goOn := make(chan struct{}), make(chan struct{})
		us := manyUsers(t, open(t, url, redstart.Config{}), func(_ context.Context, ids []int) (map[int]user, error) {
			close(began)
			<-goOn
			return every(ids), nil
		})
		other := users(t, open(t, url, redstart.Config{}), fresh)
		done := make(chan error, 1)
		go func() { _, err := us.Warm(t.Context(), seq(10), nil); done <- err }()
		<-began
		if err := other.Set(t.Context(), 3, user{ID: 3, Name: "newer"}); err != nil {
			t.Fatal(err)
		}
		close(goOn)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		for id := range 10 {
			if u, ok, err := us.Peek(t.Context(), id); !ok || err != nil || (u.Name == "newer") != (id == 3) {
				t.Errorf("%d: %+v, %v, %v", id, u, ok, err)
			}
		}
	})
}

// Writes of many have an error and an outcome each.
func TestSetAndInvalidateMany(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		c := open(t, url, redstart.Config{})
		names, err := New(c, Config[string, string]{Key: "name:<id>", MaxBytes: 10, Load: func(context.Context, string) (string, error) { return "", ErrNotFound }})
		if err != nil {
			t.Fatal(err)
		}
		long := strings.Repeat("k", 70000)
		err = names.SetMany(t.Context(), func(yield func(string, string) bool) {
			for i := range 250 {
				if !yield(fmt.Sprint(i), fmt.Sprint("v", i)) {
					return
				}
			}
			_ = yield(long, "v") && yield("large", "more than ten") && yield("0", "last")
		})
		var failed Errors[string]
		if !errors.As(err, &failed) || len(failed) != 2 || !errors.Is(failed["large"], ErrTooLarge) || failed[long] == nil || redstart.OutcomeOf(err) != redstart.NotApplied {
			t.Errorf("SetMany = %.300v", err)
		}
		for id, want := range map[string]string{"0": "last", "1": "v1", "249": "v249"} {
			if v, ok, err := names.Peek(t.Context(), id); v != want || !ok || err != nil {
				t.Errorf("%s = %q, %v, %v", id, v, ok, err)
			}
		}
		if n, err := c.Do(t.Context(), c.B().Pttl().Key("name:1").Build()).AsInt64(); err != nil || n <= 0 || n > defaultTTL.Milliseconds() {
			t.Errorf("PTTL = %d, %v", n, err)
		}
		err = names.InvalidateMany(t.Context(), "1", long, "249", "nothing", "1")
		if !errors.As(err, &failed) || len(failed) != 1 || failed[long] == nil {
			t.Errorf("InvalidateMany = %.300v", err)
		}
		for id, want := range map[string]bool{"0": true, "1": false, "249": false} {
			if _, ok, err := names.Peek(t.Context(), id); ok != want || err != nil {
				t.Errorf("%s: cached %v, %v", id, ok, err)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := names.InvalidateMany(ctx, "0", "2"); !errors.As(err, &failed) || len(failed) != 2 || !errors.Is(failed["2"], context.Canceled) || redstart.OutcomeOf(err) != redstart.NotApplied {
			t.Errorf("cancelled: %v", err)
		}
		if err := names.SetMany(ctx, maps.All(map[string]string{"0": "x"})); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: %v", err)
		}
		if err := errors.Join(names.InvalidateMany(t.Context()), names.SetMany(t.Context(), maps.All(map[string]string{}))); err != nil {
			t.Errorf("nothing: %v", err)
		}
	})
}

// A lost reply to one of many is no failure; it is done again.
func TestInvalidateManyLostReply(t *testing.T) {
	s := redstarttest.Run(t, redstarttest.ServerConfig{})
	p, c := behind(t, s, redstart.Config{Pipelines: 1})
	us := users(t, c, fresh)
	for _, lost := range []string{"SET", "DEL"} {
		h := p.AddRule(proxy.Rule{Match: proxy.Named(lost), Nth: 3, Action: proxy.SwallowReply(proxy.CutConnection)})
		if err := us.SetMany(t.Context(), slices.All(make([]user, 9))); err != nil {
			t.Errorf("SetMany = %v", err)
		}
		if err := us.InvalidateMany(t.Context(), upTo(9)...); err != nil {
			t.Errorf("InvalidateMany = %v", err)
		}
		if h.Hits() != 1 {
			t.Errorf("%s: %d replies lost", lost, h.Hits())
		}
	}
}

// Who waits for a load that InvalidateMany dooms is sent to load anew.
func TestInvalidateManySendsWaitersAway(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		var version atomic.Int64
		began, goOn := make(chan struct{}, 9), make(chan struct{})
		us := manyUsers(t, open(t, url, redstart.Config{}), func(_ context.Context, ids []int) (map[int]user, error) {
			v := version.Load()
			began <- struct{}{}
			if v == 0 {
				<-goOn
			}
			m := map[int]user{}
			for _, id := range ids {
				m[id] = user{ID: int(v)}
			}
			return m, nil
		})
		var wg sync.WaitGroup
		read := func(least int, ids ...int) {
			wg.Go(func() {
				got, err := us.GetMany(t.Context(), ids)
				for i := range got {
					if err != nil || got[i].Value.ID < least {
						t.Errorf("id %d: %+v, %v", ids[i], got[i], err)
					}
				}
			})
		}
		read(0, 1, 2, 3)
		<-began
		read(0, 2, 3)
		eventually(t, "they share", func() bool { return us.Stats().Joined >= 2 })
		version.Store(1)
		if err := us.InvalidateMany(t.Context(), 1, 2, 3); err != nil {
			t.Fatal(err)
		}
		got, err := us.GetMany(t.Context(), []int{1, 2, 3}) // while the old load goes on
		for i := range got {
			if err != nil || got[i].Value.ID != 1 {
				t.Errorf("stale: %+v, %v", got[i], err)
			}
		}
		close(goOn)
		wg.Wait()
	})
}
