package cache

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/redstarttest"
	"github.com/redstart-go/redstart/redstarttest/proxy"
)

// command runs one on the server, past every client.
func command(t *testing.T, s *redstarttest.Server, words ...string) {
	t.Helper()
	if _, err := s.Do(t.Context(), words...); err != nil {
		t.Fatalf("%v: %v", words, err)
	}
}

func TestServerThatRefusesWrites(t *testing.T) {
	for name, refuse := range map[string][]string{
		"full":      {"CONFIG", "SET", "maxmemory", "1"},
		"read-only": {"REPLICAOF", "127.0.0.1", "1"},
	} {
		t.Run(name, func(t *testing.T) {
			alone(t, func(t *testing.T, s *redstarttest.Server) { serverThatRefusesWrites(t, s, name, refuse) }) // configures it
		})
	}
}

func serverThatRefusesWrites(t *testing.T, s *redstarttest.Server, name string, refuse []string) {
	us := users(t, open(t, s.URL(), redstart.Config{}), fresh)
	if err := us.Set(t.Context(), 2, user{Name: "cached"}); err != nil {
		t.Fatal(err)
	}
	command(t, s, refuse...)
	if u, err := us.Get(t.Context(), 1); err != nil || u.Name != "fresh" {
		t.Errorf("a miss: Get = %+v, %v, want it loaded", u, err)
	}
	if u, err := us.Get(t.Context(), 2); err != nil || u.Name != "cached" {
		t.Errorf("a hit: Get = %+v, %v", u, err)
	}
	err := us.Set(t.Context(), 1, user{})
	want := map[string]error{"full": redstart.ErrFull, "read-only": redstart.ErrReadOnly}[name]
	if !errors.Is(err, want) || !errors.Is(err, redstart.ErrUnavailable) || redstart.OutcomeOf(err) != redstart.NotApplied {
		t.Errorf("Set = %v (%v), want %v", err, redstart.OutcomeOf(err), want)
	}
	if s := us.Stats(); s.Uncached != 1 {
		t.Errorf("Uncached = %d", s.Uncached)
	}
}

// While the server is away no more loads run at once than allowed, the rest
// fails at once, and after its return everything is as before.
func TestOutageBoundsLoads(t *testing.T) { alone(t, outageBoundsLoads) } // kills it

func outageBoundsLoads(t *testing.T, s *redstarttest.Server) {
	c := open(t, s.URL(), redstart.Config{OutageLoads: 3})
	var running, most atomic.Int64
	release := make(chan struct{})
	us := users(t, c, func(_ context.Context, id int) (user, error) {
		n := running.Add(1)
		defer running.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		<-release
		return user{ID: id}, nil
	})
	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	var served, rejected atomic.Int64
	for i := range 20 {
		wg.Go(func() {
			switch u, err := us.Get(t.Context(), i); {
			case err == nil && u.ID == i:
				served.Add(1)
			case errors.Is(err, redstart.ErrUnavailable) && redstart.OutcomeOf(err) == redstart.NotApplied:
				rejected.Add(1)
			default:
				t.Errorf("Get = %+v, %v", u, err)
			}
		})
	}
	redstarttest.Eventually(t, 20*time.Second, "3 loading and 17 rejected", func() bool { return rejected.Load() == 17 && running.Load() == 3 })
	close(release)
	wg.Wait()
	if served.Load() != 3 || most.Load() != 3 {
		t.Errorf("%d served, %d loads at once; want 3 and 3", served.Load(), most.Load())
	}
	if err := us.Invalidate(t.Context(), 1); err == nil || redstart.OutcomeOf(err) != redstart.NotApplied {
		t.Errorf("Invalidate without a server = %v (%v)", err, redstart.OutcomeOf(err))
	}
	if err := s.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	redstarttest.Eventually(t, 20*time.Second, "a cached value", func() bool {
		if _, err := us.Get(t.Context(), 1); err != nil {
			return false
		}
		_, ok, err := us.Peek(t.Context(), 1)
		return ok && err == nil
	})
}

func TestFrozenServerHoldsNobody(t *testing.T) { alone(t, frozenServerHoldsNobody) } // freezes it

func frozenServerHoldsNobody(t *testing.T, s *redstarttest.Server) {
	c := open(t, s.URL(), redstart.Config{Timeout: 400 * time.Millisecond, DialTimeout: 100 * time.Millisecond})
	us := users(t, c, fresh)
	if err := us.Set(t.Context(), 1, user{Name: "cached"}); err != nil {
		t.Fatal(err)
	}
	if err := s.Freeze(); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	got := ask(t.Context(), []*Cache[int, user]{us}, 30)
	took := time.Since(start)
	for _, o := range got {
		if o.err != nil && !errors.Is(o.err, redstart.ErrUnavailable) {
			t.Errorf("Get = %v", o.err)
		}
	}
	t.Logf("30 callers without a deadline were held %v by a frozen server (Timeout 400 ms)", took.Round(time.Millisecond))
	if took > 5*time.Second {
		t.Errorf("held for %v", took)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := us.Get(ctx, 2); err == nil && ctx.Err() != nil {
		t.Error("a Get past its deadline succeeded")
	}
	if err := s.Continue(); err != nil {
		t.Fatal(err)
	}
	redstarttest.Eventually(t, 20*time.Second, "the cached value", func() bool {
		u, ok, err := us.Peek(t.Context(), 1)
		return ok && err == nil && u.Name == "cached"
	})
}

func TestRestartFlushAndForgottenScripts(t *testing.T) { alone(t, restartFlushAndForgottenScripts) } // restarts it

func restartFlushAndForgottenScripts(t *testing.T, s *redstarttest.Server) {
	us := users(t, open(t, s.URL(), redstart.Config{}), fresh)
	for _, calamity := range []func(){
		func() { command(t, s, "SCRIPT", "FLUSH") },
		func() { command(t, s, "FLUSHALL") },
		func() {
			if err := errors.Join(s.Kill(), s.Restart(t.Context())); err != nil {
				t.Fatal(err)
			}
		},
	} {
		calamity()
		redstarttest.Eventually(t, 20*time.Second, "a loaded value", func() bool {
			u, err := us.Get(t.Context(), 1)
			return err == nil && u.Name == "fresh"
		})
		redstarttest.Eventually(t, 20*time.Second, "a cached value", func() bool {
			_, _ = us.Get(t.Context(), 1)
			_, ok, err := us.Peek(t.Context(), 1)
			return ok && err == nil
		})
		if err := us.Invalidate(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
	}
}

// Without tracking, here refused by an ACL, waiters poll.
func TestWithoutTracking(t *testing.T) {
	url := deaf(t, redstarttest.Run(t, redstarttest.ServerConfig{}))
	var loads atomic.Int64
	var caches []*Cache[int, user]
	caches = fleet(t, url, 3, func(context.Context, int) (user, error) {
		loads.Add(1)
		redstarttest.Eventually(t, 10*time.Second, "all callers wait", func() bool { return allAsked(caches, 15) })
		return user{Name: "once"}, nil
	})
	for _, o := range ask(t.Context(), caches, 5) {
		if o.err != nil || o.user.Name != "once" {
			t.Errorf("Get = %+v, %v", o.user, o.err)
		}
	}
	if n := loads.Load(); n != 1 {
		t.Errorf("%d loads", n)
	}
	for _, c := range caches {
		if c.waker.Tracking() {
			t.Error("tracking is up although the ACL refuses it")
		}
	}
}

// What a lost reply leaves behind is found again: the lease by its mark, the
// fill by its value.
func TestLostReplies(t *testing.T) { alone(t, lostReplies) } // a proxy stands before it

func lostReplies(t *testing.T, s *redstarttest.Server) {
	for _, lost := range []string{"SET", "EVALSHA", "EVAL", "GET"} {
		t.Run(lost, func(t *testing.T) {
			p, err := proxy.New(s.Addr())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(p.Close)
			us := users(t, open(t, p.URL(), redstart.Config{Namespace: lost}), fresh)
			if lost == "EVALSHA" { // so that the server knows the scripts
				_, _ = us.Get(t.Context(), 9)
			}
			if lost == "EVAL" { // so that it does not
				command(t, s, "SCRIPT", "FLUSH")
			}
			h := p.AddRule(proxy.Rule{Match: proxy.Named(lost), Nth: 1, Action: proxy.SwallowReply(proxy.CutConnection)})
			start := time.Now()
			if u, err := us.Get(t.Context(), 1); err != nil || u.Name != "fresh" {
				t.Errorf("Get = %+v, %v", u, err)
			}
			if h.Hits() == 0 {
				t.Fatal("no reply was lost")
			}
			if took := time.Since(start); took > defaultLease/2 {
				t.Errorf("a lost reply cost %v", took)
			}
			redstarttest.Eventually(t, 10*time.Second, "the entry", func() bool {
				_, _ = us.Get(t.Context(), 1)
				_, ok, err := us.Peek(t.Context(), 1)
				return ok && err == nil
			})
		})
	}
}

func TestCloseEndsLoads(t *testing.T) { onServers(t, closeEndsLoads) }

func closeEndsLoads(t *testing.T, url string) {
	other := open(t, url, redstart.Config{})
	c, err := redstart.Open(t.Context(), url, redstart.Config{})
	if err != nil {
		t.Fatal(err)
	}
	began := make(chan struct{})
	us := users(t, c, func(ctx context.Context, _ int) (user, error) {
		close(began)
		<-ctx.Done()
		return user{}, ctx.Err()
	})
	got := make(chan error, 1)
	go func() { _, err := us.Get(t.Context(), 1); got <- err }()
	<-began
	c.Close()
	if err := <-got; !errors.Is(err, redstart.ErrClosed) {
		t.Errorf("Get = %v", err)
	}
	if n, err := other.Do(t.Context(), other.B().Exists().Key("user:1").Build()).AsInt64(); err != nil || n != 0 {
		t.Errorf("the lease stayed behind: %v, %v", n, err)
	}
	if _, err := us.Get(t.Context(), 1); err == nil || errors.Is(err, redstart.ErrUnavailable) {
		t.Errorf("Get on a closed client = %v", err)
	}
}
