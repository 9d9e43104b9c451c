package cache

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/internal/lease"
)

// stored is what lies at a key, and for how long.
func stored(t *testing.T, c *redstart.Client, k string) (raw string, left time.Duration) {
	t.Helper()
	raw, err := c.Do(t.Context(), c.B().Get().Key(k).Build()).ToString()
	if err != nil && !rueidis.IsRedisNil(err) {
		t.Fatal(err)
	}
	ms, err := c.Do(t.Context(), c.B().Pttl().Key(k).Build()).AsInt64()
	if err != nil {
		t.Fatal(err)
	}
	return raw, time.Duration(ms) * time.Millisecond
}

// During a write the old value is read and nothing is filled; what becomes of the
// entry is told by what became of the write.
func TestWrite(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		c, other := open(t, url, redstart.Config{}), open(t, url, redstart.Config{})
		var loads atomic.Int64
		load := func(_ context.Context, id int) (user, error) {
			loads.Add(1)
			return user{ID: id, Name: "loaded"}, nil
		}
		for name, tc := range map[string]struct {
			ttl    time.Duration
			change func(*Config[int, user])
			left   time.Duration // when the write begins
			hidden bool          // the value ends before the block
		}{
			"plain":            {ttl: time.Hour, left: time.Hour},
			"for good":         {ttl: -1},
			"timed":            {ttl: time.Hour, left: time.Hour, change: func(cfg *Config[int, user]) { cfg.Ages = true }},
			"kept beyond":      {ttl: time.Hour, left: 2 * time.Hour, change: func(cfg *Config[int, user]) { cfg.StaleFor = time.Hour }},
			"tags":             {ttl: time.Hour, left: time.Hour, change: byID},
			"just at its end":  {ttl: time.Hour, left: time.Second, hidden: true},
			"of the near tier": {ttl: time.Hour, left: time.Hour, change: func(cfg *Config[int, user]) { cfg.Near.Items = 10 }},
		} {
			t.Run(name, func(t *testing.T) {
				change := func(cfg *Config[int, user]) {
					cfg.TTL, cfg.Jitter = tc.ttl, -1
					cfg.Store = func(context.Context, int, user) error { return nil }
					if tc.change != nil {
						tc.change(cfg)
					}
				}
				ours, theirs := users(t, c, load, change), users(t, other, load, change)
				for what, end := range map[string]struct {
					err     error
					forget  bool
					restore bool
				}{
					"put":        {},
					"forget":     {forget: true},
					"refused":    {err: errors.Join(ErrRefused, errBoom), restore: true},
					"constraint": {err: sqlError("23505"), restore: true},
					"lost":       {err: sqlError("08006")},
					"unknown":    {err: errBoom},
					"not there":  {err: ErrNotFound},
				} {
					if err := ours.Put(t.Context(), 1, user{ID: 1, Name: "old"}); err != nil {
						t.Fatal(err)
					}
					if tc.left > 0 {
						if err := c.Do(t.Context(), c.B().Pexpire().Key("user:1").Milliseconds(tc.left.Milliseconds()).Build()).Error(); err != nil {
							t.Fatal(err)
						}
					}
					was, had := stored(t, c, "user:1")
					loads.Store(0)
					err := ours.Write(t.Context(), 1, func(context.Context) (Result[user], error) {
						for range 3 {
							u, err := theirs.Get(t.Context(), 1)
							if err != nil || u.Name != "old" && !tc.hidden || tc.hidden && u.Name != "loaded" {
								t.Errorf("%s: read during the write: %+v, %v", what, u, err)
							}
						}
						if n := loads.Load(); (n > 0) != tc.hidden {
							t.Errorf("%s: %d loads during the write", what, n)
						}
						if _, left := stored(t, c, "user:1"); left < 0 || left > ours.cfg.Lease {
							t.Errorf("%s: the key has %v to live while it is blocked", what, left)
						}
						return Result[user]{Value: user{ID: 1, Name: "new"}, Forget: end.forget}, end.err
					})
					switch {
					case errors.Is(end.err, ErrNotFound) || end.err == nil:
						if err != nil {
							t.Errorf("%s: %v", what, err)
						}
					case !errors.Is(err, end.err):
						t.Errorf("%s: %v", what, err)
					case redstart.OutcomeOf(err) != map[bool]redstart.Outcome{true: redstart.NotApplied, false: redstart.Unknown}[end.restore]:
						t.Errorf("%s: outcome %v", what, redstart.OutcomeOf(err))
					}
					now, left := stored(t, c, "user:1")
					if end.restore != (now == was) {
						t.Errorf("%s: restored is %v", what, now == was)
					}
					if end.restore && (left > had || left < had-2*time.Second) && tc.ttl > 0 && !tc.hidden {
						t.Errorf("%s: has %v to live after %v", what, left, had)
					}
					u, err := theirs.Get(t.Context(), 1)
					want, none := map[string]string{"put": "new", "refused": "old", "constraint": "old"}[what], what == "not there"
					if want == "" {
						want = "loaded"
					}
					if tc.hidden && end.restore { // it may be over by now
						want = u.Name
					}
					if none != errors.Is(err, ErrNotFound) || !none && u.Name != want {
						t.Errorf("%s: read after it: %+v, %v; want %s", what, u, err, want)
					}
					own, err := ours.Get(t.Context(), 1)
					if none != errors.Is(err, ErrNotFound) || own.Name != u.Name {
						t.Errorf("%s: read by its own process: %+v, %v", what, own, err)
					}
					if err := ours.Invalidate(t.Context(), 1); err != nil {
						t.Fatal(err)
					}
				}
			})
		}
	})
}

// sqlError is an error with a code of PostgreSQL.
type sqlError string

func (e sqlError) Error() string    { return "sql error " + string(e) }
func (e sqlError) SQLState() string { return string(e) }

// A write that panics, or takes too long, leaves nothing; one is not begun while
// the server is away; Store is needed for Put.
func TestWriteEnds(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		c := open(t, url, redstart.Config{})
		us := users(t, c, func(context.Context, int) (user, error) { return user{Name: "loaded"}, nil },
			func(cfg *Config[int, user]) { cfg.StoreTimeout = 20 * time.Millisecond })
		if err := us.Put(t.Context(), 1, user{}); !errors.Is(err, errNoStore) || redstart.OutcomeOf(err) != redstart.NotApplied {
			t.Errorf("Put without Store: %v", err)
		}
		if err := us.Set(t.Context(), 1, user{Name: "old"}); err != nil {
			t.Fatal(err)
		}
		func() {
			defer func() {
				if recover() != errBoom { //nolint:errorlint // the value itself
					t.Error("the panic was swallowed")
				}
			}()
			_ = us.Write(t.Context(), 1, func(context.Context) (Result[user], error) { panic(errBoom) })
		}()
		if raw, _ := stored(t, c, "user:1"); raw != "" {
			t.Error("a write that panicked left the old value")
		}
		err := us.Write(t.Context(), 1, func(ctx context.Context) (Result[user], error) {
			<-ctx.Done()
			return Result[user]{}, ctx.Err()
		})
		if !errors.Is(err, ErrStoreTimeout) || redstart.OutcomeOf(err) != redstart.Unknown {
			t.Errorf("a write that takes too long: %v", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		err = us.Write(ctx, 1, func(context.Context) (Result[user], error) {
			cancel()
			return Result[user]{Value: user{Name: "new"}}, nil
		})
		if u, _ := us.Get(t.Context(), 1); err != nil || u.Name != "new" {
			t.Errorf("the caller's end after the write: %v, then %+v", err, u)
		}
		c.Close()
		if err := us.Write(t.Context(), 1, func(context.Context) (Result[user], error) {
			t.Error("a write without the server")
			return Result[user]{}, nil
		}); redstart.OutcomeOf(err) != redstart.NotApplied {
			t.Errorf("without the server: %v", err)
		}
	})
}

// ledger is a history of writers of one row beside readers.
type ledger struct {
	t     *testing.T
	dice  func(int64) int64
	mu    sync.Mutex
	row   int64
	floor atomic.Int64 // no read that begins now may give less
	stats struct{ stale, reads, refused, unknown, dead atomic.Int64 }
}

func (h *ledger) rest(most time.Duration) { time.Sleep(time.Duration(h.dice(int64(most)))) }

// commit is the source's.
func (h *ledger) commit() int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.row++
	return h.row
}

func (h *ledger) load(ctx context.Context, _ int) (user, error) {
	h.mu.Lock()
	v := h.row
	h.mu.Unlock()
	h.rest(4 * time.Millisecond)
	return user{ID: int(v)}, ctx.Err()
}

func (h *ledger) atLeast(v int64) {
	for was := h.floor.Load(); was < v && !h.floor.CompareAndSwap(was, v); was = h.floor.Load() {
	}
}

// write is a source's part in a write: it commits, refuses, or fails after it has
// committed.
func (h *ledger) write(v *int64) (Result[user], error) {
	h.rest(3 * time.Millisecond)
	if h.dice(5) == 0 {
		h.stats.refused.Add(1)
		return Result[user]{}, ErrRefused
	}
	*v = h.commit()
	h.rest(3 * time.Millisecond)
	if h.dice(6) == 0 {
		h.stats.unknown.Add(1)
		return Result[user]{}, errBoom
	}
	return Result[user]{Value: user{ID: int(*v)}, Forget: h.dice(4) == 0}, nil
}

// run lets writers write and readers read; each writer does so many writes.
func (h *ledger) run(writes int, readers []func(context.Context) (int64, error), writers []func(v *int64) error, meddle func()) {
	ctx, stop := context.WithCancel(h.t.Context())
	var reading, writing sync.WaitGroup
	for _, read := range readers {
		reading.Go(func() {
			for ctx.Err() == nil {
				floor := h.floor.Load()
				v, err := read(ctx)
				if ctx.Err() != nil {
					return
				}
				if err != nil {
					h.t.Errorf("read: %v", err)
					return
				}
				h.stats.reads.Add(1)
				if v < floor {
					h.stats.stale.Add(1)
				}
			}
		})
	}
	for _, write := range writers {
		writing.Go(func() {
			for range writes {
				var v int64
				if err := write(&v); err == nil || redstart.OutcomeOf(err) != redstart.NotApplied {
					h.atLeast(v)
				}
				h.rest(2 * time.Millisecond)
				meddle()
			}
		})
	}
	writing.Wait()
	stop()
	reading.Wait()
}

// TestWriteHistories: writers that succeed, are refused, fail after the commit or
// die, beside loads, refreshes, invalidations and foreign DELs: no read that began
// after a write had ended, or a dead writer's block had run out, is older than it.
func TestWriteHistories(t *testing.T) {
	dice := newDice(t)
	const term = 100 * time.Millisecond
	onServers(t, func(t *testing.T, url string) {
		for name, tc := range map[string]struct {
			change     func(*Config[int, user])
			writers    int
			dying, del bool
			own        bool // readers and writers are of one process
		}{
			"one writer":       {writers: 1},
			"writers":          {writers: 4},
			"writers that die": {writers: 2, dying: true},
			"foreign DEL":      {writers: 3, del: true},
			"refresh and stale": {writers: 3, dying: true, change: func(cfg *Config[int, user]) {
				keep(cfg)
				cfg.Refresh, cfg.SoftTimeout = Refresh{Fraction: 0.5, Beta: 1}, time.Millisecond
			}},
			"tags": {writers: 2, dying: true, change: byID},
			"near": {writers: 2, own: true, change: func(cfg *Config[int, user]) { cfg.Near.Items = 10 }},
		} {
			t.Run(name, func(t *testing.T) {
				h := &ledger{t: t, dice: dice}
				processes := 3
				if tc.own {
					processes = 1
				}
				var caches []*Cache[int, user]
				for range processes {
					caches = append(caches, users(t, open(t, url, redstart.Config{}), h.load, func(cfg *Config[int, user]) {
						cfg.Lease, cfg.ErrorTTL = term, time.Millisecond
						if tc.change != nil {
							tc.change(cfg)
						}
					}))
				}
				raw := open(t, url, redstart.Config{})
				var readers []func(context.Context) (int64, error)
				for i := range 6 {
					readers = append(readers, func(ctx context.Context) (int64, error) {
						u, err := caches[i%processes].Get(ctx, 1)
						return int64(u.ID), err
					})
				}
				var writers []func(v *int64) error
				for i := range tc.writers {
					us := caches[i%processes]
					writers = append(writers, func(v *int64) error {
						return us.Write(t.Context(), 1, func(context.Context) (Result[user], error) { return h.write(v) })
					})
				}
				var deaths sync.WaitGroup
				h.run(60, readers, writers, func() {
					switch {
					case tc.dying && dice(10) == 0:
						h.stats.dead.Add(1)
						block := lease.Block{Client: caches[0].client, Key: "user:1", Token: lease.Token(), Time: term}
						if err := block.Take(t.Context()); err != nil {
							t.Error(err)
						}
						v := h.commit()
						deaths.Go(func() {
							// A block that others lengthen ends a third later.
							time.Sleep(term*3/2 + 50*time.Millisecond)
							h.atLeast(v)
						})
					case tc.del && dice(4) == 0:
						_ = raw.Do(t.Context(), raw.B().Del().Key("user:1").Build())
					case dice(10) == 0:
						if err := caches[0].Invalidate(t.Context(), 1); err != nil {
							t.Error(err)
						}
					case dice(4) == 0: // nearer to its end, or past it
						left := time.Duration(dice(int64(2*time.Hour))) + time.Second
						_ = raw.Do(t.Context(), raw.B().Pexpire().Key("user:1").Milliseconds(left.Milliseconds()).Lt().Build())
					}
				})
				deaths.Wait()
				s := &h.stats
				t.Logf("%d writes in the source; %d reads, %d stale; %d refused, %d failed after the commit, %d writers dead",
					h.row, s.reads.Load(), s.stale.Load(), s.refused.Load(), s.unknown.Load(), s.dead.Load())
				if s.stale.Load() > 0 || s.reads.Load() == 0 || s.refused.Load() == 0 || s.unknown.Load() == 0 || tc.dying && s.dead.Load() == 0 {
					t.Errorf("%d of %d reads are stale", s.stale.Load(), s.reads.Load())
				}
				want := h.row
				if u, err := caches[0].Get(t.Context(), 1); err != nil || int64(u.ID) != want {
					t.Errorf("in the end %d, %v; the source has %d", u.ID, err, want)
				}
			})
		}
	})
}

// The recipes fail the same count: cache first, then the source; and the source
// first, then a SET.
func TestNaiveWriteHistories(t *testing.T) {
	dice := newDice(t)
	onServers(t, func(t *testing.T, url string) {
		for name, write := range map[string]func(h *ledger, c *redstart.Client, v *int64) error{
			"cache, then source": func(h *ledger, c *redstart.Client, v *int64) error {
				h.mu.Lock()
				next := h.row + 1
				h.mu.Unlock()
				if err := setNaive(h.t.Context(), c, "naive", next); err != nil {
					return err
				}
				_, err := h.write(v)
				return err
			},
			"source, then SET": func(h *ledger, c *redstart.Client, v *int64) error {
				if _, err := h.write(v); err != nil {
					return err
				}
				return setNaive(h.t.Context(), c, "naive", *v)
			},
		} {
			t.Run(name, func(t *testing.T) {
				c := open(t, url, redstart.Config{})
				h := &ledger{t: t, dice: dice}
				read := func(ctx context.Context) (int64, error) {
					v, err := c.Do(ctx, c.B().Get().Key("naive").Build()).AsInt64()
					if rueidis.IsRedisNil(err) {
						var u user
						if u, err = h.load(ctx, 1); err == nil {
							v, err = int64(u.ID), setNaive(ctx, c, "naive", int64(u.ID))
						}
					}
					return v, err
				}
				for range 20 {
					one := func(v *int64) error { return write(h, c, v) }
					h.run(60, []func(context.Context) (int64, error){read, read, read}, []func(*int64) error{one, one, one},
						func() { _ = del(t.Context(), c) })
					end, err := read(t.Context())
					if h.stats.stale.Load() > 0 || err == nil && end != h.row {
						t.Logf("%d of %d reads stale, in the end %d for %d", h.stats.stale.Load(), h.stats.reads.Load(), end, h.row)
						return
					}
				}
				t.Error("the recipe passes")
			})
		}
	})
}
