package redstart_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/redstarttest"
	"github.com/redstart-go/redstart/redstarttest/proxy"
)

// Callers whose deadlines are shorter than a whole handshake still let the
// client reconnect: what one of them began, the next finishes.
func TestHastyCallersReconnect(t *testing.T) {
	s := redstarttest.Run(t, redstarttest.ServerConfig{})
	p, err := proxy.New(s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	c := open(t, p.URL(), redstart.Config{Pipelines: 1, Credentials: func(context.Context) (string, string, error) {
		time.Sleep(60 * time.Millisecond) // a slow vault
		return "default", "", nil
	}})
	p.Delay(0, 30*time.Millisecond)
	p.Reset()
	redstarttest.Eventually(t, 20*time.Second, "a hasty call succeeds", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 70*time.Millisecond)
		defer cancel()
		return c.Do(ctx, c.B().Ping().Build()).Error() == nil
	})
}

func TestCredentialsThatFail(t *testing.T) {
	s := redstarttest.Run(t, redstarttest.ServerConfig{})
	for name, credentials := range map[string]func(context.Context) (string, string, error){
		"panic": func(context.Context) (string, string, error) { panic("vault") },
		"error": func(context.Context) (string, string, error) { return "", "", errors.New("vault is sealed") },
		"hang":  func(ctx context.Context) (string, string, error) { <-ctx.Done(); return "", "", nil },
	} {
		var broken atomic.Bool
		c := open(t, s.URL(), redstart.Config{Pipelines: 1, DialTimeout: 100 * time.Millisecond, Credentials: func(ctx context.Context) (string, string, error) {
			if broken.Load() {
				return credentials(ctx)
			}
			return "default", "", nil
		}})
		broken.Store(true)
		if _, err := s.Do(t.Context(), "CLIENT", "KILL", "TYPE", "normal"); err != nil {
			t.Fatal(err)
		}
		for range 3 { // the second call is not wedged behind the first
			redstarttest.Eventually(t, 10*time.Second, name, func() bool {
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				defer cancel()
				err := c.FailFast().Do(ctx, c.B().Ping().Build()).Error()
				return redstart.OutcomeOf(err) == redstart.NotApplied && redstart.Away(err)
			})
		}
		broken.Store(false)
		redstarttest.Eventually(t, 10*time.Second, name+": back", func() bool { return c.Do(t.Context(), c.B().Ping().Build()).Error() == nil })
	}
}

// What a script says after a write is never NotApplied.
func TestScriptsThatRefuse(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		c := open(t, url, redstart.Config{})
		ctx := t.Context()
		runs := int64(0)
		for _, refusal := range []string{
			"redis.error_reply('DENIED limit')", "{err='MYERR limit'}", "redis.pcall('INCR', 'text')", "redis.error_reply('NOSCRIPT ha')", "redis.call('INCR', 'text')",
		} {
			if err := c.Do(ctx, c.B().Set().Key("text").Value("x").Build()).Error(); err != nil {
				t.Fatal(err)
			}
			script := redstart.NewScript("refuses", "redis.call('INCR', KEYS[1]) return "+refusal)
			for how, run := range map[string]func() error{
				"Exec":    func() error { return script.Exec(ctx, c, []string{"n"}, nil).Error() },
				"Do":      func() error { return c.Do(ctx, script.Command(c, []string{"n"}, nil)).Error() },
				"DoMulti": func() error { return c.DoMulti(ctx, script.Command(c, []string{"n"}, nil))[0].Error() },
				"EVAL": func() error {
					return c.Do(ctx, c.B().Arbitrary("eval", "redis.call('INCR', KEYS[1]) return "+refusal, "1").Keys("n").Build()).Error()
				},
			} {
				runs++
				if err := run(); err == nil || redstart.OutcomeOf(err) != redstart.Unknown {
					t.Errorf("%s by %s: OutcomeOf(%v) = %v, want Unknown", refusal, how, err, redstart.OutcomeOf(err))
				}
				if n, err := c.Do(ctx, c.B().Get().Key("n").Build()).AsInt64(); err != nil || n != runs {
					t.Fatalf("%s by %s ran until %d, %v; want once, %d", refusal, how, n, err, runs)
				}
			}
		}
	})
}

func TestAwayIsOnlyTheServer(t *testing.T) {
	for _, err := range []error{
		nil, errors.New("boom"), context.Canceled, fmt.Errorf("wrapped: %w", context.DeadlineExceeded), redstart.ErrUnsupported, redstart.ErrClosed,
		rueidis.Nil, redstart.NewError("x", "", "", errors.New("boom")),
	} {
		if redstart.Away(err) || errors.Is(err, redstart.ErrUnavailable) {
			t.Errorf("Away(%v)", err)
		}
	}
	for _, err := range []error{io.EOF, &net.OpError{Op: "read", Err: errors.New("reset")}, fmt.Errorf("x: %w", redstart.ErrUnavailable)} {
		if !redstart.Away(err) || !errors.Is(redstart.NewError("x", "", "", err), redstart.ErrUnavailable) {
			t.Errorf("not Away(%v)", err)
		}
	}
}

// Close ends what blocks, and does not wait for a pool that is exhausted.
func TestCloseEndsBlockingCommands(t *testing.T) {
	s := redstarttest.Run(t, redstarttest.ServerConfig{})
	c, err := redstart.Open(t.Context(), s.URL(), redstart.Config{BlockingPool: 1})
	if err != nil {
		t.Fatal(err)
	}
	blocked := make(chan error, 2)
	for range cap(blocked) {
		go func() { blocked <- c.Do(context.Background(), c.B().Blpop().Key("q").Timeout(0).Build()).Error() }()
	}
	redstarttest.Eventually(t, 10*time.Second, "two BLPOPs block", func() bool {
		n, err := s.Do(t.Context(), "INFO", "clients")
		return err == nil && len(n.(string)) > 0 && containsLine(n.(string), "blocked_clients:2")
	})
	closed := make(chan struct{})
	go func() { c.Close(); close(closed) }()
	for range cap(blocked) {
		if err := <-blocked; err == nil || redstart.OutcomeOf(err) == redstart.Applied {
			t.Errorf("BLPOP = %v", err)
		}
	}
	<-closed
}

func containsLine(text, line string) bool {
	for len(text) > 0 {
		head, rest := text, ""
		for i := range len(text) {
			if text[i] == '\r' || text[i] == '\n' {
				head, rest = text[:i], text[i+1:]
				break
			}
		}
		if head == line {
			return true
		}
		text = rest
	}
	return false
}

// What would change a shared connection for others is refused everywhere.
func TestSharedConnectionsStayAsTheyAre(t *testing.T) {
	s := redstarttest.Run(t, redstarttest.ServerConfig{})
	c := open(t, s.URL()+"/3", redstart.Config{})
	for _, words := range [][]string{
		{"SELECT", "1"}, {"reset"}, {"AUTH", "default", "x"}, {"HELLO", "2"}, {"QUIT"}, {"MONITOR"}, {"CLIENT", "reply", "OFF"},
	} {
		cmd := func() rueidis.Completed { return c.B().Arbitrary(words...).Build() }
		tries := map[string]func() error{
			"Do":       func() error { return c.Do(t.Context(), cmd()).Error() },
			"DoMulti":  func() error { return c.DoMulti(t.Context(), c.B().Ping().Build(), cmd())[1].Error() },
			"DoStream": func() error { r := c.DoStream(t.Context(), cmd()); return r.Error() },
			"Dedicated": func() error {
				return c.Dedicated(func(d rueidis.DedicatedClient) error { return d.Do(t.Context(), cmd()).Error() })
			},
		}
		for _, n := range c.Nodes() {
			tries["Nodes.Do"] = func() error { return n.Do(t.Context(), cmd()).Error() }
			tries["Nodes.DoMulti"] = func() error { return n.DoMulti(t.Context(), cmd())[0].Error() }
			tries["Nodes.DoStream"] = func() error { r := n.DoStream(t.Context(), cmd()); return r.Error() }
			tries["Nodes.Dedicated"] = func() error {
				return n.Dedicated(func(d rueidis.DedicatedClient) error { return d.Do(t.Context(), cmd()).Error() })
			}
		}
		for how, try := range tries {
			if err := try(); !errors.Is(err, redstart.ErrRefused) || redstart.OutcomeOf(err) != redstart.NotApplied {
				t.Errorf("%v by %s = %v", words, how, err)
			}
		}
	}
	if _, err := c.Server(t.Context()); err != nil {
		t.Errorf("HELLO without arguments: %v", err)
	}
}
