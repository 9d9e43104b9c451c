package faults

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/redstart-go/redstart/cache"
	"github.com/redstart-go/redstart/faults/harness"
	"github.com/redstart-go/redstart/faults/history"
	"github.com/redstart-go/redstart/redstarttest"
	"github.com/redstart-go/redstart/redstarttest/proxy"
)

// storm is members with traffic, each behind a proxy of its own, and faults
// that strike them one after the other.
type storm struct {
	t       *testing.T
	rng     *rand.Rand
	lease   time.Duration
	server  *redstarttest.Server
	proxies []*proxy.Proxy
	members []*harness.Child
	args    []memberArg
	traffic trafficArg

	// What took place.
	kills, freezes, restarts, flushes int
	lost                              int // replies swallowed
	late                              int // commands held on their way
}

// fillCommands are what carries a loaded value to the server, ours and naive.
var fillCommands = []string{"EVALSHA", "EVAL", "SETEX"}

// faultsOf lists the storm's faults. A naive recipe gets the gentle ones.
func (s *storm) faultsOf(all bool) []func() {
	gentle := []func(){s.lateFills, s.delays, s.lostReply, s.reset, s.lateFills}
	if !all {
		return gentle
	}
	return append(gentle, s.flushScripts, s.killMember, s.freezeMember, s.freezeMember, s.killServer)
}

// rage strikes until the time is over and there are so many events, every
// fault at least once.
func (s *storm) rage(within time.Duration, events int, faults []func()) {
	end := time.Now().Add(within)
	for round := 0; ; round++ {
		for _, i := range s.rng.Perm(len(faults)) {
			s.pause(20, 120)
			faults[i]()
			if s.t.Failed() {
				return
			}
		}
		if time.Now().After(end) && (history.Size(s.args[0].History) >= events || time.Now().After(end.Add(4*within))) {
			break
		}
	}
	for _, p := range s.proxies {
		p.Jitter(0, 0)
	}
}

// pause lets the traffic go on for a while, in ms.
func (s *storm) pause(least, most int) {
	<-time.After(time.Duration(least+s.rng.IntN(most-least)) * time.Millisecond)
}

func (s *storm) pick() int { return s.rng.IntN(len(s.members)) }

// lateFills holds what carries loaded values until invalidations have passed.
func (s *storm) lateFills() {
	p := s.proxies[s.pick()]
	rule := p.AddRule(proxy.Rule{Match: proxy.Named(fillCommands...), Action: proxy.HoldRequest()})
	s.strike(rule)
	s.pause(30, 150)
	rule.Remove()
	s.late += rule.Hits()
}

func (s *storm) delays() {
	for _, p := range s.proxies {
		p.Jitter(time.Duration(s.rng.IntN(6))*time.Millisecond, s.rng.Uint64())
	}
}

// lostReply swallows a reply after its command ran, and cuts the connection.
func (s *storm) lostReply() {
	names := []string{"DEL", "GET", "SET", "EVALSHA"}
	switch {
	case s.args[0].Recipe != redstarts:
		names = []string{"DEL", "GET", "SETEX"}
	case s.args[0].Through: // nobody deletes
		names = []string{"GET", "EVALSHA"}
	}
	rule := s.proxies[s.pick()].AddRule(proxy.Rule{
		Match:  proxy.Named(names[s.rng.IntN(len(names))]),
		Nth:    1 + s.rng.IntN(3),
		Action: proxy.SwallowReply(proxy.CutConnection),
	})
	s.strike(rule)
	rule.Remove()
	s.lost += rule.Hits()
}

// strike waits until a rule has struck.
func (s *storm) strike(rule *proxy.Handle) {
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	if err := rule.Wait(ctx); err != nil {
		s.t.Errorf("a fault did not strike: %v", err)
	}
}

func (s *storm) reset() { s.proxies[s.pick()].Reset() }

func (s *storm) flushScripts() {
	if _, err := s.server.Do(s.t.Context(), "SCRIPT", "FLUSH"); err != nil {
		s.t.Errorf("SCRIPT FLUSH: %v", err)
	}
	s.flushes++
}

// killMember kills a process in the middle of whatever it does, and puts
// another in its place.
func (s *storm) killMember() {
	i := s.pick()
	s.members[i].Kill()
	s.kills++
	s.pause(10, 50)
	s.args[i].Life++
	s.begin(i)
}

// freezeMember stops a process for longer than its leases last.
func (s *storm) freezeMember() {
	m := s.members[s.pick()]
	m.Freeze()
	s.freezes++
	least := int(s.lease.Milliseconds()) * 5 / 4
	s.pause(least, least+100)
	m.Continue()
}

func (s *storm) killServer() {
	if err := s.server.Kill(); err != nil {
		s.t.Error(err)
	}
	s.pause(20, 200)
	if err := s.server.Restart(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	s.restarts++
}

// begin starts member i and its traffic.
func (s *storm) begin(i int) {
	s.t.Helper()
	m := harness.Start(s.t, "member", s.args[i])
	if err := m.Call(s.t.Context(), "start", s.traffic, nil); err != nil {
		s.t.Fatal(err)
	}
	if i == len(s.members) {
		s.members = append(s.members, m)
	} else {
		s.members[i] = m
	}
}

// moreReads waits until every member has read n times more.
func (s *storm) moreReads(n int64) {
	s.t.Helper()
	for i, m := range s.members {
		first := s.reads(m)
		redstarttest.Eventually(s.t, time.Minute, fmt.Sprintf("process %d reads on", i), func() bool { return s.reads(m) >= first+n })
	}
}

func (s *storm) reads(m *harness.Child) (n int64) {
	s.t.Helper()
	if err := m.Call(s.t.Context(), "reads", 0, &n); err != nil {
		s.t.Fatal(err)
	}
	return n
}

// stop ends the traffic and adds up what the caches of the living have
// counted.
func (s *storm) stop() (sum cache.Stats) {
	s.t.Helper()
	for i, m := range s.members {
		var stats cache.Stats
		err := m.Call(s.t.Context(), "stop", 0, nil)
		err = errors.Join(err, m.Call(s.t.Context(), "stats", 0, &stats))
		if err != nil {
			s.t.Errorf("process %d: %v", i, err)
		}
		sum.Refused += stats.Refused
		sum.LeasesLost += stats.LeasesLost
		sum.Loads += stats.Loads
		sum.Uncached += stats.Uncached
		sum.Waits += stats.Waits
		m.Close()
	}
	return sum
}

// resets is how many connections the proxies have reset.
func (s *storm) resets() (n int64) {
	for _, p := range s.proxies {
		n += p.Faults().Resets
	}
	return n
}

// happened fails the test for each fault that did not take place.
func (s *storm) happened(stats cache.Stats) {
	for what, n := range map[string]int{
		"processes killed": s.kills, "processes frozen": s.freezes, "servers restarted": s.restarts,
		"scripts flushed": s.flushes, "replies lost": s.lost, "fills held back": s.late,
		"connections reset": int(s.resets()), "fills refused": int(stats.Refused), "leases lost": int(stats.LeasesLost), "loads without the server": int(stats.Uncached),
	} {
		if n == 0 {
			s.t.Errorf("%s: none; the run proves nothing", what)
		}
	}
}

func (s *storm) String() string {
	return fmt.Sprintf("%d processes killed, %d frozen past the lease, %d server kills (AOF always), %d connections reset, %d replies lost, %d fills held back, %d SCRIPT FLUSH",
		s.kills, s.freezes, s.restarts, s.resets(), s.lost, s.late, s.flushes)
}

// gather makes a storm: members with a recipe on a server.
func gather(t *testing.T, l redstarttest.Launcher, recipe string, seed uint64, processes int) (*storm, string) {
	t.Helper()
	return gatherOf(t, l, recipe, seed, processes, false)
}

// gatherOf is gather; its writers may write through the cache.
func gatherOf(t *testing.T, l redstarttest.Launcher, recipe string, seed uint64, processes int, through bool) (*storm, string) {
	t.Helper()
	server, name := start(t, l, redstarttest.ServerConfig{AOF: "always"})
	source := harness.NewSource(t)
	latency := []int{2, 2, 2, 2, 5, 5, 5, 5, 10, 10, 10, 10, 25, 25, 25, 250} // ms; the last outlasts the third of a lease after which its loss is noticed
	source.Behave(func(ctx context.Context, _ harness.Ask, a harness.Answer) harness.Answer {
		select {
		case <-time.After(time.Duration(latency[rand.IntN(len(latency))]) * time.Millisecond):
		case <-ctx.Done():
		}
		return a
	})
	dir := t.TempDir()
	recordCommits(t, source, dir+"/clock", dir)
	s := &storm{
		t: t, rng: harness.Rand(seed, "storm", 0), lease: 300 * time.Millisecond, server: server,
		traffic: trafficArg{Seed: seed, Keys: 8, Readers: 8, Writers: 2, Pause: 20 * time.Millisecond},
	}
	for p := range processes {
		way := newProxy(t, server)
		s.proxies = append(s.proxies, way)
		s.args = append(s.args, memberArg{
			Recipe: recipe, Through: through, URL: way.URL(), Direct: server.URL(), Process: p, Source: source.Addr(),
			TTL: 2 * time.Second, Lease: s.lease, LoadTimeout: 5 * time.Second, ErrorTTL: 50 * time.Millisecond, Lock: time.Second,
			Clock: dir + "/clock", History: dir,
		})
		s.begin(p)
	}
	return s, name
}
