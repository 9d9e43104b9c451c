package faults

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/faults/harness"
	"github.com/redstart-go/redstart/redstarttest"
	"github.com/redstart-go/redstart/redstarttest/proxy"
)

// tally is what callers of a counting command were told.
type tally struct{ answered, unknown, notApplied atomic.Int64 }

func (c *tally) note(err error) {
	switch {
	case err == nil:
		c.answered.Add(1)
	case redstart.OutcomeOf(err) == redstart.Unknown:
		c.unknown.Add(1)
	default:
		c.notApplied.Add(1)
	}
}

// hidden is how many runs the server counts beyond what the callers can know
// of: those answered, and those that may have run.
func (c *tally) hidden(count int64) int64 {
	return max(0, count-c.answered.Load()-c.unknown.Load(), c.answered.Load()-count)
}

// loseReplies loses every nth reply after its command has run, with the
// connection.
func loseReplies(p *proxy.Proxy, nth int64) *proxy.Handle {
	var seen atomic.Int64
	return p.AddRule(proxy.Rule{
		Match:  func([]string) bool { return seen.Add(1)%nth == 0 },
		Action: proxy.SwallowReply(proxy.CutConnection),
	})
}

// countThrough makes calls through a proxy that loses every 97th reply after
// its command has run, with the connection.
func countThrough(t *testing.T, p *proxy.Proxy, calls int, do func(context.Context) error) (*tally, int) {
	t.Helper()
	lose := loseReplies(p, 97)
	defer lose.Remove()
	told := &tally{}
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			for range calls / 20 {
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				told.note(do(ctx))
				cancel()
			}
		})
	}
	wg.Wait()
	return told, lose.Hits()
}

// K1: nothing that is not idempotent runs twice in silence.
func TestK1NothingRunsTwiceInSilence(t *testing.T) {
	form := harness.Run(t)
	calls := harness.Choose(form, 2000, 10000)
	var names []string
	var hidden, unknown, lost int64
	twice := int64(0)
	for _, l := range launchers(t, form, false) {
		s, name := start(t, l, redstarttest.ServerConfig{})
		names = append(names, name)
		p := newProxy(t, s)
		c := openHere(t, p.URL(), redstart.Config{})
		script := redstart.NewScript("count", "return redis.call('INCR', KEYS[1])")
		for key, do := range map[string]func(ctx context.Context) error{
			"incr":   func(ctx context.Context) error { return c.Do(ctx, c.B().Incr().Key("incr").Build()).Error() },
			"script": func(ctx context.Context) error { return script.Exec(ctx, c, []string{"script"}, nil).Error() },
			"multi": func(ctx context.Context) error {
				return c.DoMulti(ctx, c.B().Get().Key("x").Build(), c.B().Incr().Key("multi").Build(), c.B().Get().Key("x").Build())[1].Error()
			},
			"lpush": func(ctx context.Context) error {
				return c.Do(ctx, c.B().Lpush().Key("lpush").Element("x").Build()).Error()
			},
			"xadd": func(ctx context.Context) error {
				return c.Do(ctx, c.B().Xadd().Key("xadd").Id("*").FieldValue().FieldValue("f", "v").Build()).Error()
			},
		} {
			told, hits := countThrough(t, p, calls, do)
			count := counted(t, s, key, key)
			t.Logf("%s: %d answered, %d unknown, %d not applied, %d replies lost; the server counts %d", key, told.answered.Load(), told.unknown.Load(), told.notApplied.Load(), hits, count)
			if hits == 0 || told.unknown.Load() == 0 {
				t.Errorf("%s: no reply of it was lost", key)
			}
			if n := told.hidden(count); n > 0 {
				t.Errorf("%s: %d runs are hidden", key, n)
				hidden += n
			}
			unknown, lost = unknown+told.unknown.Load(), lost+int64(hits)
		}
		for _, verb := range batchVerbs {
			b := countBatch(t, s, p, verb, "k1", calls, sendBatch(c))
			b.judge(t, verb)
			hidden, unknown, lost = hidden+b.hidden, unknown+b.unknown, lost+int64(b.lost)
		}
		// The twin repeats what the network lost, as most clients do.
		naive, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{p.Addr()}, ForceSingleClient: true, DisableCache: true})
		if err != nil {
			t.Fatal(err)
		}
		told, _ := countThrough(t, p, calls, func(ctx context.Context) error {
			return naive.Do(ctx, naive.B().Incr().Key("naive").Build().ToRetryable()).Error()
		})
		naive.Close()
		if twice += told.hidden(counted(t, s, "incr", "naive")); twice == 0 {
			t.Error("the checker does not find the naive recipe's doubles")
		}
	}
	keep(t, form, "K1", names, "%d hidden runs of %d INCR, scripts, items of a DoMulti, LPUSH and XADD each, and of as many INCR, LPUSH and XADD as items of a batch, %d replies lost after the command ran, %d calls reported Unknown (retrying on a lost connection: %d hidden runs of INCR)",
		hidden, calls, lost, unknown, twice)
}

// counted is how often a key has been counted up, pushed or added to.
func counted(t *testing.T, s *redstarttest.Server, kind, key string) int64 {
	t.Helper()
	command := []string{"INCRBY", key, "0"}
	switch kind {
	case "lpush":
		command = []string{"LLEN", key}
	case "xadd":
		command = []string{"XLEN", key}
	}
	n, err := s.Do(t.Context(), command...)
	if err != nil {
		t.Fatal(err)
	}
	return n.(int64)
}

// K5: into an outage go the calls that were under way, and probes.
func TestK5OutageCostsNoLoad(t *testing.T) {
	form := harness.Run(t)
	callers := harness.Choose(form, 200, 1000)
	length := harness.Choose(form, time.Second, 5*time.Second)
	l := launchers(t, form, false)[0]
	s, name := start(t, l, redstarttest.ServerConfig{})
	p := newProxy(t, s)
	c := openHere(t, p.URL(), redstart.Config{})
	loading := p.AddRule(proxy.Rule{Match: func([]string) bool { return true }, Action: proxy.AnswerError("-LOADING Redis is loading the dataset in memory")})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	results := make(chan error, callers)
	began := time.Now()
	for range callers {
		go func() { results <- c.Do(ctx, c.B().Incr().Key("n").Build()).Error() }()
	}
	redstarttest.Eventually(t, time.Minute, "the outage has lasted", func() bool { return time.Since(began) > length/2 })
	first := loading.Hits()
	for range callers { // who comes during the outage sends nothing
		go func() { results <- c.Do(ctx, c.B().Incr().Key("n").Build()).Error() }()
	}
	redstarttest.Eventually(t, time.Minute, "the outage has lasted", func() bool { return time.Since(began) > length })
	probes := loading.Hits() - first
	loading.Remove()
	for range 2 * callers {
		if err := <-results; err != nil {
			t.Errorf("a caller who waited got %v", err)
		}
	}
	if first > callers+25 {
		t.Errorf("%d callers sent %d commands into the outage", callers, first)
	}
	most := int(length/2/(180*time.Millisecond)) + 12 // a probe is a PING, every 190 to 310 ms once they have grown apart
	if probes > most {
		t.Errorf("%d callers who came during the outage, and %d commands were sent, want at most %d probes", callers, probes, most)
	}
	keep(t, form, "K5", []string{name}, "%d calls under way when the server began to answer LOADING sent %d commands, %d more callers during the next %v none: %d probes; all were served when it was back",
		callers, first, callers, length/2, probes)
}
