package cache

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/redstarttest"
	"github.com/redstart-go/redstart/redstarttest/proxy"
)

// through gives a client whose every byte passes a proxy.
func behind(t *testing.T, s *redstarttest.Server, cfg redstart.Config) (*proxy.Proxy, *redstart.Client) {
	t.Helper()
	p, err := proxy.New(s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p, open(t, p.URL(), cfg)
}

// A claim that the network delivers late, after its connection was lost, a
// second claim has been made and an invalidation has returned, must not let
// the load under way be stored.
func TestLateClaim(t *testing.T) { alone(t, lateClaim) } // a proxy stands before it

func lateClaim(t *testing.T, s *redstarttest.Server) {
	p, c := behind(t, s, redstart.Config{Timeout: 200 * time.Millisecond})
	var version atomic.Int64
	version.Store(1)
	began, release := make(chan struct{}, 8), make(chan struct{})
	a := users(t, c, func(context.Context, int) (user, error) {
		v := version.Load()
		began <- struct{}{}
		if v == 1 {
			<-release
		}
		return user{ID: int(v)}, nil
	})
	b := users(t, open(t, s.URL(), redstart.Config{}), fresh)

	late := p.AddRule(proxy.Rule{Match: proxy.Named("SET"), Nth: 1, Action: proxy.HoldRequest()})
	got := make(chan error, 1)
	go func() { _, err := a.Get(t.Context(), 1); got <- err }()
	if err := late.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	<-began // the client has given the first claim up; a second holds the lease, version 1 is being loaded
	version.Store(2)
	if err := b.Invalidate(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	late.Release()
	redstarttest.Eventually(t, 10*time.Second, "the late claim arrives", func() bool {
		n, err := s.Do(t.Context(), "EXISTS", "user:1")
		return err == nil && n == int64(1)
	})
	close(release)
	if err := <-got; err != nil {
		t.Errorf("the first caller got %v", err)
	}
	redstarttest.Eventually(t, 10*time.Second, "the fill to be refused", func() bool { return a.Stats().Refused == 1 })
	if u, ok, err := a.Peek(t.Context(), 1); ok {
		t.Errorf("cached after the invalidation: %+v, %v", u, err)
	}
}

// A caller who leaves while his claim is on its way leaves no lease behind.
func TestAbandonedClaim(t *testing.T) { alone(t, abandonedClaim) } // a proxy stands before it

func abandonedClaim(t *testing.T, s *redstarttest.Server) {
	p, c := behind(t, s, redstart.Config{})
	a := users(t, c, fresh)
	b := users(t, open(t, s.URL(), redstart.Config{}), fresh)
	h := p.AddRule(proxy.Rule{Match: proxy.Named("SET"), Nth: 1, Action: proxy.HoldReply()})
	ctx, cancel := context.WithCancel(t.Context())
	left := make(chan error, 1)
	go func() { _, err := a.Get(ctx, 1); left <- err }()
	if err := h.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Fatalf("Get = %v", err)
	}
	h.Release()
	start := time.Now()
	if u, err := b.Get(t.Context(), 1); err != nil || u.Name != "fresh" {
		t.Errorf("Get = %+v, %v", u, err)
	}
	if took := time.Since(start); took > defaultLease/2 {
		t.Errorf("an abandoned claim cost the next caller %v", took)
	}
}

func TestAdoptThatPanics(t *testing.T) { onServers(t, adoptThatPanics) }

func adoptThatPanics(t *testing.T, url string) {
	us := users(t, open(t, url, redstart.Config{}), fresh, func(cfg *Config[int, user]) {
		cfg.Adopt = func(raw []byte) (user, error) { return user{Name: string(raw[:100])}, nil }
	})
	put(t, us.client, "user:1", "short")
	if u, err := us.Get(t.Context(), 1); err != nil || u.Name != "fresh" {
		t.Errorf("Get = %+v, %v", u, err)
	}
}

// One lost connection is no outage: the read is sent again.
func TestLostReadIsRepeated(t *testing.T) { alone(t, lostReadIsRepeated) } // a proxy stands before it

func lostReadIsRepeated(t *testing.T, s *redstarttest.Server) {
	p, c := behind(t, s, redstart.Config{})
	us := users(t, c, fresh)
	if err := us.Set(t.Context(), 1, user{Name: "cached"}); err != nil {
		t.Fatal(err)
	}
	h := p.AddRule(proxy.Rule{Match: proxy.Named("GET"), Nth: 1, Action: proxy.SwallowReply(proxy.CutConnection)})
	if u, err := us.Get(t.Context(), 1); err != nil || u.Name != "cached" {
		t.Errorf("Get = %+v, %v", u, err)
	}
	if st := us.Stats(); h.Hits() != 1 || st.Uncached != 0 || st.Loads != 0 {
		t.Errorf("%d replies lost, %+v", h.Hits(), st)
	}
}

// Callers who share an answer do not share its memory.
func TestNobodySharesMemory(t *testing.T) { onServers(t, nobodySharesMemory) }

func nobodySharesMemory(t *testing.T, url string) {
	c := open(t, url, redstart.Config{})
	blobs, err := New(c, Config[int, []byte]{
		Key:      "blob:<id>",
		Adopt:    func(raw []byte) ([]byte, error) { return raw, nil },
		MaxBytes: 4,
		Load: func(context.Context, int) ([]byte, error) {
			time.Sleep(time.Millisecond)
			return []byte("too large"), nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	put(t, c, "blob:1", "adopted")
	for _, id := range []int{1, 2} {
		got := make(chan []byte, 32)
		for range cap(got) {
			go func() {
				v, err := blobs.Get(t.Context(), id)
				if err != nil {
					t.Error(err)
				}
				got <- v
			}()
		}
		for range cap(got) {
			v := <-got
			if string(v) != "adopted" && string(v) != "too large" {
				t.Fatalf("another caller's bytes: %q", v)
			}
			for i := range v {
				v[i] = 'x'
			}
		}
	}
}
