package wake

import (
	"context"
	"errors"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/embedded"
	"github.com/redstart-go/redstart/redstarttest"
	"github.com/redstart-go/redstart/redstarttest/proxy"
)

// The inner client leaves goroutines behind that only sleep, for five seconds at
// most: they close connections to nodes that left a cluster, and ask for its
// slots after a pause.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("github.com/redis/rueidis.(*clusterClient)._refresh.func2"),
		goleak.IgnoreAnyFunction("github.com/redis/rueidis.(*clusterClient).redirectOrNew.func1"),
		goleak.IgnoreAnyFunction("github.com/redis/rueidis.(*call).DelayDo.func1"))
}

func open(t *testing.T, url string) *redstart.Client {
	t.Helper()
	c, err := redstart.Open(context.Background(), url, redstart.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func set(t *testing.T, c *redstart.Client, v string) {
	t.Helper()
	if err := c.Do(t.Context(), c.B().Set().Key("k").Value(v).Build()).Error(); err != nil {
		t.Fatal(err)
	}
}

func is(v string) func([]byte) bool { return func(now []byte) bool { return string(now) == v } }

// sleep starts a sleeper and returns once it lies down.
func sleep(ctx context.Context, t *testing.T, w *Waker, v string) <-chan error {
	t.Helper()
	done := make(chan error, 1)
	looked := make(chan struct{}, 64)
	go func() {
		done <- w.Wait(ctx, "k", func(now []byte) bool {
			select {
			case looked <- struct{}{}:
			default:
			}
			return string(now) == v
		})
	}()
	select {
	case <-looked:
	case err := <-done:
		done <- err
	}
	return done
}

// connected brings the tracking connection up.
func connected(t *testing.T, w *Waker) {
	t.Helper()
	redstarttest.Eventually(t, 10*time.Second, "tracking", func() bool {
		w.sessionFor("k")
		return w.Tracking()
	})
}

func TestPushWakes(t *testing.T) {
	s := redstarttest.Run(t, redstarttest.ServerConfig{})
	c, other := open(t, s.URL()), open(t, s.URL())
	w := Of(c)
	if Of(c) != w {
		t.Fatal("two Wakers for a client")
	}
	connected(t, w)
	for name, change := range map[string]func(){
		"overwritten": func() { set(t, other, "y") },
		"deleted":     func() { other.Do(t.Context(), other.B().Del().Key("k").Build()) },
		"flushed":     func() { _, _ = s.Do(t.Context(), "FLUSHALL") },
		"expires":     func() { other.Do(t.Context(), other.B().Pexpire().Key("k").Milliseconds(1).Build()) },
	} {
		t.Run(name, func(t *testing.T) {
			set(t, other, "x")
			done := sleep(t.Context(), t, w, "x")
			change()
			if err := <-done; err != nil {
				t.Errorf("Wait = %v", err)
			}
		})
	}
	if len(w.sleepers) != 0 {
		t.Errorf("%d keys are still slept on", len(w.sleepers))
	}
}

// What changed before the server was asked to tell is seen at once.
func TestChangedBefore(t *testing.T) {
	s := redstarttest.Run(t, redstarttest.ServerConfig{})
	w := Of(open(t, s.URL()))
	connected(t, w)
	if err := w.Wait(t.Context(), "k", is("x")); err != nil {
		t.Errorf("Wait = %v", err)
	}
}

// A lost connection wakes everyone; a push that never comes, here since the
// server was told to stop, costs the poll.
func TestPushThatNeverComes(t *testing.T) {
	s := redstarttest.Run(t, redstarttest.ServerConfig{})
	p, err := proxy.New(s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	c, other := open(t, p.URL()), open(t, s.URL())
	w := Of(c)
	connected(t, w)

	set(t, other, "x")
	_, lost := w.sessionFor("k")
	done := sleep(t.Context(), t, w, "x")
	if p.ResetMatching(func(i proxy.ConnInfo) bool { return i.Tracking }) != 1 {
		t.Fatal("the tracking connection was not found")
	}
	if err := <-done; err != nil {
		t.Errorf("Wait = %v", err)
	}

	var session *Session
	redstarttest.Eventually(t, 10*time.Second, "the next session", func() bool {
		_, session = w.sessionFor("k")
		return session != nil && session != lost
	})
	done = sleep(t.Context(), t, w, "x")
	if err := session.conn.Do(t.Context(), session.conn.B().ClientTracking().Off().Build()).Error(); err != nil {
		t.Fatal(err)
	}
	set(t, other, "y")
	if err := <-done; err != nil {
		t.Errorf("Wait = %v", err)
	}
	if !w.Tracking() {
		t.Error("the session was lost, and may have woken the sleeper")
	}
}

// A session that does not answer holds up nobody's look by the client.
func TestSilentSession(t *testing.T) {
	s := redstarttest.Run(t, redstarttest.ServerConfig{})
	p, err := proxy.New(s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	c, err := redstart.Open(t.Context(), p.URL(), redstart.Config{Timeout: time.Minute}) // the silence is not found out
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	other, w := open(t, s.URL()), Of(c)
	connected(t, w)
	set(t, other, "x")
	held := p.AddRule(proxy.Rule{
		Match:  proxy.Named("CLIENT"),
		Conn:   func(i proxy.ConnInfo) bool { return i.Tracking },
		Action: proxy.HoldReply(),
	})
	done := sleep(t.Context(), t, w, "x")
	set(t, other, "y")
	if err := <-done; err != nil {
		t.Errorf("Wait = %v", err)
	}
	if held.Hits() == 0 || !w.Tracking() {
		t.Errorf("%d replies held, tracking %v: want a session that is silent and not lost", held.Hits(), w.Tracking())
	}
	held.Release()
}

func TestWithoutTracking(t *testing.T) {
	s, err := embedded.Start(embedded.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	c := open(t, s.URL())
	w := Of(c)
	set(t, c, "x")
	done := sleep(t.Context(), t, w, "x")
	set(t, c, "y")
	if err := <-done; err != nil {
		t.Errorf("Wait = %v", err)
	}
	redstarttest.Eventually(t, 10*time.Second, "tracking to be given up", func() bool {
		w.Sessions.mu.Lock()
		defer w.Sessions.mu.Unlock()
		n := w.nodes[only]
		return n != nil && n.state == down && time.Until(n.retryAt) > retryLost
	})
}

func TestContextEndsTheWait(t *testing.T) {
	s := redstarttest.Run(t, redstarttest.ServerConfig{})
	c := open(t, s.URL())
	w := Of(c)
	set(t, c, "x")
	ctx, cancel := context.WithCancel(t.Context())
	done := sleep(ctx, t, w, "x")
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("Wait = %v", err)
	}
}
