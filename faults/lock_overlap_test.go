package faults

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/redstart-go/redstart/faults/harness"
	"github.com/redstart-go/redstart/faults/history"
	"github.com/redstart-go/redstart/redstarttest"
	"github.com/redstart-go/redstart/redstarttest/proxy"
	"github.com/redstart-go/redstart/redstarttest/topology"
)

const (
	m1Processes = 5
	m1Workers   = 10 // of each
	m1Lease     = 400 * time.Millisecond
)

var m1Locks = map[string]int{forOne: 4, forMany: 1, forPermit: 1, forLeader: 1}

// assault is holders at work, each process behind a proxy of its own, and faults
// that strike them and their server.
type assault struct {
	t       *testing.T
	rng     *rand.Rand
	server  *redstarttest.Server
	proxies []*proxy.Proxy
	members []*harness.Child
	args    []holderArg
	work    workArg

	kills, freezes, crashes, stalls, flushes, lost, late, cuts int
}

// newAssault makes an assault on one server.
func newAssault(t *testing.T, l redstarttest.Launcher, recipe string, seed uint64, processes int, lease time.Duration) (*assault, string) {
	t.Helper()
	server, name := start(t, l, redstarttest.ServerConfig{AOF: "always"})
	s := &assault{
		t: t, rng: harness.Rand(seed, "siege", 0), server: server,
		work: workArg{Seed: seed, Workers: m1Workers, Kinds: m1Locks},
	}
	if recipe != redstarts {
		s.work.Kinds = map[string]int{forOne: 12}
	}
	dir := t.TempDir()
	for p := range processes {
		way := newProxy(t, server)
		s.proxies = append(s.proxies, way)
		s.args = append(s.args, holderArg{Recipe: recipe, URL: way.URL(), Nodes: []string{server.Addr()}, Process: p, Lease: lease, History: dir})
		s.begin(p)
	}
	return s, name
}

// begin starts process i and its work.
func (s *assault) begin(i int) {
	s.t.Helper()
	m := harness.Start(s.t, "holder", s.args[i])
	ask(s.t, m, "start", s.work, nil)
	if i == len(s.members) {
		s.members = append(s.members, m)
	} else {
		s.members[i] = m
	}
}

func (s *assault) pause(least, most int) {
	<-time.After(time.Duration(least+s.rng.IntN(most-least)) * time.Millisecond)
}

func (s *assault) pick() int { return s.rng.IntN(len(s.members)) }

// lostReply swallows the reply to a script that ran.
func (s *assault) lostReply() {
	then := []proxy.Then{proxy.CutConnection, proxy.LeaveHanging}[s.rng.IntN(2)]
	rule := s.proxies[s.pick()].AddRule(proxy.Rule{Match: proxy.Named("EVALSHA"), Nth: 1 + s.rng.IntN(3), Action: proxy.SwallowReply(then)})
	s.strike(rule)
	rule.Remove()
	s.lost += rule.Hits()
}

// lateRequest holds scripts, and lets them arrive when their sender has lost
// patience, or the connection.
func (s *assault) lateRequest() {
	p := s.proxies[s.pick()]
	rule := p.AddRule(proxy.Rule{Match: proxy.Named("EVALSHA"), Action: proxy.HoldRequest()})
	s.strike(rule)
	s.pause(50, 600)
	if s.rng.IntN(2) == 0 {
		p.Reset()
	}
	rule.Remove()
	s.late += rule.Hits()
}

func (s *assault) strike(rule *proxy.Handle) {
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	if err := rule.Wait(ctx); err != nil {
		s.t.Errorf("a fault did not strike: %v", err)
	}
}

func (s *assault) cut() { s.cuts += s.proxies[s.pick()].Reset() }

func (s *assault) flushScripts() {
	if _, err := s.server.Do(s.t.Context(), "SCRIPT", "FLUSH"); err != nil {
		s.t.Errorf("SCRIPT FLUSH: %v", err)
	}
	s.flushes++
}

func (s *assault) killMember() {
	i := s.pick()
	s.members[i].Kill()
	s.kills++
	s.args[i].Life++
	s.begin(i)
}

// freezeMember stops a process for longer than its leases last.
func (s *assault) freezeMember() {
	m := s.members[s.pick()]
	m.Freeze()
	s.freezes++
	least := int(s.args[0].Lease.Milliseconds()) * 5 / 4
	s.pause(least, least+200)
	m.Continue()
}

// stallServer stops the server, for less or more than a lease.
func (s *assault) stallServer() {
	if err := s.server.Freeze(); err != nil {
		s.t.Error(err)
	}
	s.stalls++
	s.pause(50, 800)
	if err := s.server.Continue(); err != nil {
		s.t.Error(err)
	}
}

func (s *assault) crashServer() {
	if err := s.server.Kill(); err != nil {
		s.t.Error(err)
	}
	s.pause(20, 200)
	if err := s.server.Restart(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	s.crashes++
}

// rage strikes until the time is over, every fault at least once.
func (s *assault) rage(within time.Duration, faults []func()) {
	for i, p := range s.proxies {
		p.Jitter(time.Duration(i)*time.Millisecond, s.rng.Uint64())
	}
	for end := time.Now().Add(within); ; {
		for _, i := range s.rng.Perm(len(faults)) {
			s.pause(20, 120)
			faults[i]()
			if s.t.Failed() {
				return
			}
		}
		if time.Now().After(end) {
			return
		}
	}
}

// goOn waits until every process has held n locks more.
func (s *assault) goOn(n int64) {
	s.t.Helper()
	for i, m := range s.members {
		var first, now holderCounts
		ask(s.t, m, "counts", 0, &first)
		redstarttest.Eventually(s.t, time.Minute, fmt.Sprintf("process %d holds locks", i), func() bool {
			ask(s.t, m, "counts", 0, &now)
			return now.Got >= first.Got+n
		})
	}
}

// stop ends the work and gives the history, and what an order at the server says
// against it, which do reads.
func (s *assault) stop(do func(args ...string) (any, error)) (events []history.Event, mixed []string) {
	s.t.Helper()
	for _, m := range s.members {
		ask(s.t, m, "stop", 0, nil)
		m.Close()
	}
	events, err := history.ReadDir(s.args[0].History)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, kind := range []string{forOne, forLeader, forQuorum} {
		for n := range s.work.Kinds[kind] {
			mixed = append(mixed, s.mixed(events, lockNumber(kind, n), do)...)
		}
	}
	return events, mixed
}

// mixed is what the order of a lock's marks says.
func (s *assault) mixed(events []history.Event, number uint32, do func(args ...string) (any, error)) []string {
	s.t.Helper()
	list, err := do("LRANGE", marksOf(number), "0", "-1")
	if err != nil {
		s.t.Fatal(err)
	}
	var order []history.Mark
	for _, text := range list.([]any) {
		var m history.Mark
		if _, err := fmt.Sscan(text.(string), &m.Holder, &m.Number); err != nil {
			s.t.Fatal(err)
		}
		order = append(order, m)
	}
	return history.Mixed(events, number, order, s.args[0].Recipe == redstarts)
}

// overlapsOf is what Overlaps says of all kinds of locks.
func overlapsOf(events []history.Event) []string {
	var plain, limited []history.Event
	for _, e := range events {
		if e.Key >= lockNumber(forPermit, 0) {
			limited = append(limited, e)
		} else {
			plain = append(plain, e)
		}
	}
	return append(history.Overlaps(plain, 0), history.Overlaps(limited, permits)...)
}

// reportTexts fails the test for what is wrong, and shows the first ones.
func reportTexts(t *testing.T, what string, wrong []string) {
	t.Helper()
	if len(wrong) > 0 {
		t.Errorf("%s: %d, such as\n%s", what, len(wrong), strings.Join(wrong[:min(5, len(wrong))], "\n"))
	}
}

// TestM1NoOverlap: 50 goroutines in 5 processes hold a few locks, alone, shared
// and by permit, under every fault but a failover. Two checkers judge: by the
// machine's clock, during which a holder's lease was surely his, and by the
// order in which the server took marks that holders left.
func TestM1NoOverlap(t *testing.T) {
	form := harness.Run(t)
	seed := harness.Seed(t)
	var servers []string
	holds, marks := 0, 0
	var first *assault
	for i, l := range launchers(t, form, false) {
		t.Run(l.Name, func(t *testing.T) {
			s, name := newAssault(t, l, redstarts, seed, m1Processes, m1Lease)
			servers = append(servers, name)
			s.goOn(20)
			all := []func(){s.lostReply, s.lateRequest, s.cut, s.flushScripts, s.killMember, s.freezeMember, s.stallServer, s.crashServer}
			s.rage(harness.Choose(form, time.Second, 40*time.Second), all)
			s.goOn(20)
			events, mixed := s.stop(func(args ...string) (any, error) { return s.server.Do(t.Context(), args...) })
			reportTexts(t, "overlaps by the machine's clock", overlapsOf(events))
			reportTexts(t, "overlaps by the server's order", mixed)
			h, m := history.Count(events, history.Held), history.Count(events, history.Marked)
			t.Logf("%d holds, %d marks; %v", h, m, s)
			holds, marks = holds+h, marks+m
			if i == 0 {
				first = s
			}
		})
	}
	moves := 0
	t.Run("cluster", func(t *testing.T) {
		h, m, n := clusterSiege(t, seed, harness.Choose(form, 4, 40))
		holds, marks, moves = holds+h, marks+m, n
	})
	votes, struck := 0, 0
	t.Run("quorum", func(t *testing.T) {
		h, m, n := quorumSiege(t, seed, harness.Choose(form, 3, 40))
		holds, marks, votes, struck = holds+h, marks+m, h, n
	})
	overlaps, mixed, of := naiveOverlaps(t, seed, lockPoll, harness.Choose(form, 2, 10))
	keep(t, form, "M1", servers, "0 overlaps of %d holds (alone, shared, by permit, as leader, by quorum) and 0 of %d marks out of order, %d goroutines in %d processes, leases of %s; on the first server: %v; in a cluster: %d moves of a slot under load; over %d servers %d holds while %d times one of a minority was killed or frozen, none by a minority "+
		"(SET NX EX 1, poll, DEL with holders frozen: %d overlaps and %d marks out of order of %d holds)",
		holds, marks, m1Processes*m1Workers, m1Processes, m1Lease, first, moves, quorumServers, votes, struck, overlaps, mixed, of)
}

func (s *assault) String() string {
	return fmt.Sprintf("%d processes killed, %d frozen past the lease, %d server kills (AOF always), %d server freezes, %d replies lost, %d scripts late, %d connections reset, %d SCRIPT FLUSH",
		s.kills, s.freezes, s.crashes, s.stalls, s.lost, s.late, s.cuts, s.flushes)
}

// clusterSiege moves the locks' slots while they are held.
func clusterSiege(t *testing.T, seed uint64, rounds int) (holds, marks, moves int) {
	t.Helper()
	cl := topology.RunCluster(t, topology.ClusterConfig{Replicas: -1, NodeTimeout: 10 * time.Second})
	s := &assault{t: t, rng: harness.Rand(seed, "cluster siege", 0), work: workArg{Seed: seed, Workers: m1Workers, Kinds: m1Locks}}
	dir := t.TempDir()
	for p := range 2 {
		s.args = append(s.args, holderArg{Recipe: redstarts, URL: cl.URL(), Nodes: cl.Addrs(), Process: p, Lease: m1Lease, History: dir})
		s.begin(p)
	}
	s.goOn(20)
	for i := range rounds {
		slot := slotOf(t, cl, marksOf(lockNumber(forOne, i%m1Locks[forOne])))
		from, err := cl.PrimaryOf(t.Context(), slot)
		if err != nil {
			t.Fatal(err)
		}
		to := cl.Nodes()[s.rng.IntN(3)]
		if to == from {
			to = cl.Nodes()[(i+1)%3]
		}
		if to == from {
			to = cl.Nodes()[(i+2)%3]
		}
		m, err := cl.BeginMigration(t.Context(), slot, to)
		if err != nil {
			t.Fatal(err)
		}
		for moved := 1; moved > 0; {
			if moved, err = m.MoveKeys(t.Context(), 1); err != nil {
				t.Fatal(err)
			}
			s.pause(5, 40)
		}
		if err := m.End(t.Context()); err != nil {
			t.Fatal(err)
		}
		moves++
		s.goOn(10)
	}
	events, mixed := s.stop(func(args ...string) (any, error) {
		n, err := cl.PrimaryOf(t.Context(), slotOf(t, cl, args[1]))
		if err != nil {
			return nil, err
		}
		return n.Do(t.Context(), args...)
	})
	reportTexts(t, "overlaps by the machine's clock", overlapsOf(events))
	reportTexts(t, "overlaps by the server's order", mixed)
	return history.Count(events, history.Held), history.Count(events, history.Marked), moves
}

func slotOf(t *testing.T, cl *topology.Cluster, key string) int {
	t.Helper()
	n, err := cl.Nodes()[0].Do(t.Context(), "CLUSTER", "KEYSLOT", key)
	if err != nil {
		t.Fatal(err)
	}
	return int(n.(int64))
}

// naiveOverlaps is what the checkers find of a recipe whose processes are frozen
// past the lock's expiry. Both must find something.
func naiveOverlaps(t *testing.T, seed uint64, recipe string, rounds int) (overlaps, mixed, of int) {
	t.Helper()
	t.Run(recipe, func(t *testing.T) {
		s, _ := newAssault(t, redstarttest.Launchers()[0], recipe, seed, 3, time.Second)
		s.goOn(5)
		for range rounds {
			s.freezeMember()
			s.pause(200, 400)
		}
		events, wrong := s.stop(func(args ...string) (any, error) { return s.server.Do(t.Context(), args...) })
		overlaps, mixed, of = len(history.Overlaps(events, 0)), len(wrong), history.Count(events, history.Held)
		if overlaps == 0 || mixed == 0 {
			t.Errorf("the checkers find %d overlaps and %d marks out of order in %d holds", overlaps, mixed, of)
		}
	})
	return overlaps, mixed, of
}
