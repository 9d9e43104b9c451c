package locks

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/redstart-go/redstart/redstarttest"

	"github.com/redstart-go/redstart/cmd/internal/lab"
	"github.com/redstart-go/redstart/cmd/internal/report"
)

func TestMain(m *testing.M) {
	if Child() {
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// quiet is a Progress that only counts.
type quiet struct{ started, steps, todo int }

func (q *quiet) Start(_ string, n int) { q.started++; q.todo += n }
func (q *quiet) Step()                 { q.steps++ }
func (q *quiet) Done()                 {}

// mustShow runs the scenario and checks what it is there to show: Redstart keeps its word, the recipe does not.
func mustShow(t *testing.T, o lab.Options) *report.Report {
	t.Helper()
	if !canFreeze {
		t.Skip("this system cannot stop a process")
	}
	q := &quiet{}
	rep, err := Scenario{}.Run(t.Context(), o, q)
	if err != nil {
		t.Fatal(err)
	}
	if q.started != 4 || q.steps != q.todo {
		t.Errorf("progress: %d parts, %d of %d steps", q.started, q.steps, q.todo)
	}
	results := rep.Results.([]result)
	if len(results) != 2 || results[1].Recipe != "redstart" {
		t.Fatalf("results %+v", results)
	}
	for _, r := range results {
		t.Logf("%+v", r)
		if r.Turns != rep.Input.Requests || r.Errors != 0 || r.HandoverP50 <= 0 || r.HandoverP99 < r.HandoverP50 || r.TurnsPerS <= 0 {
			t.Errorf("%s: implausible: %+v", r.Recipe, r)
		}
	}
	// The frozen holder writes into the next one's work, whatever the machine is doing.
	if first := results[0]; first.FencingViolations == 0 || first.Overlaps == 0 || first.Refused != 0 {
		t.Errorf("the recipe: %+v", first)
	}
	if ours := results[1]; ours.FencingViolations != 0 || ours.Overlaps != 0 || ours.Refused == 0 || ours.FewestTurns == 0 {
		t.Errorf("redstart: %+v", ours)
	}
	return rep
}

func TestLockEmbedded(t *testing.T) {
	rep := mustShow(t, lab.Options{Redis: "embedded"})
	if rep.Fault != "a holder is frozen past its lease" || rep.Server != "embedded, in this process" || rep.Scenario != "lock" || rep.Input.String() != "200 turns, 1 lock" {
		t.Errorf("report %+v", rep)
	}
	if len(rep.Figures) != 5 || len(rep.Table.Rows) != 2 || !strings.HasSuffix(rep.Headline, "With Redstart it took none.") {
		t.Errorf("%d figures, headline %q", len(rep.Figures), rep.Headline)
	}
}

func TestGivenServerIsLeftAsItWas(t *testing.T) {
	s := redstarttest.Run(t, redstarttest.ServerConfig{})
	if _, err := s.Do(t.Context(), "SET", "theirs", "1"); err != nil {
		t.Fatal(err)
	}
	mustShow(t, lab.Options{Redis: s.URL(), Requests: 60, Workers: 4})
	keys, err := s.Do(t.Context(), "KEYS", "*")
	if err != nil || len(keys.([]any)) != 1 {
		t.Errorf("left %v, %v", keys, err)
	}
}

// TestInterruptCleansUp interrupts while a process is frozen, or is about to be.
func TestInterruptCleansUp(t *testing.T) {
	s := redstarttest.Run(t, redstarttest.ServerConfig{})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		defer cancel()
		for t.Context().Err() == nil {
			if n, err := s.Do(t.Context(), "DBSIZE"); err != nil || n.(int64) > 1 { // the lock, and the first write
				return
			}
		}
	}()
	_, err := Scenario{}.Run(ctx, lab.Options{Redis: s.URL()}, &quiet{})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if size, err := s.Do(t.Context(), "DBSIZE"); err != nil || size != int64(0) {
		t.Errorf("left %v keys, %v", size, err)
	}
}

// TestChildThatEnds: a child that cannot play its part says why.
func TestChildThatEnds(t *testing.T) {
	c, err := startChild(t.Context(), part{stand{URL: "redis://127.0.0.1:1"}, "set nx"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.end()
	if _, err := c.hears(t.Context(), saysReady); err == nil || !strings.Contains(err.Error(), "127.0.0.1:1") {
		t.Errorf("got %v", err)
	}
}

func TestBrokenWord(t *testing.T) {
	for _, r := range recipes() {
		for _, c := range []result{{}, {Overlaps: 1}, {FencingViolations: 1}} {
			bad := c != result{}
			if err := broken([]*outcome{{recipe: r, result: c}}); errors.Is(err, lab.ErrPromise) != (r.promises && bad) {
				t.Errorf("%s: %+v: %v", r.name, c, err)
			}
		}
	}
}
