package faults

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/faults/harness"
	"github.com/redstart-go/redstart/faults/history"
	"github.com/redstart-go/redstart/limit"
	"github.com/redstart-go/redstart/redstarttest"
	"github.com/redstart-go/redstart/redstarttest/topology"
)

const togetherIDs = 6

// asOne are limits of every algorithm whose units do not come back while a
// test runs, so that what each has counted is a whole number; the last but one
// is the tightest, and a shadow has the most.
func asOne() []limit.Limit {
	const year = 366 * 24 * time.Hour
	return []limit.Limit{
		{Rate: 5000, Per: year},
		{Name: "log", Algorithm: limit.SlidingLog, Rate: 4000, Per: year},
		{Name: "counter", Algorithm: limit.SlidingCounter, Rate: 3000, Per: year},
		{Name: "window", Algorithm: limit.FixedWindow, Rate: 60, Per: year},
		{Name: "shadow", Rate: 9000, Per: year, Shadow: true},
	}
}

// observer looks at the ids that are in use, all limits of one at one moment.
type observer struct {
	limiter *limit.Limiter
	work    sync.WaitGroup
	stop    context.CancelFunc

	looks, full, failed int // looks without an answer; full: with the tightest used up
	torn                []string
}

func observe(t *testing.T, url string, epoch time.Duration) *observer {
	t.Helper()
	l, err := limit.New(openHere(t, url, redstart.Config{}), limit.Config{Key: potKey(0), Limits: asOne(), Timeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	o := &observer{limiter: l}
	ctx, stop := context.WithCancel(t.Context())
	o.stop = stop
	o.work.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			o.look(ctx, int(harness.Monotonic()/uint64(epoch))*togetherIDs+i%togetherIDs)
			rest(ctx, 300*time.Microsecond)
		}
	})
	return o
}

func (o *observer) look(ctx context.Context, id int) {
	d, err := o.limiter.Peek(ctx, fmt.Sprint(id))
	if err != nil {
		o.failed++ // the server is away at times
		return
	}
	o.looks++
	c := history.Charged{ID: fmt.Sprint(id)}
	for _, s := range d.Each {
		c.Units = append(c.Units, s.Limit-s.Remaining)
	}
	if d.Remaining == 0 {
		o.full++
	}
	o.torn = append(o.torn, history.Torn([]history.Charged{c})...)
}

// judge ends the looking, looks at every id once more, and compares what was
// charged with what was granted: what the callers got was charged, and what was
// charged somebody asked for.
func (o *observer) judge(t *testing.T, events []history.Event, killed int64) (ids int) {
	t.Helper()
	o.stop()
	o.work.Wait()
	redstarttest.Eventually(t, 30*time.Second, "the server is back", func() bool {
		_, err := o.limiter.Peek(t.Context(), "0")
		return err == nil
	})
	got, lost := map[uint32]int64{}, map[uint32]int64{}
	for _, e := range events {
		switch e.Kind {
		case history.Granted:
			got[e.Key] += int64(e.Version)
		case history.Unanswered:
			lost[e.Key] += 10 * int64(e.Version) // it may have been a TakeUpTo
		}
	}
	for id, n := range got {
		o.look(t.Context(), int(id))
		d, err := o.limiter.Peek(t.Context(), fmt.Sprint(id))
		if err != nil {
			t.Fatal(err)
		}
		charged := d.Limit - d.Remaining
		if charged < n || charged > n+lost[id]+killed {
			t.Errorf("id %d: %d units charged, %d granted, %d unanswered", id, charged, n, lost[id])
		}
	}
	first(t, o.torn)
	if o.looks < 200 || o.full == 0 {
		t.Errorf("%d looks, %d of them at denials; the run proves nothing", o.looks, o.full)
	}
	return len(got)
}

// TestL4LimitsAreDecidedAsOne: a unit is taken of all limits or of none, of every
// algorithm, also when the answer is lost or the server dies.
func TestL4LimitsAreDecidedAsOne(t *testing.T) {
	form := harness.Run(t)
	seed := harness.Seed(t)
	arg := spenderArg{
		Recipe: redstarts, Pots: []pot{{Sets: [][]limit.Limit{asOne()}}}, IDs: togetherIDs, Epoch: 300 * time.Millisecond,
		Units: 3, Callers: 8,
	}
	var servers []string
	looks, ids, took := 0, 0, ""
	for _, l := range launchers(t, form, false) {
		t.Run(l.Name, func(t *testing.T) {
			s, name := besiege(t, l, seed, 3, arg)
			servers = append(servers, name)
			o := observe(t, s.server.URL(), arg.Epoch)
			s.rage(harness.Choose(form, 3*time.Second, 25*time.Second), 0, s.everything())
			sum, events := s.halt()
			s.stricken(sum)
			ids += o.judge(t, events, int64(s.kills*arg.Callers)*10*arg.Units)
			looks, took = looks+o.looks, s.String()
			t.Logf("%+v, %d looks, %d at denials, %d without the server: %s", sum, o.looks, o.full, o.failed, took)
		})
	}
	moves := harness.Choose(form, 3, 20)
	t.Run("cluster", func(t *testing.T) {
		cl := topology.RunCluster(t, topology.ClusterConfig{Path: launchers(t, form, false)[0].Path, Replicas: -1})
		moving := arg
		moving.Epoch = time.Hour // the ids are few, so that their slots can move under them
		moving.Recipe = redstarts
		s := &siege{dir: t.TempDir(), storm: &storm{t: t, rng: harness.Rand(seed, "moves", 0), args: []memberArg{{Recipe: redstarts}}}}
		moving.Seed, moving.History, moving.URL = seed, s.dir, cl.URL()
		moving.Units = 1
		for p := range 3 {
			moving.Process = p
			s.join(moving)
		}
		o := observe(t, cl.URL(), moving.Epoch)
		tag := fmt.Sprintf("{%d}", int(harness.Monotonic()/uint64(moving.Epoch))*togetherIDs)
		s.move(cl, tag, moves)
		_, events := s.halt()
		ids += o.judge(t, events, 0)
		looks += o.looks
	})
	torn := naiveTorn(t)
	keep(t, form, "L4", servers, "in 0 of %d looks at %d ids one of 5 limits (GCRA, sliding log, counter, fixed window, a shadow) was charged without another, with denials by the tightest; every unit granted was charged, none that nobody asked for; on each server as here: %s; and %d moves of a live slot key by key (one limit after the other: %d of %d ids charged apart)",
		looks, ids, took, moves, torn, naiveIDs)
}

// naiveTorn is how many ids the naive recipe has charged apart.
func naiveTorn(t *testing.T) (torn int) {
	t.Helper()
	t.Run(inTurn, func(t *testing.T) {
		server := redstarttest.Run(t, redstarttest.ServerConfig{})
		arg := spenderArg{
			Recipe: inTurn, URL: server.URL(), History: t.TempDir(), IDs: naiveIDs, Units: 1, Callers: 8, Seed: 1,
			Pots: []pot{{Sets: [][]limit.Limit{{{Rate: 5000, Per: time.Hour}, {Name: "b", Rate: 20, Per: time.Hour}}}}},
		}
		child := harness.Start(t, "spender", arg)
		redstarttest.Eventually(t, 30*time.Second, "there are denials", func() bool {
			var n spent
			return child.Call(t.Context(), "spent", 0, &n) == nil && n.Denied > 20*naiveIDs
		})
		child.Close()
		var all []history.Charged
		for id := range naiveIDs {
			c := history.Charged{ID: fmt.Sprint(id)}
			for i := range 2 {
				v, err := server.Do(t.Context(), "GET", fmt.Sprintf("naive:%d:%d", id, i))
				if err != nil {
					t.Fatal(err)
				}
				var n int64
				if _, err := fmt.Sscan(strings.TrimSpace(fmt.Sprint(v)), &n); err != nil {
					t.Fatal(err)
				}
				c.Units = append(c.Units, n)
			}
			all = append(all, c)
		}
		torn = len(history.Torn(all))
		if torn == 0 {
			t.Errorf("the checker finds no fault with it: %v", all)
		}
	})
	return torn
}
