package limit

import (
	"context"
	"math"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/redstarttest"
)

// Without the server as many units pass as the process's part has, whatever is
// asked for.
func TestLocalGivesNoMoreThanItsPart(t *testing.T) {
	s := redstarttest.Run(t, redstarttest.ServerConfig{})
	c := open(t, s.URL(), redstart.Config{})
	l := limiter(t, c, Config{Limits: []Limit{{Rate: 10}}, OnOutage: Local, Timeout: 50 * time.Millisecond})
	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	d, err := l.TakeUpTo(t.Context(), "a", 1_000_000)
	if err != nil || d.Source != SourceLocal || d.Granted > 10 {
		t.Errorf("TakeUpTo(1,000,000) of 10 = %+v, %v", d, err)
	}
}

// While a lower burst is rolled out, those with the higher one still give no
// more than that.
func TestTwoLimitsOfOneNameGiveNoMoreThanTheHigher(t *testing.T) {
	s := redstarttest.Run(t, redstarttest.ServerConfig{})
	c := open(t, s.URL(), redstart.Config{})
	for i, pair := range [][2]Limit{
		{{Rate: 1000, Per: time.Hour}, {Rate: 1000, Per: time.Hour, Burst: 10}},
		{{Algorithm: FixedWindow, Rate: 1000, Per: 366 * 24 * time.Hour}, {Algorithm: FixedWindow, Rate: 10, Per: 366 * 24 * time.Hour}},
	} {
		key := "pair" + strconv.Itoa(i) + ":{<id>}"
		before := limiter(t, c, Config{Key: key, Limits: []Limit{pair[0]}, Denials: -1})
		after := limiter(t, c, Config{Key: key, Limits: []Limit{pair[1]}, Denials: -1})
		granted := int64(0)
		for range 10 {
			d, err := before.TakeUpTo(t.Context(), "a", 1000)
			if err != nil {
				t.Fatal(err)
			}
			granted += d.Granted
			if d := take(t, after, "a", 1); d.Allowed {
				t.Fatalf("%+v", d)
			}
		}
		if granted > 1000+10 {
			t.Errorf("%v: %d units of 1000 were granted in a moment", pair[0].Algorithm, granted)
		}
	}
}

// A shadow never denies, whatever is asked for, and no grant is negative.
func TestShadowAloneNeverDenies(t *testing.T) {
	s := redstarttest.Run(t, redstarttest.ServerConfig{})
	l := limiter(t, open(t, s.URL(), redstart.Config{}), Config{Limits: []Limit{{Rate: 10, Shadow: true}}})
	if d := take(t, l, "a", math.MaxInt64); !d.Allowed || d.Granted < 0 {
		t.Errorf("%+v", d)
	}
}

// decidedBy runs n callers at once, and gives the median and the slowest.
func decidedBy(n int, call func(i int)) (median, slowest time.Duration) {
	all := make([]time.Duration, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			began := time.Now()
			call(i)
			all[i] = time.Since(began)
		})
	}
	wg.Wait()
	slices.Sort(all)
	return all[n/2], all[n-1]
}

// inTime fails the test when decisions on a frozen server take three times as
// long as bare timers of the Timeout.
func inTime(t *testing.T, s *redstarttest.Server, l *Limiter, callers int, id func(i int) string) {
	t.Helper()
	if err := s.Freeze(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Continue(); err != nil {
			t.Error(err)
		}
	}()
	_, control := decidedBy(callers, func(int) { <-time.After(l.cfg.Timeout) })
	median, slowest := decidedBy(callers, func(i int) {
		if d, err := l.Take(t.Context(), id(i), 1); err != nil || d.Source != SourceOutage {
			t.Errorf("%+v, %v", d, err)
		}
	})
	t.Logf("%d callers: median %v, slowest %v; a timer %v", callers, median, slowest, control)
	if slowest > 3*control {
		t.Errorf("a decision took %v for a Timeout of %v", slowest, l.cfg.Timeout)
	}
}

// More callers at once than a connection's queue has room for.
func TestFrozenServerUnderACrowd(t *testing.T) {
	s := redstarttest.Run(t, redstarttest.ServerConfig{})
	l := limiter(t, open(t, s.URL(), redstart.Config{}), Config{Limits: []Limit{{Rate: 10}}, Timeout: 100 * time.Millisecond, Denials: -1})
	take(t, l, "a", 1)
	inTime(t, s, l, 3000, func(int) string { return "a" })
}

// Ids whose connection is dialled only now.
func TestFrozenServerAtAFirstConnection(t *testing.T) {
	s := redstarttest.Run(t, redstarttest.ServerConfig{})
	l := limiter(t, open(t, s.URL(), redstart.Config{}), Config{Limits: []Limit{{Rate: 10}}, Timeout: 100 * time.Millisecond, Denials: -1})
	take(t, l, "a", 1)
	inTime(t, s, l, 20, func(i int) string { return "id" + strconv.Itoa(i) })
}

// What a frozen server has been sent it does when it goes on: such a call does
// not say NotApplied.
func TestTimedOutTakeIsUnknown(t *testing.T) {
	s := redstarttest.Run(t, redstarttest.ServerConfig{})
	l := limiter(t, open(t, s.URL(), redstart.Config{}), Config{Limits: []Limit{{Rate: 100, Per: time.Hour}}, Timeout: 100 * time.Millisecond, Denials: -1})
	take(t, l, "a", 1)
	if err := s.Freeze(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err := l.Take(ctx, "a", 1)
	if redstart.OutcomeOf(err) != redstart.Unknown {
		t.Errorf("the caller's own deadline: %v, %v", redstart.OutcomeOf(err), err)
	}
	d, err := l.Take(t.Context(), "a", 1)
	if err != nil || redstart.OutcomeOf(d.Err) != redstart.Unknown {
		t.Errorf("timed out: %v, %+v, %v", redstart.OutcomeOf(d.Err), d, err)
	}
	if err := s.Continue(); err != nil {
		t.Fatal(err)
	}
	redstarttest.Eventually(t, 10*time.Second, "the server goes on", func() bool {
		d, err := l.Peek(t.Context(), "a")
		if err == nil {
			t.Logf("%d of %d left", d.Remaining, d.Limit)
		}
		return err == nil
	})
}
