package topology

import (
	"bufio"
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// told collects what a watcher's hooks say.
type told struct {
	mu    sync.Mutex
	moves []string
}

func (h *told) watcher() *Watcher {
	return NewWatcher(Config{
		Name: "m", Every: time.Hour, Timeout: time.Second,
		Switched: func(from, to string) {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.moves = append(h.moves, from+">"+to)
		},
		Blind: func(bool) {},
	})
}

// step is one thing that a watcher hears, and the primary it must know then.
type step struct {
	view *view
	node string
	role role
	want string
}

func say(addr string, epoch int64, moving bool) step {
	return step{view: &view{primary: addr, epoch: epoch, moving: moving, replicas: []string{"a:1", "b:1", "c:1"}}}
}
func (s step) then(want string) step { s.want = want; return s }

func sees(node string, r role, want string) step { return step{node: node, role: r, want: want} }

func TestWatcherDecides(t *testing.T) {
	for name, steps := range map[string][]step{
		"first word": {say("a:1", 3, false).then("a:1")},
		"a failover under way says nothing": {
			say("a:1", 3, true).then(""), say("a:1", 3, false).then("a:1"), say("b:1", 4, true).then("a:1"),
		},
		"a promotion deposes at once, and Sentinel's word appoints": {
			say("a:1", 3, false).then("a:1"), sees("a:1", primary, "a:1"), sees("b:1", replica, "a:1"),
			sees("b:1", primary, ""), // the replica says so before any sentinel does
			say("a:1", 3, false).then(""), say("a:1", 3, true).then(""),
			say("b:1", 4, false).then("b:1"),
			say("a:1", 3, false).then("b:1"), // a sentinel that lags behind
		},
		"a demoted primary is left": {
			say("a:1", 3, false).then("a:1"), sees("a:1", primary, "a:1"), sees("a:1", replica, ""),
		},
		"the new one must say itself that it is a primary": {
			say("a:1", 3, false).then("a:1"), sees("b:1", replica, "a:1"), say("b:1", 4, false).then("a:1"),
			sees("b:1", primary, ""), say("b:1", 4, false).then("b:1"),
		},
		"a promotion taken back": {
			say("a:1", 3, false).then("a:1"), sees("a:1", primary, "a:1"), sees("b:1", replica, "a:1"), sees("b:1", primary, ""),
			sees("b:1", replica, ""), say("a:1", 3, false).then("a:1"),
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := (&told{}).watcher()
			for i, s := range steps {
				if s.view != nil {
					w.viewed(*s.view)
				} else {
					w.sighted(sighting{s.node, s.role})
				}
				if got, _, _ := w.Primary(); got != s.want {
					t.Fatalf("step %d: the primary is %q, want %q", i+1, got, s.want)
				}
			}
		})
	}
}

// Without any sentinel a promoted replica that confirms itself is taken after a
// second, and the blindness is told.
func TestWatcherWithoutSentinels(t *testing.T) {
	w := (&told{}).watcher()
	w.viewed(*say("a:1", 3, false).view)
	w.sighted(sighting{"b:1", replica})
	w.sighted(sighting{"b:1", primary})
	w.passed()
	if addr, _, ok := w.Primary(); ok {
		t.Fatalf("took %s at once", addr)
	}
	w.mu.Lock()
	w.heard, w.since = time.Now().Add(-2*blindAfter), time.Now().Add(-2*blindAfter)
	w.mu.Unlock()
	w.passed()
	if addr, _, _ := w.Primary(); addr != "b:1" || !w.Blind() {
		t.Errorf("primary %q, blind %v", addr, w.Blind())
	}
}

// serve answers every command on a listener with what reply gives.
func serve(t *testing.T, reply func(words string) string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var work sync.WaitGroup
	t.Cleanup(func() { _ = l.Close(); work.Wait() })
	work.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			work.Go(func() {
				defer c.Close()
				in := bufio.NewReader(c)
				for {
					words, err := readReply(in, 0)
					if err != nil {
						return
					}
					var list []string
					for _, w := range words.([]any) {
						list = append(list, w.(string))
					}
					if _, err := c.Write([]byte(reply(strings.Join(list, " ")))); err != nil {
						return
					}
				}
			})
		}
	})
	return l.Addr().String()
}

func tcp(ctx context.Context, addr string) (net.Conn, error) {
	return (&net.Dialer{}).DialContext(ctx, "tcp", addr)
}

// Nothing is sent to a node that does not say that it is a primary.
func TestDialPrimaryAsksForTheRole(t *testing.T) {
	role := "*3\r\n$5\r\nslave\r\n$1\r\nx\r\n:0\r\n"
	addr := serve(t, func(words string) string {
		if words != "ROLE" {
			t.Errorf("sent %q", words)
		}
		return role
	})
	w := NewWatcher(Config{Name: "m", DialNode: tcp, Switched: func(string, string) {}, Blind: func(bool) {}})
	var none *NoPrimaryError
	if _, err := w.DialPrimary(t.Context()); !errors.As(err, &none) {
		t.Errorf("without a primary: %v", err)
	}
	w.viewed(view{primary: addr, epoch: 1})
	if _, err := w.DialPrimary(t.Context()); !errors.As(err, &none) {
		t.Errorf("to a replica: %v", err)
	}
	role = "*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n"
	c, err := w.DialPrimary(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w.sighted(sighting{addr, replica}) // demoted: the connection is cut
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Error("the connection to a demoted primary still stands")
	}
	_ = c.Close()
	if len(w.conns) != 0 {
		t.Errorf("%d connections are kept", len(w.conns))
	}
}

func TestAskSentinel(t *testing.T) {
	addr := serve(t, func(words string) string {
		switch words {
		case "AUTH app secret":
			return "+OK\r\n"
		case "SENTINEL MASTER m":
			return "*8\r\n$2\r\nip\r\n$3\r\n::1\r\n$4\r\nport\r\n$4\r\n6379\r\n$5\r\nflags\r\n$6\r\nmaster\r\n$12\r\nconfig-epoch\r\n$1\r\n7\r\n"
		case "SENTINEL REPLICAS m":
			return "*1\r\n*4\r\n$2\r\nip\r\n$9\r\n127.0.0.1\r\n$4\r\nport\r\n$1\r\n8\r\n"
		default:
			return "-ERR No such master with that name\r\n"
		}
	})
	l := &link{addr: addr, dial: tcp, auth: func(context.Context) (string, string, error) { return "app", "secret", nil }}
	defer l.close()
	v, err := askSentinel(t.Context(), l, "m")
	if err != nil || v.primary != "[::1]:6379" || v.epoch != 7 || v.moving || len(v.replicas) != 1 || v.replicas[0] != "127.0.0.1:8" {
		t.Errorf("view %+v, %v", v, err)
	}
	if _, err := askSentinel(t.Context(), l, "other"); err == nil || !strings.Contains(err.Error(), "No such master") {
		t.Errorf("unknown name: %v", err)
	}
}

func FuzzReadReply(f *testing.F) {
	for _, s := range []string{"+OK\r\n", "-ERR x\r\n", ":1\r\n", "$3\r\nabc\r\n", "$-1\r\n", "*2\r\n+a\r\n:1\r\n", "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n", "$999999999\r\n", "%1\r\n"} {
		f.Add(s)
	}
	f.Fuzz(func(_ *testing.T, s string) {
		_, _ = readReply(bufio.NewReader(strings.NewReader(s)), 0) // ends, and asks for no memory that did not come
	})
}
