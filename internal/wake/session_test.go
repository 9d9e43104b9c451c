package wake

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/redstarttest"
	"github.com/redstart-go/redstart/redstarttest/proxy"
)

// told collects what a session tells.
type told struct {
	mu   sync.Mutex
	keys []string
	all  int
}

func (t *told) add(keys []string, all bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.keys = append(t.keys, keys...)
	if all {
		t.all++
	}
}

func (t *told) of(key string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Contains(t.keys, key)
}

func (t *told) everything() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.all
}

func ping(t *testing.T, s *Session) {
	t.Helper()
	if err := s.conn.Do(t.Context(), s.conn.B().Ping().Build()).Error(); err != nil {
		t.Fatal(err)
	}
}

func opened(t *testing.T, at Node, tr Tracking) *Session {
	t.Helper()
	s, err := Open(t.Context(), at, tr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// A session tells what it was asked to tell, before the answer to any later
// command, and nothing else.
func TestSessionTells(t *testing.T) {
	server := redstarttest.Run(t, redstarttest.ServerConfig{})
	c, other := open(t, server.URL()), open(t, server.URL())
	write := func(key string) {
		t.Helper()
		if err := other.Do(t.Context(), other.B().Set().Key(key).Value("x").Build()).Error(); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("of keys read", func(t *testing.T) {
		var got told
		s := opened(t, c, Tracking{Told: got.add})
		write("read")
		if v, err := s.Get(t.Context(), "read").ToString(); v != "x" || err != nil {
			t.Fatalf("Get = %q, %v", v, err)
		}
		if err := s.Get(t.Context(), "none").Error(); !rueidis.IsRedisNil(err) {
			t.Fatalf("Get of nothing = %v", err)
		}
		for _, k := range []string{"other", "read", "none"} {
			write(k)
		}
		redstarttest.Eventually(t, 10*time.Second, "two keys told", func() bool { return got.of("read") && got.of("none") })
		write("read") // told once; to be told again it must be read again
		ping(t, s)
		if want := []string{"read", "none"}; !slices.Equal(got.keys, want) {
			t.Errorf("told %v, want %v", got.keys, want)
		}
	})
	t.Run("by prefix", func(t *testing.T) {
		var got told
		s := opened(t, c, Tracking{Prefixes: []string{"a:", "b:"}, Told: got.add})
		for _, k := range []string{"a:1", "c:1", "b:1", "a:1"} {
			write(k)
		}
		if v, err := s.Get(t.Context(), "c:1").ToString(); v != "x" || err != nil {
			t.Fatalf("Get = %q, %v", v, err)
		}
		write("c:1")
		redstarttest.Eventually(t, 10*time.Second, "both prefixes told", func() bool { return got.of("a:1") && got.of("b:1") })
		ping(t, s)
		if got.of("c:1") {
			t.Error("told of a key without a prefix")
		}
	})
	t.Run("of a flush", func(t *testing.T) {
		var got told
		s := opened(t, c, Tracking{Told: got.add})
		if _, err := server.Do(t.Context(), "FLUSHALL"); err != nil {
			t.Fatal(err)
		}
		ping(t, s)
		redstarttest.Eventually(t, 10*time.Second, "everything told", func() bool { return got.everything() == 1 })
	})
}

func TestSessionRefused(t *testing.T) {
	server := redstarttest.Run(t, redstarttest.ServerConfig{})
	if _, err := server.Do(t.Context(), "ACL", "SETUSER", "default", "-client|tracking"); err != nil {
		t.Fatal(err)
	}
	c := open(t, server.URL())
	_, err := Open(t.Context(), c, Tracking{Told: func([]string, bool) {}})
	if reply, ok := rueidis.IsRedisErr(err); !ok || redstart.Away(reply) {
		t.Errorf("Open = %v", err)
	}
}

// With no connection to be had, Open waits as long as its caller does.
func TestSessionWaitsForItsConnection(t *testing.T) {
	server := redstarttest.Run(t, redstarttest.ServerConfig{})
	c, err := redstart.Open(t.Context(), server.URL(), redstart.Config{BlockingPool: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	for range 2 { // the pool's one and the one for tracking
		_, release := c.Dedicate()
		defer release()
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := Open(ctx, c, Tracking{Told: func([]string, bool) {}}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Open = %v", err)
	}
}

// A lost connection is told as everything, and every receiver of Lost hears it.
func TestSessionLost(t *testing.T) {
	server := redstarttest.Run(t, redstarttest.ServerConfig{})
	p, err := proxy.New(server.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	c := open(t, p.URL())
	var got told
	s := opened(t, c, Tracking{Told: got.add})
	if p.ResetMatching(func(i proxy.ConnInfo) bool { return i.Tracking }) != 1 {
		t.Fatal("the tracking connection was not found")
	}
	for range 3 {
		select {
		case <-s.Lost():
		case <-t.Context().Done():
			t.Fatal("not lost")
		}
	}
	redstarttest.Eventually(t, 10*time.Second, "everything told", func() bool { return got.everything() > 0 })
	if err := s.Get(t.Context(), "k").Error(); err == nil {
		t.Error("Get on a lost session succeeded")
	}
}

// A heartbeat never promises more than the node has told: all that happened
// before the question before the one that was answered. A frozen node promises
// nothing, and the session ends.
func TestHeartbeat(t *testing.T) {
	server := redstarttest.Run(t, redstarttest.ServerConfig{})
	c, err := redstart.Open(t.Context(), server.URL(), redstart.Config{Timeout: 400 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	other := open(t, server.URL())
	var got told
	asked := time.Now()
	s := opened(t, c, Tracking{Prefixes: []string{"k"}, Told: got.add})
	ready := time.Now()
	beats, ended := make(chan time.Time), make(chan struct{})
	go func() {
		defer close(ended)
		s.Heartbeat(t.Context(), time.Millisecond, func(told time.Time) {
			select {
			case beats <- told:
			case <-t.Context().Done():
			}
		})
	}()
	if first := <-beats; first.Before(asked) || first.After(ready) {
		t.Errorf("the first answer speaks of %v, the session was asked for between %v and %v", first, asked, ready)
	}
	for range 200 {
		set(t, other, "x")
		changed := time.Now()
		for told := range beats {
			if told.After(changed) {
				break
			}
		}
		if !got.of("k") {
			t.Fatal("the heartbeat promised what had not been told")
		}
		got.mu.Lock()
		got.keys = nil
		got.mu.Unlock()
	}
	if err := server.Freeze(); err != nil {
		t.Fatal(err)
	}
	frozen := time.Now()
	for {
		select {
		case told := <-beats:
			if told.After(frozen) {
				t.Error("a frozen server's heartbeat")
			}
			continue
		case <-ended:
		}
		break
	}
	redstarttest.Eventually(t, 10*time.Second, "the session is lost", func() bool {
		select {
		case <-s.Lost():
			return true
		default:
			return false
		}
	})
	if err := server.Continue(); err != nil {
		t.Fatal(err)
	}
}
