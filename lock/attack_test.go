package lock

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/redstarttest"
	"github.com/redstart-go/redstart/redstarttest/proxy"
)

// distant gives a client that is a round trip of rtt away from its server.
func distant(t *testing.T, s *redstarttest.Server, rtt time.Duration) *redstart.Client {
	t.Helper()
	p, err := proxy.New(s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	c := open(t, p.URL(), redstart.Config{DialTimeout: 5 * time.Second})
	p.Delay(rtt/2, rtt/2)
	return c
}

// A lease is kept by a holder who is far away, however short its beginning.
func TestFarAway(t *testing.T) {
	s := redstarttest.Run(t, redstarttest.ServerConfig{})
	for _, rtt := range []time.Duration{200 * time.Millisecond, 300 * time.Millisecond, 600 * time.Millisecond, 800 * time.Millisecond} {
		t.Run(rtt.String(), func(t *testing.T) {
			t.Parallel()
			l := locks(t, distant(t, s, rtt), Config{})
			err := l.Do(t.Context(), rtt.String(), func(ctx context.Context) error {
				select {
				case <-ctx.Done():
					return context.Cause(ctx)
				case <-time.After(3 * time.Second):
					return nil
				}
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
}

// A try at a server that does not answer ends by itself.
func TestTryFrozen(t *testing.T) {
	s := redstarttest.Run(t, redstarttest.ServerConfig{})
	l := locks(t, open(t, s.URL(), redstart.Config{Timeout: 200 * time.Millisecond}), Config{})
	release(t, acquire(t, l, "t"))
	if err := s.Freeze(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() { _, err := l.TryAcquire(ctx, "t"); done <- err }()
	select {
	case err := <-done:
		if err == nil || errors.Is(err, ErrHeld) {
			t.Errorf("TryAcquire: %v", err)
		}
	case <-time.After(5 * time.Second):
		t.Error("TryAcquire still tries after 25 times Config.Timeout")
		cancel()
		<-done
	}
	if err := s.Continue(); err != nil {
		t.Fatal(err)
	}
}

// A function of Do that takes its time to end when its caller has gone has the
// lock until it returns.
func TestDoIsHeldUntilItReturns(t *testing.T) {
	s := redstarttest.Run(t, redstarttest.ServerConfig{})
	l := locks(t, open(t, s.URL(), redstart.Config{}), Config{Lease: 500 * time.Millisecond})
	other := locks(t, open(t, s.URL(), redstart.Config{}), Config{Lease: 500 * time.Millisecond})
	ctx, cancel := context.WithCancel(t.Context())
	err := l.Do(ctx, "d", func(ctx context.Context) error {
		cancel()
		<-ctx.Done()
		for end := time.Now().Add(2 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
			if lease, err := other.TryAcquire(t.Context(), "d"); !errors.Is(err, ErrHeld) {
				_ = lease.Release(t.Context())
				return errors.New("another got the lock before the function had returned")
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// A server without memory still takes locks back, and still renews them.
func TestOutOfMemory(t *testing.T) {
	s := redstarttest.Run(t, redstarttest.ServerConfig{})
	l := locks(t, open(t, s.URL(), redstart.Config{}), Config{Lease: time.Second})
	lease, kept := acquire(t, l, "o"), acquire(t, l, "k")
	command(t, s, "CONFIG", "SET", "maxmemory", "1")
	if err := lease.Release(t.Context()); err != nil {
		t.Errorf("Release: %v", err)
	}
	select {
	case <-kept.Context().Done():
		t.Errorf("the lease ended: %v", context.Cause(kept.Context()))
	case <-time.After(2 * time.Second):
	}
}
