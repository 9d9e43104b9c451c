package lock

import (
	"context"
	"errors"
	"strconv"
	"testing"
	"time"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/redstarttest"
	"github.com/redstart-go/redstart/redstarttest/proxy"
)

const shortLease = 300 * time.Millisecond

// ended waits for the end of a lease's context, and gives its cause.
func ended(t *testing.T, lease *Lease) error {
	t.Helper()
	select {
	case <-lease.Context().Done():
		return context.Cause(lease.Context())
	case <-time.After(20 * time.Second):
		t.Fatal("the lease's context does not end")
		return nil
	}
}

// Anyone's DEL ends a lease: its context soon, its Release says so and takes
// nothing from the next holder.
func TestDeleted(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		c := open(t, url, redstart.Config{})
		l := locks(t, c, Config{Lease: shortLease})
		lease := acquire(t, l, "d")
		k, _ := l.template.Key("d")
		if err := c.Do(t.Context(), c.B().Del().Key(k).Build()).Error(); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the clock goes on, that of the embedded server in steps", func() bool {
			now, err := c.Do(t.Context(), c.B().Time().Build()).AsIntSlice()
			return err == nil && now[0]*1_000_000+now[1] > lease.Token()
		})
		next := acquire(t, locks(t, c, Config{}), "d")
		if next.Token() <= lease.Token() {
			t.Errorf("token %d after %d and a lost counter", next.Token(), lease.Token())
		}
		if err := ended(t, lease); !errors.Is(err, ErrLost) {
			t.Errorf("the context ended with %v", err)
		}
		if err := lease.Extend(t.Context()); !errors.Is(err, ErrLost) {
			t.Errorf("Extend: %v", err)
		}
		if err := lease.Release(t.Context()); !errors.Is(err, ErrLost) || redstart.OutcomeOf(err) != redstart.NotApplied {
			t.Errorf("Release: %v", err)
		}
		if _, err := l.TryAcquire(t.Context(), "d"); !errors.Is(err, ErrHeld) {
			t.Errorf("after it the other's lock: %v", err)
		}
		if err := next.Extend(t.Context()); err != nil {
			t.Error(err)
		}
		// A release that comes before the renewal finds out by itself.
		other := acquire(t, l, "e")
		k, _ = l.template.Key("e")
		if err := c.Do(t.Context(), c.B().Del().Key(k).Build()).Error(); err != nil {
			t.Fatal(err)
		}
		if err := other.Release(t.Context()); !errors.Is(err, ErrLost) {
			t.Errorf("Release: %v", err)
		}
		release(t, next)
	})
}

// A living holder keeps the lock for many times its lease, over the first, short
// one too; a dead one, or one that never heard of his grant, costs no more than
// that.
func TestKeptAndDead(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		c := open(t, url, redstart.Config{})
		l := locks(t, c, Config{Lease: time.Second})
		lease := acquire(t, l, "k")
		began := time.Now()
		for time.Since(began) < 2*time.Second {
			if _, err := l.TryAcquire(t.Context(), "k"); !errors.Is(err, ErrHeld) {
				t.Fatalf("TryAcquire: %v", err)
			}
			if !sleep(lease.Context(), 20*time.Millisecond) {
				t.Fatal(context.Cause(lease.Context()))
			}
		}
		release(t, lease)

		long := locks(t, c, Config{Lease: time.Hour})
		k, _ := l.template.Key("k")
		dead := func() *claim {
			return &claim{lock: long, key: k, keys: keysOf(k), owner: "xnobody." + lockOwner(long)}
		}
		holder, waiter := dead(), dead()
		if a, err := holder.ask(t.Context(), false); err != nil || a.token == 0 {
			t.Fatal(a, err)
		}
		if a, err := waiter.ask(t.Context(), true); err != nil || a.token != 0 || a.rank != 0 {
			t.Fatal(a, err)
		}
		began = time.Now()
		release(t, acquire(t, long, "k"))
		if took := time.Since(began); took > 4*atFirst {
			t.Errorf("a dead holder and a dead waiter cost %v", took)
		}
	})
}

func lockOwner(l *Lock) string { return l.inbox.owner(single)[1:] }

// The holder's context ends while the server is frozen, and Release says that the
// lease was lost.
func TestFrozenServer(t *testing.T) {
	onServer(t, func(t *testing.T, s *redstarttest.Server) {
		c := open(t, s.URL(), redstart.Config{Timeout: 200 * time.Millisecond})
		l := locks(t, c, Config{Lease: shortLease})
		lease := acquire(t, l, "f")
		if err := s.Freeze(); err != nil {
			t.Fatal(err)
		}
		err := ended(t, lease)
		if err2 := s.Continue(); err2 != nil {
			t.Fatal(err2)
		}
		if !errors.Is(err, ErrLost) {
			t.Errorf("the context ended with %v", err)
		}
		if err := lease.Release(t.Context()); !errors.Is(err, ErrLost) {
			t.Errorf("Release: %v", err)
		}
	})
}

// After a freeze Err tells the end before any timer has.
func TestErrLooksAtTheClock(t *testing.T) {
	c := open(t, redstarttest.Run(t, redstarttest.ServerConfig{}).URL(), redstart.Config{})
	l := locks(t, c, Config{})
	lease := acquire(t, l, "e")
	lease.mu.Lock()
	lease.ends = time.Now()
	lease.mu.Unlock()
	if err := lease.Context().Err(); !errors.Is(err, context.Canceled) || !errors.Is(context.Cause(lease.Context()), ErrLost) {
		t.Fatalf("Err %v, cause %v", err, context.Cause(lease.Context()))
	}
	if err := lease.Release(t.Context()); !errors.Is(err, ErrLost) {
		t.Errorf("Release: %v", err)
	}
}

// through gives a client whose every byte passes a proxy.
func through(t *testing.T, s *redstarttest.Server, cfg redstart.Config) (*proxy.Proxy, *redstart.Client) {
	t.Helper()
	p, err := proxy.New(s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p, open(t, p.URL(), cfg)
}

// A lost reply leaves no orphan: whoever asks again has the lease that he was
// granted, whoever releases again is told that it is done, and whoever gave up
// has given it back.
func TestLostReplies(t *testing.T) {
	onServer(t, func(t *testing.T, s *redstarttest.Server) {
		p, c := through(t, s, redstart.Config{})
		direct := locks(t, open(t, s.URL(), redstart.Config{}), Config{})
		l := locks(t, c, Config{})
		release(t, acquire(t, l, "l")) // the scripts are known
		lose := func() *proxy.Handle {
			return p.AddRule(proxy.Rule{Match: proxy.Named("EVALSHA"), Nth: 1, Action: proxy.SwallowReply(proxy.CutConnection)})
		}
		for _, take := range []func(context.Context, string) (*Lease, error){l.Acquire, l.TryAcquire, l.AcquireShared, l.TryAcquireShared} {
			h := lose()
			lease, err := take(t.Context(), "l")
			if err != nil || h.Hits() != 1 {
				t.Fatalf("%v after %d lost replies", err, h.Hits())
			}
			h.Remove()
			h = lose()
			if err := lease.Release(t.Context()); err != nil || h.Hits() != 1 {
				t.Fatalf("Release: %v after %d lost replies", err, h.Hits())
			}
			h.Remove()
			next, err := direct.TryAcquire(t.Context(), "l")
			if err != nil {
				t.Fatalf("after the release: %v", err)
			}
			release(t, next)
		}
		// The reply is held back until the caller has gone.
		h := p.AddRule(proxy.Rule{Match: proxy.Named("EVALSHA"), Nth: 1, Action: proxy.HoldReply()})
		ctx, cancel := context.WithCancel(t.Context())
		gone := make(chan error)
		go func() {
			_, err := l.Acquire(ctx, "l")
			gone <- err
		}()
		if err := h.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		cancel()
		if err := <-gone; !errors.Is(err, context.Canceled) || redstart.OutcomeOf(err) != redstart.Unknown {
			t.Fatalf("Acquire: %v", err)
		}
		h.Release()
		began := time.Now()
		release(t, acquire(t, direct, "l"))
		t.Logf("free again after %v", time.Since(began))
		if took := time.Since(began); took > 2*atFirst {
			t.Errorf("an orphan stood for %v", took)
		}
	})
}

// The release of whoever is waited for reaches the waiter although his
// subscription was cut, or is dead without his knowing.
func TestLostMessages(t *testing.T) {
	onServer(t, func(t *testing.T, s *redstarttest.Server) {
		c := open(t, s.URL(), redstart.Config{})
		holder := locks(t, open(t, s.URL(), redstart.Config{}), Config{})
		l := locks(t, c, Config{})
		pass := func() time.Duration {
			lease := acquire(t, holder, "m")
			got := make(chan error)
			go func() { got <- l.Do(t.Context(), "m", func(context.Context) error { return nil }) }()
			eventually(t, "it waits, and hears", func() bool { return queued(t, c, l, "m") == 1 && l.inbox.hears() })
			began := time.Now()
			release(t, lease)
			if err := <-got; err != nil {
				t.Fatal(err)
			}
			return time.Since(began)
		}
		t.Logf("by message %v", pass())
		for range missedMost + 1 {
			command(t, s, "CLIENT", "KILL", "TYPE", "pubsub")
			if took := pass(); took > 2*pollCap {
				t.Errorf("a cut subscription cost %v", took)
			}
		}
		// Nothing arrives any more, and nobody says so.
		address := l.inbox.address
		dead := func() {
			l.inbox.mu.Lock()
			defer l.inbox.mu.Unlock()
			l.inbox.address = "elsewhere"
		}
		dead()
		for range missedMost {
			if took := pass(); took > 2*pollCap {
				t.Errorf("a dead subscription cost %v", took)
			}
		}
		l.inbox.mu.Lock()
		if l.inbox.up && l.inbox.missed >= missedMost {
			t.Error("it is still believed in")
		}
		l.inbox.address = address
		l.inbox.mu.Unlock()
	})
}

// hears reports whether messages arrive.
func (b *inbox) hears() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.up
}

// Closing the client ends what waits and what holds.
func TestClose(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		c, other := open(t, url, redstart.Config{}), open(t, url, redstart.Config{})
		l := locks(t, c, Config{Lease: shortLease})
		lease := acquire(t, l, "mine")
		theirs := acquire(t, locks(t, other, Config{}), "c")
		waited := make(chan error)
		go func() {
			_, err := l.Acquire(t.Context(), "c")
			waited <- err
		}()
		eventually(t, "one waits", func() bool { return queued(t, other, l, "c") == 1 })
		c.Close()
		defer release(t, theirs)
		if err := <-waited; !errors.Is(err, redstart.ErrClosed) {
			t.Errorf("Acquire: %v", err)
		}
		if err := ended(t, lease); !errors.Is(err, ErrLost) {
			t.Errorf("the context ended with %v", err)
		}
		if err := lease.Release(t.Context()); !errors.Is(err, ErrLost) {
			t.Errorf("Release: %v", err)
		}
	})
}

// By the server's own clock the holder's context ends before the lease does, when
// the holder is cut off from it.
func TestEndsBefore(t *testing.T) {
	s := redstarttest.Run(t, redstarttest.ServerConfig{})
	p, c := through(t, s, redstart.Config{Timeout: 200 * time.Millisecond})
	defer p.Heal()
	lease := acquire(t, locks(t, c, Config{Lease: 3 * time.Second}), "b")
	if err := lease.Extend(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.Blackhole(proxy.BothWays)
	lease.mu.Lock()
	due := lease.ends
	lease.mu.Unlock()
	lateness := make(chan time.Duration, 1) // the control: how late a timer is here and now
	time.AfterFunc(time.Until(due), func() { lateness <- time.Since(due) })
	cause := ended(t, lease)
	direct := open(t, s.URL(), redstart.Config{})
	results := direct.DoMulti(t.Context(), direct.B().Time().Build(), direct.B().Get().Key("lock:{b}").Build())
	now, err := results[0].AsIntSlice()
	if err != nil {
		t.Fatal(err)
	}
	state, err := results[1].ToString()
	if err != nil {
		t.Fatal(err)
	}
	till, err := strconv.ParseInt(state[19:35], 10, 64)
	left := time.Duration(till-now[0]*1_000_000-now[1]) * time.Microsecond
	late := <-lateness
	t.Logf("%v before the lease; a bare timer was %v late", left, late)
	if err != nil || !errors.Is(cause, ErrLost) || left <= min(0, -3*late) {
		t.Errorf("the context ended %v before the lease, with %v, %v", left, cause, err)
	}
}
