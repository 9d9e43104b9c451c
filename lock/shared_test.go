package lock

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redstart-go/redstart"
)

// Readers hold together, a writer alone; a writer who waits is not overtaken.
func TestShared(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		ctx := t.Context()
		c := open(t, url, redstart.Config{})
		l, other := locks(t, c, Config{}), locks(t, open(t, url, redstart.Config{}), Config{})
		one, err := l.TryAcquireShared(ctx, "s")
		if err != nil {
			t.Fatal(err)
		}
		two, err := other.AcquireShared(ctx, "s")
		if err != nil || two.Token() <= one.Token() {
			t.Fatal(two, err)
		}
		if _, err := l.TryAcquire(ctx, "s"); !errors.Is(err, ErrHeld) {
			t.Fatalf("a writer beside readers: %v", err)
		}
		var inside, most atomic.Int32
		var wrote atomic.Bool
		var all sync.WaitGroup
		all.Go(func() {
			if err := other.Do(ctx, "s", func(context.Context) error { wrote.Store(inside.Load() == 0); return nil }); err != nil {
				t.Error(err)
			}
		})
		eventually(t, "the writer waits", func() bool { return queued(t, c, l, "s") == 1 })
		if _, err := l.TryAcquireShared(ctx, "s"); !errors.Is(err, ErrHeld) {
			t.Errorf("a reader overtook the writer: %v", err)
		}
		together := make(chan struct{})
		for i := range 3 {
			all.Go(func() {
				if err := l.DoShared(ctx, "s", func(context.Context) error {
					if n := inside.Add(1); n == 3 {
						most.Store(n)
						close(together)
					}
					<-together
					inside.Add(-1)
					if !wrote.Load() {
						return errors.New("before the writer")
					}
					return nil
				}); err != nil {
					t.Error(err)
				}
			})
			eventually(t, "the reader waits", func() bool { return queued(t, c, l, "s") == int64(i+2) })
		}
		release(t, one)
		if err := two.Extend(ctx); err != nil {
			t.Error(err)
		}
		release(t, two)
		all.Wait()
		if most.Load() != 3 {
			t.Error("the readers were not together")
		}
		// A DEL takes it from all of them.
		one, err = l.AcquireShared(ctx, "s")
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Do(ctx, c.B().Del().Key("lock:{s}").Build()).Error(); err != nil {
			t.Fatal(err)
		}
		release(t, acquire(t, l, "s"))
		if err := one.Extend(ctx); !errors.Is(err, ErrLost) {
			t.Errorf("Extend: %v", err)
		}
	})
}

// No more than the permits are out, each goes to the next in the queue, and that
// of a dead holder comes back.
func TestPermits(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		c := open(t, url, redstart.Config{})
		l := locks(t, c, Config{Permits: 3})
		var out, most atomic.Int32
		var all sync.WaitGroup
		for range 12 {
			all.Go(func() {
				if err := l.Do(t.Context(), "p", func(context.Context) error {
					n := out.Add(1)
					for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
					}
					time.Sleep(5 * time.Millisecond)
					out.Add(-1)
					return nil
				}); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if most.Load() != 3 {
			t.Errorf("%d held at once", most.Load())
		}
		dead := &claim{lock: l, key: "lock:{p}", keys: keysOf("lock:{p}"), owner: "snobody." + lockOwner(l)}
		if a, err := dead.ask(t.Context(), false); err != nil || a.token == 0 {
			t.Fatal(a, err)
		}
		a, b := acquire(t, l, "p"), acquire(t, l, "p")
		if _, err := l.TryAcquire(t.Context(), "p"); !errors.Is(err, ErrHeld) {
			t.Fatalf("a fourth: %v", err)
		}
		release(t, acquire(t, l, "p"))
		release(t, a)
		release(t, b)
		if n, err := c.Do(t.Context(), c.B().Exists().Key(keysOf("lock:{p}")[1:]...).Build()).AsInt64(); err != nil || n != 0 {
			t.Errorf("%d keys are left, %v", n, err)
		}
	})
}
