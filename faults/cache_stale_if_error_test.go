package faults

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redstart-go/redstart/faults/harness"
	"github.com/redstart-go/redstart/faults/history"
	"github.com/redstart-go/redstart/redstarttest"
)

var aging = history.Aging{TTL: 300 * time.Millisecond, StaleFor: time.Second, ErrorTTL: 200 * time.Millisecond, Slack: 4 * time.Millisecond}

// illSource is members whose source is well, slow or down. Each load gives a
// version of its own.
type illSource struct {
	*crowd

	slow atomic.Int64 // how long a load takes, in ns
	down atomic.Bool

	failing time.Duration // how long in all
}

// lateWithin is the soft timeout, which a slow source exceeds.
const lateWithin = 60 * time.Millisecond

func newIllSource(t *testing.T, l redstarttest.Launcher, seed uint64, recipe string, hows []string) (*illSource, string) {
	t.Helper()
	server, name := start(t, l, redstarttest.ServerConfig{})
	s := &illSource{}
	s.crowd = newCrowd(t, seed, 3, refinedArg{
		memberArg: memberArg{
			Recipe: recipe, URL: server.URL(), Direct: server.URL(),
			TTL: aging.TTL, Lease: time.Second, LoadTimeout: 5 * time.Second, ErrorTTL: aging.ErrorTTL,
		},
		StaleFor: aging.StaleFor, SoftTimeout: lateWithin, Tagged: true, Written: 6,
	}, bustleArg{Keys: 12, Quiet: 6, Readers: 4, Every: 10 * time.Millisecond, Rounds: true, Hows: hows, Pause: 150 * time.Millisecond}, nil)
	s.source.Behave(s.answer)
	s.slow.Store(int64(5 * time.Millisecond))
	return s, name
}

func (s *illSource) answer(ctx context.Context, ask harness.Ask, answer harness.Answer) harness.Answer {
	e := history.Event{Kind: history.Loaded, Process: uint16(ask.Process), Key: rowNumber(ask.Key), Begin: harness.Monotonic()}
	if s.down.Load() {
		e.Kind, answer.Err = history.LoadFailed, "the source is down"
	} else {
		answer.Version = s.source.Commit(ask.Key)
	}
	e.Version = answer.Version
	rest(ctx, time.Duration(s.slow.Load()))
	e.End = harness.Monotonic()
	s.add(e)
	return answer
}

// fails lets the source fail for a while.
func (s *illSource) fails(d time.Duration, midway func()) {
	s.down.Store(true)
	s.pause(d / 2)
	midway()
	s.pause(d / 2)
	s.down.Store(false)
	s.failing += d
}

// clear ends everything, by process 0.
func (s *illSource) clear() {
	s.t.Helper()
	versions := make([]uint64, s.traffic.Keys)
	for key := range versions {
		versions[key] = s.source.Version(rowName(key))
	}
	begin := harness.Monotonic()
	ask(s.t, s.members[0], "write", oneArg{How: byClear, Key: rowName(0)}, nil)
	end := harness.Monotonic()
	for key, version := range versions {
		s.add(history.Event{Kind: history.Invalidated, Process: 1000, Key: uint32(key), Version: version, Begin: begin, End: end})
	}
}

// overtaken is how many loads were under way while their key was invalidated.
func overtaken(events []history.Event) (n int) {
	for _, l := range events {
		if l.Kind != history.Loaded {
			continue
		}
		for _, w := range events {
			if w.Kind == history.Invalidated && w.Key == l.Key && w.Version > l.Version && w.Begin > l.Begin && w.End < l.End {
				n++
				break
			}
		}
	}
	return n
}

// TestC8StaleIfError: the source is slow, fails, is well again and fails once
// more, while keys are invalidated in every way.
func TestC8StaleIfError(t *testing.T) {
	form := harness.Run(t)
	seed := harness.Seed(t)
	rounds := harness.Choose(form, 1, 8)
	var servers []string
	var failing time.Duration
	stale, reads, floors, late, failed, quiet, atEnd := 0, 0, 0, 0, 0, 0, 0
	var soft []time.Duration
	for _, l := range launchers(t, form, false) {
		t.Run(l.Name, func(t *testing.T) {
			s, name := newIllSource(t, l, seed, redstarts, []string{byInvalidate, foreignDel, byTag})
			servers = append(servers, name)
			s.begin()
			s.more("reads", 100, func(n counts) int64 { return n.Reads })
			for range rounds {
				s.slow.Store(int64(4 * lateWithin))
				s.pause(750 * time.Millisecond)
				s.clear()
				s.pause(750 * time.Millisecond)
				s.slow.Store(int64(5 * time.Millisecond))
				s.pause(aging.TTL)
				s.fails(aging.TTL+aging.StaleFor+time.Second, func() {})
				s.pause(aging.TTL + 2*aging.ErrorTTL)
				s.fails(800*time.Millisecond, s.clear)
				s.pause(aging.TTL + 2*aging.ErrorTTL)
			}
			events := s.stop()
			reportAll(t, history.Stale(events))
			reportAll(t, history.Invented(events))
			wrong, ends := aging.Check(events)
			atEnd += ends
			for i, wrong := range wrong {
				if i < 5 {
					t.Error(wrong)
				}
			}
			mine, waited := 0, 0
			for _, e := range events {
				switch {
				case e.Kind == history.Read && e.Mark&history.Old != 0:
					mine++
					if took := time.Duration(e.End - e.Begin); took >= lateWithin {
						waited++
						soft = append(soft, took)
					}
				case e.Kind == history.LoadFailed:
					failed++
					if int(e.Key) >= s.traffic.Keys-s.traffic.Quiet {
						quiet++
					}
				}
			}
			n := overtaken(events)
			t.Logf("%d reads (%d failed), %d of them flagged, %d invalidations, %d loads overtaken by one, %d loads failed",
				history.Count(events, history.Read), history.Count(events, history.ReadFailed), mine, history.Count(events, history.Invalidated), n, history.Count(events, history.LoadFailed))
			for what, times := range map[string]int{
				"flagged answers": mine, "flagged answers after the soft timeout": waited, "loads overtaken by an invalidation": n, "failed loads": history.Count(events, history.LoadFailed),
				"reads that failed, past StaleFor or after an invalidation": history.Count(events, history.ReadFailed),
			} {
				if times == 0 {
					t.Errorf("%s: none; the run proves nothing", what)
				}
			}
			stale, reads, late = stale+mine, reads+history.Count(events, history.Read), late+n
			floors += history.Count(events, history.Invalidated)
			failing += s.failing * time.Duration(s.traffic.Quiet)
		})
	}
	naive, of := naiveStaleIfError(t, seed)
	keep(t, form, "C8", servers, "0 of %d reads older than one of %d invalidations (Invalidate, DEL, InvalidateTag, Clear), %d of which overtook a slow load; %d answers past their TTL, all flagged, none beyond StaleFor, %d of them when the source was slow: after %s (p99) with a soft timeout of %v; "+
		"%d loads failed, none within ErrorTTL (%v) of another of its key by any of 3 processes, but for %d at the end of the old value, with which the pause ends; of a key that nobody writes %.2f in an ErrorTTL (the last value in a map: %d of %d reads older than an invalidation, none flagged)",
		reads, floors, late, stale, len(soft), harness.Short3(harness.Quantile(soft, 0.99)), lateWithin,
		failed, aging.ErrorTTL, atEnd, float64(quiet)/(float64(failing)/float64(aging.ErrorTTL)), naive, of)
}

// naiveStaleIfError is how many reads of the recipe are older than an
// invalidation. The checker must find some.
func naiveStaleIfError(t *testing.T, seed uint64) (stale, of int) {
	t.Helper()
	t.Run(lastInMap, func(t *testing.T) {
		s, _ := newIllSource(t, launchers(t, harness.Short, false)[0], seed, lastInMap, []string{byInvalidate, foreignDel})
		s.begin()
		s.more("reads", 100, func(n counts) int64 { return n.Reads })
		s.fails(time.Second, func() {})
		events := s.stop()
		stale, of = len(history.Stale(events)), history.Count(events, history.Read)
		if stale == 0 {
			t.Error("the checker of invalidations finds no fault with the last value in a map")
		}
		all, _ := aging.Check(events)
		wrong := strings.Join(all, "\n")
		for _, kind := range []string{"not flagged", "no peace"} {
			if !strings.Contains(wrong, kind) {
				t.Errorf("the checker finds nothing of this kind with the last value in a map: %s", kind)
			}
		}
	})
	return stale, of
}
