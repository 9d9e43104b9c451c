package cache

import (
	"context"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/redstart-go/redstart"
)

// rising is a database of counters that only rise, one for each id. floor is
// the highest of which an invalidation had returned.
type rising struct {
	version, floor []atomic.Int64
}

func newRising(ids int) *rising {
	return &rising{make([]atomic.Int64, ids), make([]atomic.Int64, ids)}
}

// load reads all ids at one moment, and takes its time to come back.
func (s *rising) load(ids []int, r func(n int) int) map[int]int64 {
	values := map[int]int64{}
	for _, id := range ids {
		values[id] = s.version[id].Load()
	}
	time.Sleep(time.Duration(r(3000)) * time.Microsecond)
	return values
}

// raise changes some ids, lets invalidate return, and notes what may no longer
// be read from now on.
func (s *rising) raise(ids []int, invalidate func([]int) error) error {
	now := make([]int64, len(ids))
	for i, id := range ids {
		now[i] = s.version[id].Add(1)
	}
	if err := invalidate(ids); err != nil {
		return err
	}
	for i, id := range ids {
		for old := s.floor[id].Load(); old < now[i] && !s.floor[id].CompareAndSwap(old, now[i]); old = s.floor[id].Load() {
		}
	}
	return nil
}

// reader is what the checker needs of a cache.
type reader struct {
	read       func(ctx context.Context, ids []int) ([]int64, error)
	invalidate func(ctx context.Context, ids []int) error
}

// race reads and invalidates overlapping sets until enough ids have been read,
// and counts the values that were older than an invalidation that had returned
// before the read began.
func race(t *testing.T, s *rising, readers []reader, enough int64) (reads, stale int64) {
	t.Helper()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	var read, old, writes atomic.Int64
	var wg sync.WaitGroup
	for n := range 4 * len(readers) {
		c, r := readers[n%len(readers)], rand.New(rand.NewPCG(seed, uint64(n)))
		some := func(most int) []int { return r.Perm(len(s.floor))[:1+r.IntN(most)] }
		wg.Go(func() {
			for read.Load() < enough && !t.Failed() {
				if n < len(readers) {
					if err := s.raise(some(3), func(ids []int) error { return c.invalidate(t.Context(), ids) }); err != nil {
						t.Errorf("invalidate: %v", err)
					}
					writes.Add(1)
					time.Sleep(time.Duration(r.IntN(2000)) * time.Microsecond)
					continue
				}
				ids := some(len(s.floor))
				floors := make([]int64, len(ids))
				for i, id := range ids {
					floors[i] = s.floor[id].Load()
				}
				got, err := c.read(t.Context(), ids)
				if err != nil {
					t.Errorf("read: %v", err)
					return
				}
				for i, v := range got {
					if v < floors[i] {
						old.Add(1)
					}
				}
				read.Add(int64(len(ids)))
			}
		})
	}
	wg.Wait()
	t.Logf("%d stale of %d ids read, %d invalidations", old.Load(), read.Load(), writes.Load())
	return read.Load(), old.Load()
}

// No read of GetMany or Get that begins after an invalidation has returned
// gives what was loaded before it; the usual MGET, load and SETEX does.
func TestGetManyIsNeverStale(t *testing.T) {
	const ids = 24
	onServers(t, func(t *testing.T, url string) {
		s := newRising(ids)
		var readers []reader
		refused := uint64(0)
		var caches []*Cache[int, int64]
		for n := range 3 {
			c := open(t, url, redstart.Config{})
			counters, err := New(c, Config[int, int64]{Key: "{counter}:<id>", LoadMany: func(_ context.Context, ids []int) (map[int]int64, error) {
				return s.load(ids, rand.IntN), nil
			}})
			if err != nil {
				t.Fatal(err)
			}
			caches = append(caches, counters)
			readers = append(readers, reader{
				read: func(ctx context.Context, ids []int) ([]int64, error) {
					values := make([]int64, len(ids))
					if len(ids) == 1 {
						var err error
						values[0], err = counters.Get(ctx, ids[0])
						return values, err
					}
					got, err := counters.GetMany(ctx, ids)
					for i := range got {
						values[i] = got[i].Value
					}
					return values, err
				},
				invalidate: func(ctx context.Context, ids []int) error {
					switch {
					case n == 0: // anyone's
						return c.Do(ctx, c.B().Del().Key(keysOf(ids)...).Build()).Error()
					case len(ids) == 1:
						return counters.Invalidate(ctx, ids[0])
					default:
						return counters.InvalidateMany(ctx, ids...)
					}
				},
			})
		}
		if _, stale := race(t, s, readers, 20_000); stale != 0 {
			t.Errorf("%d stale", stale)
		}
		for _, c := range caches {
			refused += c.Stats().Refused
		}
		if refused == 0 {
			t.Error("no fill was refused: this shows nothing")
		}
	})
	t.Run("the checker finds MGET, load, SETEX", func(t *testing.T) {
		onServers(t, func(t *testing.T, url string) {
			s := newRising(ids)
			c := open(t, url, redstart.Config{})
			if _, stale := race(t, s, []reader{naiveMany(c, s)}, 20_000); stale == 0 {
				t.Error("the checker finds nothing stale in the usual recipe")
			}
		})
	})
}

func keysOf(ids []int) []string {
	keys := make([]string, len(ids))
	for i, id := range ids {
		keys[i] = "{counter}:" + strconv.Itoa(id)
	}
	return keys
}

// naiveMany is the recipe: MGET, load what is missing, a pipeline of SETEX.
func naiveMany(c *redstart.Client, s *rising) reader {
	return reader{
		read: func(ctx context.Context, ids []int) ([]int64, error) {
			messages, err := c.Do(ctx, c.B().Mget().Key(keysOf(ids)...).Build()).ToArray()
			if err != nil {
				return nil, err
			}
			values := make([]int64, len(ids))
			var missing []int
			for i, m := range messages {
				if m.IsNil() {
					missing = append(missing, ids[i])
				} else if values[i], err = m.AsInt64(); err != nil {
					return nil, err
				}
			}
			if len(missing) == 0 {
				return values, nil
			}
			loaded := s.load(missing, rand.IntN)
			var fill []rueidis.Completed
			for i, id := range ids {
				if v, ok := loaded[id]; ok {
					values[i] = v
					fill = append(fill, c.B().Setex().Key(keysOf(ids)[i]).Seconds(60).Value(strconv.FormatInt(v, 10)).Build())
				}
			}
			for _, r := range c.DoMulti(ctx, fill...) {
				if r.Error() != nil {
					return nil, r.Error()
				}
			}
			return values, nil
		},
		invalidate: func(ctx context.Context, ids []int) error {
			return c.Do(ctx, c.B().Del().Key(keysOf(ids)...).Build()).Error()
		},
	}
}

// Of several ids that wait for one load elsewhere, one that is invalidated is
// loaded anew and does not wait for the rest.
func TestGetManyInvalidatedWhileWaiting(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		began, release := make(chan struct{}, 1), make(chan struct{})
		slow := manyUsers(t, open(t, url, redstart.Config{}), func(_ context.Context, ids []int) (map[int]user, error) {
			began <- struct{}{}
			<-release
			return every(ids), nil
		})
		var seen calls
		us := manyUsers(t, open(t, url, redstart.Config{}), func(_ context.Context, ids []int) (map[int]user, error) {
			seen.add(ids)
			m := every(ids)
			for id, u := range m {
				u.Name = "new"
				m[id] = u
			}
			return m, nil
		})
		ids := upTo(20)
		var wg sync.WaitGroup
		wg.Go(func() {
			got, err := slow.GetMany(t.Context(), ids)
			isEvery(t, ids, got, err)
		})
		<-began
		wg.Go(func() {
			got, err := us.GetMany(t.Context(), ids)
			isEvery(t, ids, got, err)
			for _, id := range []int{5, 6} {
				if got[id].Value.Name != "new" {
					t.Errorf("%d was not loaded anew: %+v", id, got[id])
				}
			}
		})
		eventually(t, "it waits", func() bool { return us.Stats().Waits >= 20 })
		if err := slow.InvalidateMany(t.Context(), 5, 6); err != nil {
			t.Fatal(err)
		}
		if u, err := us.Get(t.Context(), 5); err != nil || u.Name != "new" { // the load elsewhere goes on
			t.Errorf("Get = %+v, %v", u, err)
		}
		if n := len(seen.perID()); n == 0 || n > 2 {
			t.Errorf("loaded %v", seen.all())
		}
		close(release)
		wg.Wait()
		if n := slow.Stats().Refused; n != 2 {
			t.Errorf("%d fills refused, want 2", n)
		}
	})
}
