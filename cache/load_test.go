package cache

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/redstarttest"
)

// outcome is what a caller got, panics included.
type outcome struct {
	user  user
	err   error
	panic any
}

// ask runs n callers at once on each cache and gives what they got.
func ask(ctx context.Context, caches []*Cache[int, user], n int) []outcome {
	got := make([]outcome, n*len(caches))
	var wg sync.WaitGroup
	for i := range got {
		wg.Go(func() {
			defer func() { got[i].panic = recover() }()
			got[i].user, got[i].err = caches[i%len(caches)].Get(ctx, 1)
		})
	}
	wg.Wait()
	return got
}

// fleet is several caches as several processes have them.
func fleet(t *testing.T, url string, n int, load func(context.Context, int) (user, error), change ...func(*Config[int, user])) []*Cache[int, user] {
	t.Helper()
	caches := make([]*Cache[int, user], n)
	for i := range caches {
		caches[i] = users(t, open(t, url, redstart.Config{}), load, change...)
	}
	return caches
}

// allAsked reports whether n callers have missed, so that a load that waits
// for it is one that all of them wait for.
func allAsked(caches []*Cache[int, user], n int) bool {
	var waiting uint64
	for _, c := range caches {
		s := c.Stats()
		waiting += s.Misses
	}
	return waiting >= uint64(n)
}

func TestErrorIsShared(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		boom := errors.New("boom")
		var loads atomic.Int64
		var caches []*Cache[int, user]
		caches = fleet(t, url, 2, func(context.Context, int) (user, error) {
			loads.Add(1)
			redstarttest.Eventually(t, 10*time.Second, "all callers wait", func() bool { return allAsked(caches, 20) })
			return user{}, boom
		})
		own := 0
		for _, o := range ask(t.Context(), caches, 10) {
			switch {
			case errors.Is(o.err, boom):
				own++
			case !errors.Is(o.err, ErrLoad):
				t.Errorf("Get = %v, want the load's error or ErrLoad", o.err)
			}
			if redstart.OutcomeOf(o.err) != redstart.NotApplied {
				t.Errorf("OutcomeOf(%v) = %v", o.err, redstart.OutcomeOf(o.err))
			}
		}
		if own != 10 || loads.Load() != 1 {
			t.Errorf("%d callers got the error itself, %d loads; want 10 and 1", own, loads.Load())
		}
	})
}

func TestPanicGoesToItsCallerOnly(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		var caches []*Cache[int, user]
		caches = fleet(t, url, 2, func(context.Context, int) (user, error) {
			redstarttest.Eventually(t, 10*time.Second, "all callers wait", func() bool { return allAsked(caches, 20) })
			panic("kaboom")
		})
		start := time.Now()
		panics := 0
		for _, o := range ask(t.Context(), caches, 10) {
			switch {
			case o.panic != nil:
				panics++
				if p, ok := o.panic.(error); !ok || !errors.Is(p, ErrPanic) || !strings.Contains(p.Error(), "kaboom") || !strings.Contains(p.Error(), "load_test.go") {
					t.Errorf("panic value %v does not tell what and where", o.panic)
				}
			case !errors.Is(o.err, ErrPanic) && !errors.Is(o.err, ErrLoad):
				t.Errorf("Get = %v", o.err)
			}
		}
		if panics != 1 {
			t.Errorf("%d callers panicked, want the one that began the load", panics)
		}
		if took := time.Since(start); took > defaultLease {
			t.Errorf("a panic cost the waiters %v", took)
		}
	})
}

func TestGoexitIsAnError(t *testing.T) { onServers(t, goexitIsAnError) }

func goexitIsAnError(t *testing.T, url string) {
	us := users(t, open(t, url, redstart.Config{}), func(context.Context, int) (user, error) {
		runtime.Goexit()
		return user{}, nil
	})
	if _, err := us.Get(t.Context(), 1); !errors.Is(err, ErrPanic) {
		t.Errorf("Get = %v, want ErrPanic", err)
	}
}

func TestHangingLoadIsGivenUp(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		hang := make(chan struct{})
		defer close(hang)
		var first atomic.Bool
		caches := fleet(t, url, 2, func(context.Context, int) (user, error) {
			if first.CompareAndSwap(false, true) {
				<-hang // deaf to its context
			}
			return user{Name: "second"}, nil
		}, func(cfg *Config[int, user]) {
			cfg.LoadTimeout, cfg.ErrorTTL = 200*time.Millisecond, 50*time.Millisecond
		})
		for _, o := range ask(t.Context(), caches, 5) {
			if !errors.Is(o.err, ErrLoadTimeout) && !errors.Is(o.err, ErrLoad) {
				t.Errorf("Get = %+v, %v", o.user, o.err)
			}
		}
		redstarttest.Eventually(t, 5*time.Second, "the next load", func() bool {
			u, err := caches[0].Get(t.Context(), 1)
			return err == nil && u.Name == "second"
		})
	})
}

func TestCancelledCallerHarmsNobody(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		release, began := make(chan struct{}), make(chan struct{})
		us := fleet(t, url, 1, func(ctx context.Context, _ int) (user, error) {
			close(began)
			select {
			case <-release:
				return user{Name: "whole"}, nil
			case <-ctx.Done():
				return user{}, ctx.Err()
			}
		})[0]
		ctx, cancel := context.WithCancel(t.Context())
		leader := make(chan error, 1)
		go func() { _, err := us.Get(ctx, 1); leader <- err }()
		<-began
		rest := make(chan []outcome, 1)
		go func() { rest <- ask(t.Context(), []*Cache[int, user]{us}, 10) }()
		redstarttest.Eventually(t, 10*time.Second, "all callers wait", func() bool { return us.Stats().Joined >= 1 && us.Stats().Misses >= 2 })
		cancel()
		if err := <-leader; !errors.Is(err, context.Canceled) {
			t.Errorf("the cancelled caller got %v", err)
		}
		close(release)
		for _, o := range <-rest {
			if o.err != nil || o.user.Name != "whole" {
				t.Errorf("Get = %+v, %v", o.user, o.err)
			}
		}
	})
}

// A load that all callers have left still fills the cache.
func TestAbandonedLoadFills(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		release, began := make(chan struct{}), make(chan struct{})
		us := fleet(t, url, 1, func(context.Context, int) (user, error) {
			close(began)
			<-release
			return user{Name: "late"}, nil
		})[0]
		ctx, cancel := context.WithCancel(t.Context())
		go func() { <-began; cancel() }()
		if _, err := us.Get(ctx, 1); !errors.Is(err, context.Canceled) {
			t.Fatalf("Get = %v", err)
		}
		close(release)
		redstarttest.Eventually(t, 10*time.Second, "the entry", func() bool {
			u, ok, err := us.Peek(t.Context(), 1)
			return ok && err == nil && u.Name == "late"
		})
	})
}

// The schedule that leaves a stale value behind where the lease is a
// process's and not an attempt's: A loads v1; v2 is committed and the key
// deleted; B, in the same process, loads v2; A finishes.
func TestStaleFillInOneProcess(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		var version atomic.Int64
		version.Store(1)
		began, release := make(chan struct{}), make(chan struct{})
		us := fleet(t, url, 1, func(context.Context, int) (user, error) {
			v := version.Load()
			if v == 1 {
				close(began)
				<-release
			}
			return user{ID: int(v)}, nil
		})[0]
		a := make(chan user, 1)
		go func() { u, _ := us.Get(t.Context(), 1); a <- u }()
		<-began
		version.Store(2)
		if err := us.Invalidate(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		if u, err := us.Get(t.Context(), 1); err != nil || u.ID != 2 {
			t.Errorf("B got %+v, %v", u, err)
		}
		close(release)
		<-a // may be 1: it asked before
		redstarttest.Eventually(t, 10*time.Second, "A's fill to be refused", func() bool { return us.Stats().Refused == 1 })
		if u, ok, err := us.Peek(t.Context(), 1); !ok || err != nil || u.ID != 2 {
			t.Errorf("cached afterwards: %+v, %v, %v", u, ok, err)
		}
	})
}

// A foreign DEL while callers wait: those who asked before it may have the old
// value, everyone who asks after it gets the new one, nobody waits for ever.
func TestForeignDelWhileCallersWait(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		raw := open(t, url, redstart.Config{})
		var version atomic.Int64
		version.Store(1)
		began, release := make(chan struct{}), make(chan struct{})
		caches := fleet(t, url, 2, func(context.Context, int) (user, error) {
			v := version.Load()
			if v == 1 {
				close(began)
				<-release
			}
			return user{ID: int(v)}, nil
		})
		early := make(chan []outcome, 1)
		go func() { early <- ask(t.Context(), caches, 5) }()
		<-began
		redstarttest.Eventually(t, 10*time.Second, "all callers wait", func() bool { return allAsked(caches, 10) })
		version.Store(2)
		if err := raw.Do(t.Context(), raw.B().Del().Key("user:1").Build()).Error(); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		late := make(chan []outcome, 1)
		go func() { late <- ask(ctx, caches, 5) }()
		redstarttest.Eventually(t, 10*time.Second, "those who ask later have looked", func() bool {
			var looks uint64 // who waits elsewhere may have loaded anew already
			for _, c := range caches {
				s := c.Stats()
				looks += s.Hits + s.Misses
			}
			return looks >= 20
		})
		close(release)
		for _, o := range <-late {
			if o.err != nil || o.user.ID != 2 {
				t.Errorf("asked after the DEL: %+v, %v", o.user, o.err)
			}
		}
		for _, o := range <-early {
			if o.err != nil {
				t.Errorf("asked before the DEL: %v", o.err)
			}
		}
	})
}
