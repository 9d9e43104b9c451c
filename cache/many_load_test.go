package cache

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/redstarttest"
	"github.com/redstart-go/redstart/redstarttest/proxy"
)

// patient is a client for which a server that the machine is too busy to run is
// not away: its loads would go past the cache.
var patient = redstart.Config{Timeout: 20 * time.Second}

// manyFleet is several caches as several processes have them.
func manyFleet(t *testing.T, url string, n int, load func(context.Context, []int) (map[int]user, error), change ...func(*Config[int, user])) []*Cache[int, user] {
	t.Helper()
	caches := make([]*Cache[int, user], n)
	for i := range caches {
		caches[i] = manyUsers(t, open(t, url, patient), load, change...)
	}
	return caches
}

// oneNode keeps all keys together, so that one of several processes claims all.
func oneNode(cfg *Config[int, user]) { cfg.Key = "{user}:<id>" }

// overlap asks for ids in overlapping parts, by 8 callers on each cache, Get
// among them; none may fail or get another's value.
func overlap(t *testing.T, caches []*Cache[int, user], ids int) {
	t.Helper()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	var wg sync.WaitGroup
	for n := range 8 * len(caches) {
		us := caches[n%len(caches)]
		wg.Go(func() {
			r := rand.New(rand.NewPCG(seed, uint64(n)))
			wanted := r.Perm(ids)[:ids/2+r.IntN(ids/2)]
			got, err := us.GetMany(t.Context(), wanted)
			if err != nil || len(got) != len(wanted) {
				t.Errorf("GetMany: %v", err)
				return
			}
			for i, id := range wanted {
				if got[i].Err != nil || got[i].Value.ID != id {
					t.Errorf("id %d: %+v", id, got[i])
				}
			}
		})
		wg.Go(func() {
			id := rand.New(rand.NewPCG(seed, uint64(n))).IntN(ids)
			if u, err := us.Get(t.Context(), id); err != nil || u.ID != id {
				t.Errorf("Get(%d) = %+v, %v", id, u, err)
			}
		})
	}
	wg.Wait()
}

// Of all callers in all processes that want overlapping sets, one loads each
// id, and each LoadMany gets each of its ids once.
func TestGetManyLoadsEachOnce(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		const ids = 300
		var seen calls
		var alone sync.Map
		caches := manyFleet(t, url, 4, func(_ context.Context, ids []int) (map[int]user, error) {
			seen.add(ids)
			time.Sleep(20 * time.Millisecond)
			return every(ids), nil
		}, func(cfg *Config[int, user]) {
			cfg.Load = func(_ context.Context, id int) (user, error) { // a Get came first
				if _, twice := alone.LoadOrStore(id, nil); twice {
					t.Errorf("%d was loaded alone twice", id)
				}
				time.Sleep(20 * time.Millisecond)
				return user{ID: id}, nil
			}
		})
		overlap(t, caches, ids)
		n := seen.perID()
		for id := range ids {
			if _, ok := alone.Load(id); ok {
				n[id]++
			}
			if n[id] > 1 {
				t.Errorf("%d was loaded %d times", id, n[id])
			}
		}
		t.Logf("%d calls of LoadMany for %d ids", len(seen.all()), len(n))
		if got := len(seen.all()); got > 8*len(caches) {
			t.Errorf("%d calls of LoadMany by %d callers", got, 8*len(caches))
		}
	})
}

// Without a LoadMany, Load is called for each once, a few at a time.
func TestGetManyByLoad(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		const ids = 60
		var perID [ids]atomic.Int64
		caches := make([]*Cache[int, user], 4)
		for i := range caches {
			var now atomic.Int64
			caches[i] = users(t, open(t, url, redstart.Config{}), func(_ context.Context, id int) (user, error) {
				if n := now.Add(1); n > 8*3+8 { // callers of GetMany, and those of Get
					t.Errorf("%d loads at a time", n)
				}
				defer now.Add(-1)
				perID[id].Add(1)
				time.Sleep(time.Millisecond)
				return user{ID: id}, nil
			}, func(cfg *Config[int, user]) { cfg.Loads = 3 })
		}
		overlap(t, caches, ids)
		for id := range perID {
			if n := perID[id].Load(); n > 1 {
				t.Errorf("%d was loaded %d times", id, n)
			}
		}
	})
}

// A failure is that of each id of the call, an absence never; single ids may
// fail; both are shared with who waits elsewhere.
func TestGetManySharesErrors(t *testing.T) {
	boom := errors.New("boom")
	for name, test := range map[string]struct {
		err   error
		fails func(id int) bool
	}{
		"whole":                      {boom, func(int) bool { return true }},
		"whole, calls itself absent": {fmt.Errorf("%w: %w", boom, ErrNotFound), func(int) bool { return true }},
		"single ones":                {Errors[int]{2: boom, 3: fmt.Errorf("%w", ErrNotFound), 99: boom}, func(id int) bool { return id == 2 }},
		"single ones, wrapped":       {fmt.Errorf("%w", Errors[int]{2: boom}), func(int) bool { return true }},
		"joined":                     {errors.Join(Errors[int]{2: boom}, boom), func(int) bool { return true }},
	} {
		t.Run(name, func(t *testing.T) {
			onServers(t, func(t *testing.T, url string) {
				var caches []*Cache[int, user]
				var seen calls
				caches = manyFleet(t, url, 2, func(_ context.Context, ids []int) (map[int]user, error) {
					seen.add(ids)
					eventually(t, "all wait", func() bool { return allAsked(caches, 8) })
					return every(ids), test.err
				}, func(cfg *Config[int, user]) { cfg.ErrorTTL = time.Minute }, oneNode)
				ids := []int{1, 2, 3, 404}
				var wg sync.WaitGroup
				for i, us := range caches {
					wg.Go(func() {
						got, err := us.GetMany(t.Context(), ids)
						var failed Errors[int]
						errors.As(err, &failed)
						for j, id := range ids {
							e := got[j].Err
							switch {
							case test.fails(id):
								if errors.Is(e, ErrNotFound) || !strings.Contains(e.Error(), "boom") && !errors.Is(e, ErrLoad) || !errors.Is(failed[id], e) || redstart.OutcomeOf(e) != redstart.NotApplied {
									t.Errorf("cache %d, id %d: %v", i, id, e)
								}
							case id == 404, id == 3:
								if !errors.Is(e, ErrNotFound) || failed[id] != nil {
									t.Errorf("cache %d, id %d: %v", i, id, e)
								}
							case e != nil || got[j].Value.ID != id:
								t.Errorf("cache %d, id %d: %+v", i, id, got[j])
							}
						}
					})
				}
				wg.Wait()
				for id, n := range seen.perID() { // each process may have claimed a part
					if n != 1 {
						t.Errorf("id %d was loaded %d times", id, n)
					}
				}
			})
		})
	}
}

// A panic goes to the caller whose call it was, and is an error to the others.
func TestGetManyPanic(t *testing.T) {
	for _, how := range []string{"panic", "goexit"} {
		onServers(t, func(t *testing.T, url string) {
			var caches []*Cache[int, user]
			var loads atomic.Int64 // each process may have claimed a part
			caches = manyFleet(t, url, 2, func(context.Context, []int) (map[int]user, error) {
				loads.Add(1)
				eventually(t, "all wait", func() bool { return allAsked(caches, 4*3) })
				if how == "goexit" {
					runtime.Goexit()
				}
				panic("kaboom")
			}, oneNode)
			var panics atomic.Int64
			var wg sync.WaitGroup
			began := time.Now()
			for n := range 4 {
				wg.Go(func() {
					defer func() {
						if p := recover(); p != nil {
							panics.Add(1)
							if e, ok := p.(error); !ok || !errors.Is(e, ErrPanic) || !strings.Contains(e.Error(), "kaboom") || !strings.Contains(e.Error(), "many_load_test.go") {
								t.Errorf("panic value %v does not tell what and where", p)
							}
						}
					}()
					got, err := caches[n%2].GetMany(t.Context(), []int{1, 2, 3})
					for i := range got {
						if e := got[i].Err; err == nil || !errors.Is(e, ErrPanic) && !errors.Is(e, ErrLoad) {
							t.Errorf("%+v", got[i])
						}
					}
				})
			}
			wg.Wait()
			if n := panics.Load(); how == "panic" && n != loads.Load() || how == "goexit" && n != 0 || loads.Load() > 2 {
				t.Errorf("%s: %d callers panicked, of %d loads", how, n, loads.Load())
			}
			if took := time.Since(began); took > defaultLease {
				t.Errorf("it cost the waiters %v", took)
			}
		})
	}
}

// The caller that began the load, and one that waits for another process, give
// up: nobody else notices, and the load is stored.
func TestGetManyCancelled(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		var seen calls
		began, release := make(chan struct{}, 9), make(chan struct{})
		caches := manyFleet(t, url, 2, func(_ context.Context, ids []int) (map[int]user, error) {
			seen.add(ids)
			began <- struct{}{}
			<-release
			return every(ids), nil
		})
		ids := upTo(20)
		ctx, cancel := context.WithCancel(t.Context())
		var gone, stay sync.WaitGroup
		leave := func(us *Cache[int, user]) {
			gone.Go(func() {
				got, err := us.GetMany(ctx, ids)
				for i := range got {
					if !errors.Is(err, context.Canceled) || !errors.Is(got[i].Err, context.Canceled) {
						t.Errorf("%+v, %v", got[i], err)
					}
				}
			})
		}
		leave(caches[0])
		<-began
		leave(caches[1])
		eventually(t, "the other process waits", func() bool { return caches[1].Stats().Waits >= 20 })
		for _, us := range caches {
			stay.Go(func() {
				got, err := us.GetMany(t.Context(), ids[:10])
				isEvery(t, ids[:10], got, err)
			})
		}
		eventually(t, "all are aboard", func() bool { return caches[0].Stats().Joined >= 10 && caches[1].Stats().Joined >= 10 })
		cancel()
		gone.Wait()
		close(release)
		stay.Wait()
		eventually(t, "all is stored", func() bool {
			_, ok, err := caches[0].Peek(t.Context(), 19)
			return ok && err == nil
		})
		if n := len(seen.all()); n != 1 {
			t.Errorf("%d calls of LoadMany", n)
		}
		for _, us := range caches {
			eventually(t, "no flight is left", func() bool { return us.flights.Len() == 0 })
		}
	})
}

// A process that dies in the middle of a load of many costs the lease, and the
// next one loads them together. A load longer than the lease keeps it.
func TestGetManyDeadHolder(t *testing.T) {
	alone(t, func(t *testing.T, server *redstarttest.Server) {
		const ids, short = 200, 600 * time.Millisecond
		var seen calls
		hang := make(chan struct{})
		began := make(chan struct{}, 1)
		shortly := func(cfg *Config[int, user]) { cfg.Lease = short }
		s, err := proxy.New(server.Addr())
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		dies := manyUsers(t, open(t, s.URL(), redstart.Config{Timeout: 200 * time.Millisecond, DialTimeout: 100 * time.Millisecond}), func(_ context.Context, ids []int) (map[int]user, error) {
			began <- struct{}{}
			<-hang
			return every(ids), nil
		}, shortly)
		us := manyUsers(t, open(t, server.URL(), redstart.Config{}), func(_ context.Context, ids []int) (map[int]user, error) {
			seen.add(ids)
			return every(ids), nil
		}, shortly)
		dead := make(chan struct{})
		go func() {
			defer close(dead)
			_, _ = dies.GetMany(t.Context(), upTo(ids))
		}()
		<-began
		got := make(chan error, 1)
		go func() {
			all, err := us.GetMany(t.Context(), upTo(ids))
			for i := range all {
				if all[i].Err == nil && all[i].Value.ID != i {
					t.Errorf("%d: %+v", i, all[i])
				}
			}
			got <- err
		}()
		eventually(t, "they wait", func() bool { return us.Stats().Waits >= ids })
		waited := time.Now()
		eventually(t, "the lease outlives its time twice", func() bool { return time.Since(waited) > 2*short })
		if n := len(seen.all()); n != 0 {
			t.Fatalf("loaded while the holder lives: %d", n)
		}
		s.Close()
		died := time.Now()
		if err := <-got; err != nil {
			t.Errorf("GetMany: %v", err)
		}
		took := time.Since(died)
		t.Logf("%v after the holder's death, %d calls of LoadMany", took.Round(time.Millisecond), len(seen.all()))
		if took > 5*short {
			t.Errorf("the holder's death cost %v", took)
		}
		for id, n := range seen.perID() {
			if n != 1 {
				t.Errorf("%d was loaded %d times", id, n)
			}
		}
		if n := len(seen.all()); len(seen.perID()) != ids || n > 20 {
			t.Errorf("%d calls of LoadMany for %d ids", n, len(seen.perID()))
		}
		close(hang)
		<-dead
	})
}

func TestGetManyHangingLoad(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		hang := make(chan struct{})
		defer close(hang)
		us := manyUsers(t, open(t, url, redstart.Config{}), func(context.Context, []int) (map[int]user, error) {
			<-hang // deaf to its context
			return nil, nil
		}, func(cfg *Config[int, user]) { cfg.LoadTimeout = 100 * time.Millisecond })
		got, err := us.GetMany(t.Context(), upTo(5))
		for i := range got {
			if !errors.Is(err, ErrLoadTimeout) || !errors.Is(got[i].Err, ErrLoadTimeout) {
				t.Errorf("%+v, %v", got[i], err)
			}
		}
		if _, err := us.Get(t.Context(), 3); !errors.Is(err, ErrLoad) {
			t.Errorf("Get = %v: the failure is not remembered", err)
		}
	})
}

// Close ends a load of many; the keys are given back.
func TestGetManyClose(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		began := make(chan struct{})
		c := open(t, url, redstart.Config{})
		us := manyUsers(t, c, func(ctx context.Context, _ []int) (map[int]user, error) {
			close(began)
			<-ctx.Done()
			return nil, ctx.Err()
		})
		got := make(chan error, 1)
		go func() { _, err := us.GetMany(t.Context(), upTo(9)); got <- err }()
		<-began
		c.Close()
		if err := <-got; !errors.Is(err, redstart.ErrClosed) {
			t.Errorf("GetMany = %v", err)
		}
		if _, err := us.GetMany(t.Context(), upTo(9)); !errors.Is(err, redstart.ErrClosed) {
			t.Errorf("GetMany of a closed client = %v", err)
		}
		other := open(t, url, redstart.Config{})
		if n, err := other.Do(t.Context(), other.B().Dbsize().Build()).AsInt64(); n != 0 || err != nil {
			t.Errorf("%d keys are left, %v", n, err)
		}
	})
}

// Neither callers nor the places of one answer share memory.
func TestGetManySharesNoMemory(t *testing.T) {
	s := redstarttest.Run(t, redstarttest.ServerConfig{})
	blobs, err := New(open(t, s.URL(), redstart.Config{}), Config[int, []byte]{
		Key:      "blob:<id>",
		MaxBytes: 10,
		LoadMany: func(_ context.Context, ids []int) (map[int][]byte, error) {
			time.Sleep(time.Millisecond)
			m := map[int][]byte{}
			for _, id := range ids {
				m[id] = []byte(strings.Repeat("v", 6+id))
			}
			return m, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	ids := []int{1, 1, 9, 1, 9} // 9 is too large
	ask := func() {
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				got, err := blobs.GetMany(t.Context(), ids)
				if err != nil {
					t.Error(err)
				}
				for i, id := range ids {
					if string(got[i].Value) != strings.Repeat("v", 6+id) {
						t.Errorf("another's bytes: %q", got[i].Value)
					}
					for j := range got[i].Value {
						got[i].Value[j] = 'x'
					}
				}
			})
		}
		wg.Wait()
	}
	for range 3 {
		ask()
	}
	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	ask()
}
