package redstart_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/redstarttest"
	"github.com/redstart-go/redstart/redstarttest/proxy"
)

func TestOutcomes(t *testing.T) {
	s := redstarttest.Run(t, redstarttest.ServerConfig{})
	p, err := proxy.New(s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	c := open(t, p.URL(), redstart.Config{})
	ctx := t.Context()
	c = c.FailFast()
	do := func(words ...string) error { return c.Do(ctx, c.B().Arbitrary(words...).Build()).Error() }
	if err := do("SET", "text", "x"); err != nil || redstart.OutcomeOf(err) != redstart.Applied {
		t.Fatalf("SET = %v, %v", err, redstart.OutcomeOf(err))
	}
	dead, cancel := context.WithCancel(ctx)
	cancel()
	half := redstart.NewScript("half", "redis.call('INCR', KEYS[1]) return redis.call('INCR', KEYS[2])")
	lost := func(command string) error {
		h := p.AddRule(proxy.Rule{Match: proxy.Named(command), Nth: 1, Action: proxy.SwallowReply(proxy.CutConnection)})
		defer h.Remove()
		err := do(command, "n")
		if h.Hits() != 1 {
			t.Fatalf("no reply of %s was lost", command)
		}
		return err
	}
	for name, test := range map[string]struct {
		err  error
		want redstart.Outcome
		away bool
	}{
		"nil reply":       {do("GET", "none"), redstart.Applied, false},
		"refused":         {do("INCR", "text"), redstart.NotApplied, false},
		"unknown command": {do("NOSUCH", "secret"), redstart.NotApplied, false},
		"dead context":    {c.Do(dead, c.B().Incr().Key("n").Build()).Error(), redstart.NotApplied, false},
		"half a script":   {half.Exec(ctx, c, []string{"n", "text"}, nil).Error(), redstart.Unknown, false},
		"lost reply":      {lost("INCR"), redstart.Unknown, true},
	} {
		if got := redstart.OutcomeOf(test.err); got != test.want || redstart.Away(test.err) != test.away {
			t.Errorf("%s: OutcomeOf(%v) = %v, Away = %v; want %v, %v", name, test.err, got, redstart.Away(test.err), test.want, test.away)
		}
	}
	if n, err := s.Do(ctx, "GET", "n"); err != nil || n != "2" {
		t.Errorf("n = %v, %v: want 2, of the script's half and the lost INCR; nothing ran twice or from a dead context", n, err)
	}
	p.Refuse(true)
	p.Reset()
	redstarttest.Eventually(t, 10*time.Second, "the connections are gone", func() bool {
		err := do("INCR", "m")
		return err != nil && redstart.Away(err)
	})
	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	p.Close()
	redstarttest.Eventually(t, 10*time.Second, "refused connections", func() bool {
		err := do("INCR", "m")
		return redstart.OutcomeOf(err) == redstart.NotApplied && redstart.Away(err)
	})
}

// No text of an error repeats what the caller sent.
func TestErrorsKeepSecrets(t *testing.T) {
	s := redstarttest.Run(t, redstarttest.ServerConfig{})
	c := open(t, s.URL(), redstart.Config{})
	for _, words := range [][]string{
		{"NOSUCH", "hunter2"}, {"EVAL", "return hunter2(", "0"}, {"EVAL", "error('hunter2')", "0"}, {"CONFIG", "SET", "hunter2", "x"}, {"SET", "hunter2", "x", "EX", "hunter2"},
	} {
		err := redstart.NewError("redstart/test: try", "user:<id>", "user:hunter2", c.Do(t.Context(), c.B().Arbitrary(words...).Build()).Error())
		if err == nil || strings.Contains(err.Error(), "hunter2") || !strings.HasPrefix(err.Error(), "redstart/test: try user:<id>: ERR: ") {
			t.Errorf("%v: %v", words, err)
		}
	}
}

func TestScriptsAreAlwaysKnown(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		var told atomic.Int64
		c := open(t, url, redstart.Config{Events: redstart.Events{ScriptLoad: func(redstart.ScriptInfo) { told.Add(1) }}})
		ctx := t.Context()
		add := redstart.NewScript("add", "return redis.call('INCRBY', KEYS[1], ARGV[1])")
		flush := func() {
			if err := c.Do(ctx, c.B().ScriptFlush().Build()).Error(); err != nil {
				t.Fatal(err)
			}
		}
		total := int64(0)
		check := func(how string, r rueidis.RedisResult) {
			t.Helper()
			total++
			if n, err := r.AsInt64(); err != nil || n != total {
				t.Fatalf("%s: %d, %v, want %d", how, n, err, total)
			}
		}
		key, one := []string{"n"}, []string{"1"}
		for range 3 {
			flush()
			check("Exec", add.Exec(ctx, c, key, one))
			check("Exec, known", add.Exec(ctx, c, key, one))
			flush()
			check("Do", c.Do(ctx, add.Command(c, key, one)))
			flush()
			for _, r := range c.DoMulti(ctx, add.Command(c, key, one), add.Command(c, key, one), c.B().Incr().Key("n").Build()) {
				total++
				if _, err := r.AsInt64(); err != nil {
					t.Fatalf("DoMulti: %v", err)
				}
			}
			flush()
			results := c.DoMulti(ctx, c.B().Multi().Build(), add.Command(c, key, one), c.B().Incr().Key("n").Build(), c.B().Exec().Build())
			total += 2
			if replies, err := results[3].ToArray(); err != nil || len(replies) != 2 || replies[0].Error() != nil {
				t.Fatalf("EXEC = %v, %v", replies, err)
			}
		}
		n, err := c.Do(ctx, c.B().Get().Key("n").Build()).AsInt64()
		if err != nil || n != total {
			t.Errorf("n = %d, %v, want %d", n, err, total)
		}
		if told.Load() == 0 {
			t.Error("no ScriptLoad event")
		}
		// A script of somebody else's stays his.
		err = c.Do(ctx, c.B().Evalsha().Sha1(strings.Repeat("0", 40)).Numkeys(0).Build()).Error()
		if err == nil || !strings.HasPrefix(err.Error(), "NOSCRIPT") {
			t.Errorf("unknown sha: %v", err)
		}
	})
}

// In a batch a script keeps its place although the server has just forgotten it.
func TestScriptsKeepTheirOrder(t *testing.T) {
	s := redstarttest.Run(t, redstarttest.ServerConfig{})
	c := open(t, s.URL(), redstart.Config{})
	push := redstart.NewScript("push", "return redis.call('RPUSH', KEYS[1], ARGV[1])")
	for _, r := range c.DoMulti(t.Context(), c.B().Rpush().Key("l").Element("a").Build(), push.Command(c, []string{"l"}, []string{"b"}), c.B().Rpush().Key("l").Element("c").Build()) {
		if err := r.Error(); err != nil {
			t.Fatal(err)
		}
	}
	got, err := c.Do(t.Context(), c.B().Lrange().Key("l").Start(0).Stop(-1).Build()).AsStrSlice()
	if err != nil || strings.Join(got, "") != "abc" {
		t.Errorf("order %v, %v", got, err)
	}
}

func TestServer(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		c := open(t, url, redstart.Config{})
		s, err := c.Server(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s %s: %+v", s.Flavour, s.Version, s)
		switch s.Flavour {
		case "redis", "valkey":
			if !s.Has(redstart.Tracking) || !s.Has(redstart.ShardedPubSub) {
				t.Error("tracking or sharded pub/sub is not seen")
			}
		case "embedded":
			if s.Has(redstart.Tracking) {
				t.Error("the embedded server has no tracking")
			}
		default:
			t.Errorf("flavour %q", s.Flavour)
		}
		if err := s.Require("redstart/test: search", redstart.Search); !errors.Is(err, redstart.ErrUnsupported) || !strings.Contains(err.Error(), "ft.search") || !strings.Contains(err.Error(), s.Flavour) {
			t.Errorf("Require = %v", err)
		}
	})
}

// A caller that gives up while it dials for all fails no other.
func TestNeighboursDial(t *testing.T) {
	s := redstarttest.Run(t, redstarttest.ServerConfig{})
	p, err := proxy.New(s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	c := open(t, p.URL(), redstart.Config{Pipelines: 1})
	p.Delay(10*time.Millisecond, 10*time.Millisecond) // so that the handshake takes longer than the hasty wait
	hastyFailed := 0
	for range 10 {
		p.Reset()
		var wg sync.WaitGroup
		var failed atomic.Int64
		for i := range 20 {
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				if i < 5 {
					ctx, cancel = context.WithTimeout(t.Context(), 5*time.Millisecond)
				}
				defer cancel()
				err := c.Do(ctx, c.B().Get().Key("k").Build()).Error()
				switch {
				case i < 5 && errors.Is(err, context.DeadlineExceeded):
					failed.Add(1)
				case i >= 5 && err != nil && !rueidis.IsRedisNil(err) && redstart.OutcomeOf(err) == redstart.NotApplied:
					t.Errorf("a patient caller got %v", err)
				}
			})
		}
		wg.Wait()
		hastyFailed += int(failed.Load())
	}
	if hastyFailed == 0 {
		t.Fatal("no caller gave up: nothing was tried")
	}
}

func TestBackground(t *testing.T) {
	s := redstarttest.Run(t, redstarttest.ServerConfig{})
	c, err := redstart.Open(t.Context(), s.URL(), redstart.Config{})
	if err != nil {
		t.Fatal(err)
	}
	var ended atomic.Bool
	if err := c.Go(func(ctx context.Context) { <-ctx.Done(); ended.Store(true) }); err != nil {
		t.Fatal(err)
	}
	c.Close()
	if !ended.Load() {
		t.Error("Close did not wait for background work")
	}
	if err := c.Go(func(context.Context) {}); !errors.Is(err, redstart.ErrClosed) {
		t.Errorf("Go on a closed client = %v", err)
	}
	if err := c.Do(t.Context(), c.B().Ping().Build()).Error(); err == nil || redstart.Away(err) {
		t.Errorf("Do on a closed client = %v", err)
	}
	err = redstart.NewScript("one", "return 1").Exec(t.Context(), c, nil, nil).Error()
	if !errors.Is(err, redstart.ErrClosed) || redstart.OutcomeOf(err) != redstart.NotApplied {
		t.Errorf("a script on a closed client = %v, %v", err, redstart.OutcomeOf(err))
	}
	c.Close()
}

func TestWrap(t *testing.T) {
	s := redstarttest.Run(t, redstarttest.ServerConfig{})
	inner, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{s.Addr()}, ForceSingleClient: true})
	if err != nil {
		t.Fatal(err)
	}
	defer inner.Close()
	c, err := redstart.Wrap(inner, redstart.Config{Namespace: "shop"})
	if err != nil {
		t.Fatal(err)
	}
	if n, err := redstart.NewScript("one", "return 1").Exec(t.Context(), c, nil, nil).AsInt64(); err != nil || n != 1 {
		t.Errorf("script = %d, %v", n, err)
	}
	c.Close()
	if err := inner.Do(t.Context(), inner.B().Ping().Build()).Error(); err != nil {
		t.Errorf("Close closed what it did not make: %v", err)
	}
	if _, err := redstart.Wrap(nil, redstart.Config{}); err == nil {
		t.Error("Wrap(nil): no error")
	}
}

func TestEvents(t *testing.T) {
	s := redstarttest.Run(t, redstarttest.ServerConfig{})
	var connects, refused, ends atomic.Int64
	c := open(t, s.URL(), redstart.Config{Events: redstart.Events{
		Connect: func(i redstart.ConnectInfo) {
			if i.Err != nil {
				refused.Add(1)
			} else {
				connects.Add(1)
			}
			panic("a hook's panic is its own")
		},
		Disconnect: func(redstart.DisconnectInfo) { ends.Add(1) },
	}})
	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	redstarttest.Eventually(t, 10*time.Second, "connect, disconnect and refusal", func() bool {
		_ = c.FailFast().Do(t.Context(), c.B().Ping().Build())
		return connects.Load() > 0 && ends.Load() > 0 && refused.Load() > 0
	})
}

func TestSilentServerHoldsNobody(t *testing.T) {
	s := redstarttest.Run(t, redstarttest.ServerConfig{})
	c := open(t, s.URL(), redstart.Config{Timeout: 400 * time.Millisecond, DialTimeout: 100 * time.Millisecond})
	if err := s.Freeze(); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	err := c.Do(context.Background(), c.B().Incr().Key("n").Build()).Error()
	took := time.Since(start)
	t.Logf("a call without a deadline ended after %v (Timeout 400 ms): %v", took.Round(time.Millisecond), err)
	if err == nil || !redstart.Away(err) || redstart.OutcomeOf(err) == redstart.Applied { // not applied where it had to dial first
		t.Errorf("Do = %v (%v)", err, redstart.OutcomeOf(err))
	}
	if took > 4*time.Second {
		t.Errorf("held for %v", took)
	}
}

func BenchmarkDo(b *testing.B) {
	// What the client adds to a call, without a server: the command is refused
	// by its context.
	dead, cancel := context.WithCancel(context.Background())
	cancel()
	s, err := redstarttest.StartServer(context.Background(), redstarttest.ServerConfig{})
	if err != nil {
		b.Skip("needs redis-server")
	}
	defer s.Close()
	c, err := redstart.Open(context.Background(), s.URL(), redstart.Config{})
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	for b.Loop() {
		_ = c.Do(dead, c.B().Get().Key("k").Build())
	}
}
