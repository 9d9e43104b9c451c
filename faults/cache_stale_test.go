package faults

import (
	"testing"
	"time"

	"github.com/redstart-go/redstart/faults/harness"
	"github.com/redstart-go/redstart/faults/history"
	"github.com/redstart-go/redstart/redstarttest"
)

// TestC2NoStaleRead: readers and writers in several processes while fills are
// held back, replies lost, connections reset, processes and the server killed
// and frozen. No read may give a version older than the highest whose
// invalidation, or anyone's DEL, had returned before the read began.
func TestC2NoStaleRead(t *testing.T) {
	form := harness.Run(t)
	seed := harness.Seed(t)
	var servers []string
	reads, floors, refused := 0, 0, uint64(0)
	var first *storm
	for i, l := range launchers(t, form, true) {
		within, events := harness.Choose(form, 5*time.Second, 40*time.Second), harness.Choose(form, 6_000, 100_000)
		if i > 0 {
			within, events = harness.Choose(form, 2*time.Second, 12*time.Second), harness.Choose(form, 2_000, 15_000)
		}
		t.Run(l.Name, func(t *testing.T) {
			s, name := gather(t, l, redstarts, seed, 3)
			servers = append(servers, name)
			s.moreReads(100) // traffic before
			s.rage(within, events, s.faultsOf(true))
			s.moreReads(100) // and after
			stats := s.stop()
			s.happened(stats)
			events, err := history.ReadDir(s.args[0].History)
			if err != nil {
				t.Fatal(err)
			}
			reportAll(t, history.Stale(events))
			reportAll(t, history.Invented(events))
			r, f := history.Count(events, history.Read), history.Count(events, history.Invalidated)
			t.Logf("%d reads (%d failed), %d invalidations (%d failed), %d loads, %d fills refused, %d leases lost, %d loads without the server, %d waits",
				r, history.Count(events, history.ReadFailed), f, history.Count(events, history.InvalidateFailed),
				stats.Loads, stats.Refused, stats.LeasesLost, stats.Uncached, stats.Waits)
			t.Logf("faults: %v", s)
			reads, floors, refused = reads+r, floors+f, refused+stats.Refused
			if first == nil {
				first = s
			}
		})
	}
	if least := harness.Choose(form, 5_000, 100_000); reads < least && !t.Failed() {
		t.Errorf("%d reads in all, want at least %d", reads, least)
	}
	stale, of := naiveStale(t, seed)
	keep(t, form, "C2", servers, "0 stale of %d reads after %d invalidations and DELs, %d fills refused; on the first server: %v (GET/SETEX under delays alone: %d stale of %d reads)",
		reads, floors, refused, first, stale, of)
}

// reportAll fails the test for violations, and shows the first ones.
func reportAll(t *testing.T, violations []history.Violation) {
	t.Helper()
	for i, v := range violations {
		if i == 5 {
			break
		}
		t.Error(v)
	}
	if n := len(violations); n > 5 {
		t.Errorf("… %d violations in all", n)
	}
}

// naiveStale is how many stale reads GET/SETEX gives. The checker must find
// some, and no invented ones.
func naiveStale(t *testing.T, seed uint64) (stale, of int) {
	t.Helper()
	t.Run(cacheAside, func(t *testing.T) {
		l := redstarttest.Launchers()[0]
		s, _ := gather(t, l, cacheAside, seed, 2)
		s.moreReads(100)
		s.rage(time.Second, 0, s.faultsOf(false))
		s.moreReads(100)
		s.stop()
		events, err := history.ReadDir(s.args[0].History)
		if err != nil {
			t.Fatal(err)
		}
		stale, of = len(history.Stale(events)), history.Count(events, history.Read)
		if stale == 0 {
			t.Errorf("the checker finds no stale read of %d", of)
		}
		reportAll(t, history.Invented(events))
	})
	return stale, of
}
