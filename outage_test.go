package redstart_test

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/redstarttest"
	"github.com/redstart-go/redstart/redstarttest/proxy"
)

// Callers wait for a server that comes back before their deadlines, and see no
// error; those who do not want to wait fail at once.
func TestCallersWaitForTheServer(t *testing.T) {
	s := redstarttest.Run(t, redstarttest.ServerConfig{AOF: "always"})
	var away, back atomic.Int64
	c := open(t, s.URL(), redstart.Config{Events: redstart.Events{
		Away: func(redstart.AwayInfo) { away.Add(1) },
		Back: func(redstart.BackInfo) { back.Add(1) },
	}})
	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	redstarttest.Eventually(t, 10*time.Second, "the outage is known", func() bool {
		return errors.Is(c.FailFast().Do(t.Context(), c.B().Incr().Key("hasty").Build()).Error(), redstart.ErrUnavailable) && away.Load() > 0
	})
	start := time.Now()
	err := c.FailFast().Do(t.Context(), c.B().Incr().Key("hasty").Build()).Error()
	if took := time.Since(start); !errors.Is(err, redstart.ErrUnavailable) || redstart.OutcomeOf(err) != redstart.NotApplied || took > time.Second {
		t.Errorf("FailFast: %v after %v", err, took)
	}
	const callers = 50
	results := make(chan error, 2*callers)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for range callers {
		go func() { results <- c.Do(ctx, c.B().Incr().Key("n").Build()).Error() }()
		go func() {
			results <- c.DoMulti(ctx, c.B().Incr().Key("n").Build(), c.B().Get().Key("n").Build())[0].Error()
		}()
	}
	if err := s.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 2 * callers {
		if err := <-results; err != nil {
			t.Errorf("a caller who waited got %v", err)
		}
	}
	if n, err := s.Do(t.Context(), "GET", "n"); err != nil || n != strconv.Itoa(2*callers) {
		t.Errorf("n = %v, %v, want %d", n, err, 2*callers)
	}
	redstarttest.Eventually(t, 10*time.Second, "the return is told", func() bool { return back.Load() == away.Load() })

	short, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	redstarttest.Eventually(t, 10*time.Second, "a deadline that the outage outlasts", func() bool {
		err := c.Do(short, c.B().Incr().Key("n").Build()).Error()
		return err != nil && redstart.OutcomeOf(err) == redstart.NotApplied
	})
}

// To a server that is away goes one probe at a time, whatever the number of
// callers (K5).
func TestOutageCostsNoLoad(t *testing.T) {
	s := redstarttest.Run(t, redstarttest.ServerConfig{})
	p, err := proxy.New(s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	c := open(t, p.URL(), redstart.Config{})
	loading := p.AddRule(proxy.Rule{Match: func([]string) bool { return true }, Action: proxy.AnswerError("-LOADING Redis is loading the dataset in memory")})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	const callers = 200
	results := make(chan error, callers)
	start := time.Now()
	for range callers {
		go func() { results <- c.Do(ctx, c.B().Incr().Key("n").Build()).Error() }()
	}
	redstarttest.Eventually(t, 10*time.Second, "a second of LOADING", func() bool { return time.Since(start) > time.Second })
	sent := loading.Hits()
	loading.Remove()
	for range callers {
		if err := <-results; err != nil {
			t.Errorf("a caller who waited got %v", err)
		}
	}
	t.Logf("%d commands reached a server that was LOADING for %v, for %d callers", sent, time.Since(start).Round(time.Millisecond), callers)
	if sent > callers+25 { // each caller's first at the most, and the probes
		t.Errorf("%d commands were sent into the outage", sent)
	}
	if n, err := s.Do(t.Context(), "GET", "n"); err != nil || n != strconv.Itoa(callers) {
		t.Errorf("n = %v, %v", n, err)
	}
}

// A replica that becomes a primary before the deadline: writers wait, readers
// read.
func TestReadOnlyWaitsForThePromotion(t *testing.T) {
	s := redstarttest.Run(t, redstarttest.ServerConfig{})
	c := open(t, s.URL(), redstart.Config{})
	if _, err := s.Do(t.Context(), "REPLICAOF", "127.0.0.1", "1"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	wrote := make(chan error, 1)
	go func() { wrote <- c.Do(ctx, c.B().Incr().Key("n").Build()).Error() }()
	redstarttest.Eventually(t, 10*time.Second, "writes are known to be refused", func() bool {
		return errors.Is(c.FailFast().Do(t.Context(), c.B().Incr().Key("n").Build()).Error(), redstart.ErrUnavailable)
	})
	if err := c.Do(ctx, c.B().Get().Key("n").Build()).Error(); !rueidis.IsRedisNil(err) {
		t.Errorf("a read from a replica: %v", err)
	}
	if _, err := s.Do(t.Context(), "REPLICAOF", "NO", "ONE"); err != nil {
		t.Fatal(err)
	}
	if err := <-wrote; err != nil {
		t.Errorf("the writer got %v", err)
	}
}

// No command that is not idempotent runs twice in silence (K1): the server's
// count lies between the answers and the answers plus what is Unknown.
func TestNothingRunsTwiceInSilence(t *testing.T) {
	s := redstarttest.Run(t, redstarttest.ServerConfig{})
	p, err := proxy.New(s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	c := open(t, p.URL(), redstart.Config{})
	script := redstart.NewScript("count", "return redis.call('INCR', KEYS[1])")
	for name, do := range map[string]func(ctx context.Context) error{
		"INCR":   func(ctx context.Context) error { return c.Do(ctx, c.B().Incr().Key("INCR").Build()).Error() },
		"script": func(ctx context.Context) error { return script.Exec(ctx, c, []string{"script"}, nil).Error() },
		"batch": func(ctx context.Context) error {
			return c.DoMulti(ctx, c.B().Get().Key("x").Build(), c.B().Incr().Key("batch").Build(), c.B().Get().Key("x").Build())[1].Error()
		},
	} {
		var swallowed atomic.Int64
		every := p.AddRule(proxy.Rule{
			Match:  func([]string) bool { return swallowed.Add(1)%97 == 0 },
			Action: proxy.SwallowReply(proxy.CutConnection),
		})
		const calls = 2000
		var answered, unknown, refused atomic.Int64
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				for range calls / 20 {
					switch err := do(t.Context()); {
					case err == nil:
						answered.Add(1)
					case redstart.OutcomeOf(err) == redstart.Unknown:
						unknown.Add(1)
					case redstart.OutcomeOf(err) == redstart.NotApplied:
						refused.Add(1)
					}
				}
			})
		}
		wg.Wait()
		every.Remove()
		n, err := c.Do(t.Context(), c.B().Get().Key(name).Build()).AsInt64()
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: %d answered, %d unknown, %d not applied, %d replies lost; the server counts %d", name, answered.Load(), unknown.Load(), refused.Load(), every.Hits(), n)
		if every.Hits() == 0 || unknown.Load() == 0 {
			t.Errorf("%s: no reply was lost", name)
		}
		if n < answered.Load() || n > answered.Load()+unknown.Load() {
			t.Errorf("%s: the server counts %d", name, n)
		}
	}
}

// When the reply of a SET is lost and the server is away afterwards, the last
// refusal does not make the whole call NotApplied.
func TestOutcomeSpeaksForAllAttempts(t *testing.T) {
	s := redstarttest.Run(t, redstarttest.ServerConfig{})
	p, err := proxy.New(s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	c := open(t, p.URL(), redstart.Config{Pipelines: 1})
	lost := p.AddRule(proxy.Rule{
		Match:  proxy.Named("SET"),
		Nth:    1,
		On:     func([]string) { p.Refuse(true) }, // nobody gets in after it
		Action: proxy.SwallowReply(proxy.CutConnection),
	})
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	err = c.Do(ctx, c.B().Set().Key("k").Value("v").Build()).Error()
	if lost.Hits() != 1 || err == nil || redstart.OutcomeOf(err) != redstart.Unknown {
		t.Errorf("SET = %v (%v), %d replies lost", err, redstart.OutcomeOf(err), lost.Hits())
	}
	if v, err := s.Do(t.Context(), "GET", "k"); err != nil || v != "v" {
		t.Errorf("k = %v, %v", v, err)
	}
}
