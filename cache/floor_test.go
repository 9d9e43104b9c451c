package cache

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/redstart-go/redstart"
)

// lagging is a source whose loads are answered by a replica that is behind until it
// catches up.
type lagging struct {
	mu               sync.Mutex
	primary, replica int // versions; zero: nothing is there
	writes           int
	told             int // loads that were told of a floor
}

func (l *lagging) write(absent bool) (version int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.writes++
	if l.primary = l.writes; absent {
		l.primary = 0
	}
	return l.writes
}

func (l *lagging) catchUp() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.replica = l.primary
}

// load asks the replica, and the primary when it was told that the replica is behind
// and may.
func (l *lagging) load(_ context.Context, _ int, old Old[user], may bool) (Result[user], error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	v := l.replica
	if old.Floor > 0 {
		l.told++
		if may {
			v = l.primary
		}
	}
	if v == 0 {
		return Result[user]{}, ErrNotFound
	}
	return Result[user]{Value: user{ID: v}, Version: uint64(v)}, nil
}

// After a write nothing older is read, although the replica that loads ask is
// behind: they are asked again. Without floors the same reads are stale.
func TestFloor(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		id := 0
		for name, tc := range map[string]struct {
			floor, may, forget, absent bool
		}{
			"put":                            {floor: true},
			"around, the primary is asked":   {floor: true, may: true, forget: true},
			"around, the replica catches up": {floor: true, forget: true},
			"deleted":                        {floor: true, absent: true, forget: true},
			"no floor":                       {forget: true},
		} {
			t.Run(name, func(t *testing.T) {
				id++
				src := &lagging{}
				var caches []*Cache[int, user]
				for range 2 {
					caches = append(caches, users(t, open(t, url, redstart.Config{}), nil, func(cfg *Config[int, user]) {
						cfg.LoadResult = func(ctx context.Context, id int, old Old[user]) (Result[user], error) {
							return src.load(ctx, id, old, tc.may)
						}
						if tc.floor {
							cfg.FloorFor = 10 * time.Second
						}
					}))
				}
				src.write(false)
				src.catchUp()
				if u, err := caches[1].Get(t.Context(), id); err != nil || u.ID != 1 {
					t.Fatalf("%+v, %v", u, err)
				}
				err := caches[0].Write(t.Context(), id, func(context.Context) (Result[user], error) {
					v := src.write(tc.absent)
					r := Result[user]{Value: user{ID: v}, Version: uint64(v), Forget: tc.forget}
					if tc.absent {
						return r, ErrNotFound
					}
					return r, nil
				})
				if err != nil {
					t.Fatal(err)
				}
				if !tc.forget { // evicted, while the replica is behind
					if err := caches[0].Invalidate(t.Context(), id); err != nil {
						t.Fatal(err)
					}
				}
				if !tc.may && tc.floor {
					go func() {
						for range 1000 {
							src.mu.Lock()
							told := src.told
							src.mu.Unlock()
							if told > 0 {
								break
							}
							time.Sleep(time.Millisecond)
						}
						src.catchUp()
					}()
				}
				u, err := caches[1].Get(t.Context(), id)
				switch {
				case !tc.floor && u.ID != 1:
					t.Errorf("the replica that is behind was not asked: %+v, %v", u, err)
				case tc.floor && tc.absent && !errors.Is(err, ErrNotFound):
					t.Errorf("after the deletion: %+v, %v", u, err)
				case tc.floor && !tc.absent && (err != nil || u.ID != 2):
					t.Errorf("after the write: %+v, %v", u, err)
				}
				if tc.floor && src.told == 0 {
					t.Error("no load was told of the floor")
				}
			})
		}
	})
}

// A source that stays behind is an error, and caches nothing old.
func TestFloorBehind(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		src := &lagging{}
		us := users(t, open(t, url, redstart.Config{}), nil, func(cfg *Config[int, user]) {
			cfg.LoadResult = func(ctx context.Context, id int, old Old[user]) (Result[user], error) {
				return src.load(ctx, id, old, false)
			}
			cfg.FloorFor, cfg.LoadTimeout, cfg.ErrorTTL = time.Minute, 100*time.Millisecond, time.Millisecond
		})
		src.write(false)
		src.catchUp()
		err := us.Write(t.Context(), 1, func(context.Context) (Result[user], error) {
			return Result[user]{Version: uint64(src.write(false)), Forget: true}, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if u, err := us.Get(t.Context(), 1); !errors.Is(err, ErrBehind) && !errors.Is(err, ErrLoadTimeout) {
			t.Errorf("%+v, %v", u, err)
		}
		src.catchUp()
		eventually(t, "the new version is read", func() bool { u, err := us.Get(t.Context(), 1); return err == nil && u.ID == 2 })
	})
}
