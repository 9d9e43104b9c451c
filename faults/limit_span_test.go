package faults

import (
	"testing"
	"time"

	"github.com/redstart-go/redstart/faults/harness"
	"github.com/redstart-go/redstart/faults/history"
	"github.com/redstart-go/redstart/limit"
	"github.com/redstart-go/redstart/redstarttest"
	"github.com/redstart-go/redstart/redstarttest/topology"
)

// limited is the limits of L1, each with what it lets pass in any span.
func limited(processes, ids int) ([]pot, map[uint32]history.Allowance) {
	const half, batch = 500 * time.Millisecond, 10
	one := func(l limit.Limit) pot { return pot{Sets: [][]limit.Limit{{l}}} }
	pots := []pot{
		one(limit.Limit{Rate: 50, Burst: 20}),
		one(limit.Limit{Rate: 300, Burst: 30}), // a unit is no whole number of µs
		one(limit.Limit{Algorithm: limit.SlidingLog, Rate: 40, Per: half}),
		one(limit.Limit{Algorithm: limit.SlidingCounter, Rate: 40, Per: half}),
		one(limit.Limit{Algorithm: limit.FixedWindow, Rate: 40, Per: half}),
		{Sets: [][]limit.Limit{{{Rate: 50, Burst: 20}}}, Batch: batch},
		{Sets: [][]limit.Limit{{{Rate: 100, Burst: 20}, {Name: "log", Algorithm: limit.SlidingLog, Rate: 40, Per: half}}}},
	}
	windows := func(edges int64) history.Allowance { return history.Allowance{Rate: 40, Per: half, Windows: edges} }
	each := []history.Allowance{
		{Burst: 20, Rate: 50, Per: time.Second},
		{Burst: 30, Rate: 300, Per: time.Second},
		windows(1),
		windows(2), // its documented error: twice the rate
		windows(2),
		{Burst: 20 + int64(processes)*batch, Rate: 50, Per: time.Second},
		windows(1),
	}
	allowed := map[uint32]history.Allowance{}
	for p, a := range each {
		for id := range ids {
			allowed[uint32(p*potsApart+id)] = a
		}
	}
	return pots, allowed
}

// TestL1NoMoreThanTheLimit: processes take all they can get of a few ids, while
// everything fails that can. Judged by the machine's monotonic clock.
func TestL1NoMoreThanTheLimit(t *testing.T) {
	form := harness.Run(t)
	seed := harness.Seed(t)
	const processes, ids = 4, 2
	pots, allowed := limited(processes, ids)
	arg := spenderArg{Recipe: redstarts, Pots: pots, IDs: ids, Units: 3, Callers: 12}
	var servers []string
	var units uint64
	var total spent
	fullest := 0.0
	took := ""
	for _, l := range launchers(t, form, false) {
		t.Run(l.Name, func(t *testing.T) {
			s, name := besiege(t, l, seed, processes, arg)
			servers = append(servers, name)
			s.rage(harness.Choose(form, 4*time.Second, 25*time.Second), 0, s.everything())
			sum, events := s.halt()
			s.stricken(sum)
			wrong, full, n := history.OverLimit(events, allowed)
			first(t, wrong)
			t.Logf("%+v, %d units, fullest %.3f: %s", sum, n, full, s)
			units, fullest, took = units+n, max(fullest, full), s.String()
			total = spent{total.Granted + int64(history.Count(events, history.Granted)), total.Denied + sum.Denied, total.Unanswered + sum.Unanswered, 0}
		})
	}
	moves := harness.Choose(form, 4, 20)
	t.Run("cluster", func(t *testing.T) {
		n, grants, full := l1Moves(t, launchers(t, form, false)[0], seed, arg, allowed, moves)
		units, fullest, total.Granted = units+n, max(fullest, full), total.Granted+grants
	})
	over := map[string]int{}
	for _, recipe := range []string{getIncr, clientWindow} {
		t.Run(recipe, func(t *testing.T) {
			// Both promise 20 in a second; whole seconds are what EXPIRE knows.
			naive := arg
			naive.Recipe, naive.Pots, naive.Callers = recipe, []pot{{Sets: [][]limit.Limit{{{Rate: 20, Per: time.Second}}}}}, 16
			s, _ := besiege(t, launchers(t, form, false)[0], seed, processes, naive)
			s.rage(2*time.Second, 0, s.everything())
			_, events := s.halt()
			promised := map[uint32]history.Allowance{}
			for key := range allowed {
				promised[key] = history.Allowance{Burst: 20, Rate: 20, Per: time.Second}
			}
			wrong, full, n := history.OverLimit(events, promised)
			if len(wrong) == 0 {
				t.Errorf("the checker finds no fault with it in %d units", n)
			}
			over[recipe] = int(100 * full)
		})
	}
	keep(t, form, "L1", servers, "0 of %d ids ever had more than burst + rate × t in any span (GCRA, also of fractional cost and in batches; sliding log; counter and fixed window: their documented twice), %d units in %d grants by %d processes, %d denials, %d calls without an answer; the fullest span had %.1f %% of its allowance; on each server as here: %s; and %d moves of live slots key by key in a cluster (GET, compare, INCR, EXPIRE: %d %% in the fullest span; fixed windows by clients' clocks, half of them an hour ahead: %d %%)",
		len(allowed)*(len(servers)+1), units, total.Granted, processes, total.Denied, total.Unanswered, 100*fullest, took, moves, over[getIncr], over[clientWindow])
}

// l1Moves is L1 in a cluster whose slots move under the traffic.
func l1Moves(t *testing.T, l redstarttest.Launcher, seed uint64, arg spenderArg, allowed map[uint32]history.Allowance, moves int) (units uint64, grants int64, fullest float64) {
	t.Helper()
	cl := topology.RunCluster(t, topology.ClusterConfig{Path: l.Path, Replicas: -1})
	s := &siege{dir: t.TempDir(), storm: &storm{t: t, rng: harness.Rand(seed, "moves", 0), args: []memberArg{{Recipe: redstarts}}}}
	arg.Seed, arg.History, arg.URL = seed, s.dir, cl.URL()
	for p := range 4 {
		arg.Process = p
		s.join(arg)
	}
	s.move(cl, "{0}", moves)
	sum, events := s.halt()
	wrong, fullest, units := history.OverLimit(events, allowed)
	first(t, wrong)
	t.Logf("%+v, %d units, fullest %.3f", sum, units, fullest)
	return units, int64(history.Count(events, history.Granted)), fullest
}
