package faults

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/faults/harness"
	"github.com/redstart-go/redstart/faults/history"
	"github.com/redstart-go/redstart/faults/naive"
	"github.com/redstart-go/redstart/limit"
	"github.com/redstart-go/redstart/redstarttest"
	"github.com/redstart-go/redstart/redstarttest/proxy"
)

const (
	patience   = 100 * time.Millisecond // Config.Timeout, the default
	partners   = 4                      // Config.Processes
	outageUse  = 400                    // callers of each policy at once: more than a connection's queue has room for
	oneInstant = 50 * time.Millisecond  // how long one rests after a decision
)

// without is what the limiters of the three policies did while the server was
// away.
type without struct {
	t        *testing.T
	limiters map[limit.Outage]*limit.Limiter

	mu               sync.Mutex
	took             []time.Duration // each decision
	control          []time.Duration // a wait of the same length, by as many
	decided, allowed map[limit.Outage]int
	local            []history.Event
}

// away has all policies decide for a while with the server away.
func (w *without) away(within time.Duration) {
	w.t.Helper()
	ctx, stop := context.WithTimeout(w.t.Context(), within)
	defer stop()
	var work sync.WaitGroup
	for policy, l := range w.limiters {
		for range outageUse {
			work.Go(func() {
				for ctx.Err() == nil && !w.t.Failed() {
					w.decide(policy, l)
					rest(ctx, oneInstant)
				}
			})
		}
	}
	for range outageUse * len(w.limiters) {
		work.Go(func() {
			began := time.Now()
			bare, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			<-bare.Done()
			w.mu.Lock()
			defer w.mu.Unlock()
			w.control = append(w.control, time.Since(began))
		})
	}
	work.Wait()
}

func (w *without) decide(policy limit.Outage, l *limit.Limiter) {
	began, from := time.Now(), harness.Monotonic()
	d, err := l.Take(context.Background(), "a", 1)
	took, to := time.Since(began), harness.Monotonic()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.took = append(w.took, took)
	w.decided[policy]++
	if d.Allowed {
		w.allowed[policy]++
	}
	fits := false
	switch policy {
	case limit.Allow:
		fits = d.Source == limit.SourceOutage && d.Allowed && d.Granted == 1
	case limit.Deny:
		fits = d.Source == limit.SourceOutage && !d.Allowed && d.RetryAfter > 0
	case limit.Local:
		fits = d.Source == limit.SourceLocal && (d.Allowed || d.RetryAfter > 0)
		if d.Allowed {
			w.local = append(w.local, history.Event{Kind: history.Granted, Version: uint64(d.Granted), Begin: from, End: to})
		}
	}
	if err != nil || d.Err == nil || !fits {
		w.t.Errorf("policy %d: %+v, %v", policy, d, err)
	}
}

// back waits until the server decides again.
func (w *without) back() {
	w.t.Helper()
	for policy, l := range w.limiters {
		redstarttest.Eventually(w.t, 30*time.Second, fmt.Sprintf("policy %d asks the server", policy), func() bool {
			d, err := l.Take(w.t.Context(), "b", 1)
			return err == nil && d.Source == limit.SourceServer
		})
	}
}

// TestL5DecisionWithinTheTimeout: the server is frozen, killed, or answers no
// more, and each policy decides in time, as it says.
func TestL5DecisionWithinTheTimeout(t *testing.T) {
	form := harness.Run(t)
	harness.Seed(t)
	rounds, within := harness.Choose(form, 1, 3), harness.Choose(form, 600*time.Millisecond, 1500*time.Millisecond)
	var servers []string
	w := &without{t: t, decided: map[limit.Outage]int{}, allowed: map[limit.Outage]int{}}
	one := limit.Limit{Rate: 100, Per: time.Second, Burst: 40}
	fullest, twin := 0.0, time.Duration(0)
	for _, l := range launchers(t, form, false) {
		t.Run(l.Name, func(t *testing.T) {
			w.t, w.local = t, nil
			server, name := start(t, l, redstarttest.ServerConfig{})
			servers = append(servers, name)
			way := newProxy(t, server)
			w.limiters = map[limit.Outage]*limit.Limiter{}
			for _, policy := range []limit.Outage{limit.Allow, limit.Deny, limit.Local} {
				made, err := limit.New(openHere(t, way.URL(), redstart.Config{}), limit.Config{
					Key: fmt.Sprintf("l5-%d:{<id>}", policy), Limits: []limit.Limit{one}, OnOutage: policy, Processes: partners, Denials: -1,
				})
				if err != nil {
					t.Fatal(err)
				}
				w.limiters[policy] = made
			}
			must := func(err error) {
				t.Helper()
				if err != nil {
					t.Fatal(err)
				}
			}
			w.back()
			for range rounds {
				for _, fault := range []struct{ begin, end func() }{
					{func() { must(server.Freeze()) }, func() { must(server.Continue()) }},
					{func() { must(server.Kill()) }, func() { must(server.Restart(t.Context())) }},
					{func() { way.Blackhole(proxy.BothWays) }, way.Heal},
					{func() { way.Blackhole(proxy.ToClient) }, way.Heal},
				} {
					fault.begin()
					w.away(within)
					fault.end()
					w.back()
				}
			}
			wrong, full, n := history.OverLimit(w.local, map[uint32]history.Allowance{
				0: {Burst: one.Burst / partners, Rate: one.Rate, Per: one.Per * partners},
			})
			first(t, wrong)
			fullest = max(fullest, full)
			if n < uint64(one.Burst/partners) {
				t.Errorf("%d units were granted locally; the run proves nothing", n)
			}
			twin = max(twin, naiveHangs(t, server))
		})
	}
	worst, control := harness.Quantile(w.took, 1), harness.Quantile(w.control, 1)
	harness.Bound{What: "a decision without the server", Figure: worst, Bound: patience, Control: control, Twin: twin}.Judge(t)
	keep(t, form, "L5", servers, "%d decisions by %d callers at once while the server was frozen, killed, or unheard through a black hole (%d outages): median %s, p99 %s, the slowest %s for a Timeout of %s (a bare timer of as long: %s); Allow let all %d pass, Deny none of %d, Local %d of %d, in the fullest span %.1f %% of its share (GET, compare, INCR on a frozen server: %s without an answer)",
		len(w.took), outageUse*len(w.limiters), 4*rounds*len(servers), harness.Short3(harness.Quantile(w.took, 0.5)), harness.Short3(harness.Quantile(w.took, 0.99)), harness.Short3(worst), harness.Short3(patience), harness.Short3(control),
		w.allowed[limit.Allow], w.decided[limit.Deny], w.allowed[limit.Local], w.decided[limit.Local], 100*fullest, harness.Short3(twin))
}

// naiveHangs is how long the naive recipe waits for a server that is frozen for
// a second.
func naiveHangs(t *testing.T, server *redstarttest.Server) time.Duration {
	t.Helper()
	client, err := plain(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	counter := naive.Counter{Client: client, Limit: 10, Window: time.Second}
	if err := server.Freeze(); err != nil {
		t.Fatal(err)
	}
	began, answered := time.Now(), make(chan time.Duration, 1)
	go func() {
		_, _ = counter.Take(context.Background(), "naive") // what it says does not matter, but when
		answered <- time.Since(began)
	}()
	rest(t.Context(), time.Second)
	if err := server.Continue(); err != nil {
		t.Fatal(err)
	}
	return <-answered
}
