package faults

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/faults/harness"
	"github.com/redstart-go/redstart/redstarttest"
	"github.com/redstart-go/redstart/redstarttest/proxy"
	"github.com/redstart-go/redstart/redstarttest/topology"
)

// failover is how one came out, as times after the sentinels had agreed that
// the primary is down (detection) or after the promotion.
type failover struct {
	firstGood time.Duration // after detection
	told      time.Duration // the sentinels' own word, after detection: the control
	exposed   time.Duration // how long after the promotion a write still went to the demoted primary
	acked     int
	lost      int // acknowledged, and not on the new primary
}

// ack is a write that was acknowledged.
type ack struct {
	n  int
	at time.Time
}

// write sends writes, one after the other, until ctx ends.
func write(ctx context.Context, c *redstart.Client) []ack {
	var acks []ack
	for n := 0; ctx.Err() == nil; n++ {
		call, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
		err := c.Do(call, c.B().Set().Key("w:"+strconv.Itoa(n)).Value("x").Build()).Error()
		cancel()
		if err == nil {
			acks = append(acks, ack{n, time.Now()})
		}
	}
	return acks
}

// failoverUnder makes one failover by fault and measures it.
func failoverUnder(t *testing.T, l redstarttest.Launcher, fault string, deaf bool) failover {
	t.Helper()
	s := topology.RunSentinel(t, topology.SentinelConfig{Path: l.Path, Proxies: true})
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	if deaf { // the client hears no event of any sentinel
		for _, sentinel := range s.Sentinels() {
			s.Links().Proxy(nil, sentinel).AddRule(proxy.Rule{Match: proxy.Named("SUBSCRIBE"), Action: proxy.AnswerError("-ERR no events today")})
		}
	}
	client, err := redstart.Open(ctx, s.URL(), redstart.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	old, err := s.Primary(ctx)
	if err != nil {
		t.Fatal(err)
	}
	writing, stop := context.WithCancel(ctx)
	var acks []ack
	var writers sync.WaitGroup
	writers.Go(func() { acks = write(writing, client) })
	redstarttest.Eventually(t, 20*time.Second, "writes arrive", func() bool {
		n, err := old.Do(ctx, "DBSIZE")
		return err == nil && n.(int64) > 50
	})

	began := time.Now()
	switch fault {
	case "kill":
		err = old.Kill()
	case "freeze":
		err = old.Freeze()
	case "partition":
		s.Links().Isolate(old)
	}
	if err != nil {
		t.Fatal(err)
	}
	down, err := s.Await(ctx, began, func(e topology.Event) bool { return e.Name == "+odown" })
	if err != nil {
		t.Fatal(err)
	}
	addr, promoted, err := s.WaitPromoted(ctx, old.Announced())
	if err != nil {
		t.Fatal(err)
	}
	told, err := s.Await(ctx, began, func(e topology.Event) bool { return e.Name == "+switch-master" })
	if err != nil {
		t.Fatal(err)
	}
	var chosen *topology.Node
	for _, n := range s.Nodes() { // a sentinel may have heard of a node by its true address, past the proxy
		if n.Announced() == addr || n.Addr() == addr {
			chosen = n
		}
	}
	if chosen == nil {
		t.Fatalf("the sentinels promoted %s, which is no node", addr)
	}
	redstarttest.Eventually(t, 30*time.Second, "the client writes to the new primary", func() bool {
		n, err := chosen.Do(ctx, "INFO", "commandstats")
		return err == nil && len(n.(string)) > 0 && time.Since(promoted) > 3*time.Second
	})
	stop()
	writers.Wait()

	out := failover{told: told.At.Sub(down.At), acked: len(acks)}
	for _, a := range acks {
		there, err := chosen.Do(ctx, "EXISTS", "w:"+strconv.Itoa(a.n))
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case there == int64(1) && a.at.After(promoted) && out.firstGood == 0:
			out.firstGood = a.at.Sub(down.At)
		case there == int64(0):
			out.lost++
			if a.at.After(promoted) {
				out.exposed = max(out.exposed, a.at.Sub(promoted))
			}
		}
	}
	if out.firstGood == 0 {
		t.Fatalf("%s: no write reached the new primary", fault)
	}
	if fault == "freeze" {
		if err := old.Continue(); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// K3: after a Sentinel failover the first good write comes soon, and the
// demoted primary is left at once, although no event may have told so.
func TestK3Failover(t *testing.T) {
	form := harness.Run(t)
	rounds := harness.Choose(form, 1, 2)
	var names []string
	var worst failover
	var exposures []time.Duration
	failovers, lost, acked := 0, 0, 0
	for _, l := range launchers(t, form, false) {
		_, name := start(t, l, redstarttest.ServerConfig{})
		names = append(names, name)
		for _, fault := range []string{"kill", "freeze", "partition"} {
			for round := range rounds * 2 {
				if form == harness.Short && round == 1 && fault != "partition" {
					continue
				}
				out := failoverUnder(t, l, fault, round%2 == 1)
				t.Logf("%s, events %s: first good write %v after detection (the sentinels' word: %v), the demoted primary written to for %v, %d of %d acknowledged writes lost",
					fault, map[bool]string{true: "lost", false: "heard"}[round%2 == 1], harness.Short3(out.firstGood), harness.Short3(out.told), harness.Short3(out.exposed), out.lost, out.acked)
				if out.firstGood > 2500*time.Millisecond && out.firstGood > 3*out.told {
					t.Errorf("%s: the first good write came %v after detection", fault, out.firstGood)
				}
				if out.exposed > time.Second {
					t.Errorf("%s: the demoted primary was written to for %v after the promotion", fault, out.exposed)
				}
				failovers++
				lost, acked = lost+out.lost, acked+out.acked
				worst.firstGood, worst.told, worst.exposed = max(worst.firstGood, out.firstGood), max(worst.told, out.told), max(worst.exposed, out.exposed)
				if fault == "partition" {
					exposures = append(exposures, out.exposed)
				}
			}
		}
	}
	keep(t, form, "K3", names, "%s", fmt.Sprintf(
		"%d failovers by SIGKILL, SIGSTOP and partition, the events lost in a part of them: first good write at most %s after detection (the sentinels tell of it after %s), a demoted primary written to for at most %s after the promotion (partition, median %s); not promised: %d of %d acknowledged writes lost with asynchronous replication",
		failovers, harness.Short3(worst.firstGood), harness.Short3(worst.told), harness.Short3(worst.exposed), harness.Short3(harness.Quantile(exposures, 0.5)), lost, acked))
}
