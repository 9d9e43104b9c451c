package sessions

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/redstart-go/redstart/redstarttest"
	"github.com/redstart-go/redstart/redstarttest/database"

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
type quiet struct{ started, steps int }

func (q *quiet) Start(string, int) { q.started++ }
func (q *quiet) Step()             { q.steps++ }
func (q *quiet) Done()             {}

// mustShow runs the scenario and checks what it is there to show: Redstart keeps its word, the recipe does not.
func mustShow(t *testing.T, o lab.Options) *report.Report {
	t.Helper()
	q := &quiet{}
	rep, err := Scenario{}.Run(t.Context(), o, q)
	if err != nil {
		t.Fatal(err)
	}
	results := rep.Results.([]result)
	if q.started != 3*len(results) || q.steps == 0 {
		t.Errorf("progress: %d parts, %d steps", q.started, q.steps)
	}
	for i, r := range results {
		t.Logf("%+v", r)
		if r.Errors != 0 || r.P50 <= 0 || r.P99 < r.P50 || r.WritesPerS <= 0 || r.DirectPerS <= 0 || r.Recovery <= 0 ||
			r.Writes < rep.Input.Requests*3/4 || r.Duplicates != 0 || r.Rows == 0 {
			t.Errorf("%s: implausible: %+v", r.Recipe, r)
		}
		// No more rows than acknowledged writes and what was under way when the process was killed.
		if r.Rows > r.Writes+1000 || r.Coalesced+r.Lost > r.Writes {
			t.Errorf("%s: counts that cannot be: %+v", r.Recipe, r)
		}
		if ours := i == len(results)-1; ours != (r.Lost == 0) {
			t.Errorf("%s: lost %d", r.Recipe, r.Lost)
		}
	}
	return rep
}

func TestSessionsEmbedded(t *testing.T) {
	rep := mustShow(t, lab.Options{Redis: "embedded", Requests: 2000})
	if !strings.HasPrefix(rep.Server, "embedded, in this process; SQLite 3.") || rep.Scenario != "session-store" || !strings.HasPrefix(rep.Input.String(), "2,000 writes, ") {
		t.Errorf("server %q, input %v", rep.Server, rep.Input)
	}
	if len(rep.Figures) != 5 || len(rep.Table.Rows) != 2 || !strings.HasSuffix(rep.Headline, "With Redstart it lacked none.") {
		t.Errorf("%d figures, headline %q", len(rep.Figures), rep.Headline)
	}
}

func TestGivenServerIsLeftAsItWas(t *testing.T) {
	s := redstarttest.Run(t, redstarttest.ServerConfig{AOF: "everysec"})
	if _, err := s.Do(t.Context(), "SET", "theirs", "1"); err != nil {
		t.Fatal(err)
	}
	mustShow(t, lab.Options{Redis: s.URL(), Requests: 1000, Workers: 4})
	keys, err := s.Do(t.Context(), "KEYS", "*")
	if err != nil || len(keys.([]any)) != 1 {
		t.Errorf("left %v, %v", keys, err)
	}
	if files, err := filepath.Glob(filepath.Join(os.TempDir(), "redstart-lab-*")); err != nil || len(files) > 0 {
		t.Logf("files in the temporary folder (of others too): %v, %v", files, err)
	}
}

func TestSessionsPostgres(t *testing.T) {
	given := database.RunPostgres(t, database.Config{})
	rep := mustShow(t, lab.Options{Requests: 1500, Database: given.DSN()})
	if !strings.Contains(rep.Server, "; PostgreSQL 1") || !strings.HasSuffix(rep.Server, ", a schema of its own") {
		t.Errorf("server %q", rep.Server)
	}
}

func TestInterruptCleansUp(t *testing.T) {
	s := redstarttest.Run(t, redstarttest.ServerConfig{})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		defer cancel()
		for t.Context().Err() == nil {
			if n, err := s.Do(t.Context(), "DBSIZE"); err != nil || n.(int64) > 50 {
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

// TestProcessThatEnds: a process that cannot play its part says why.
func TestProcessThatEnds(t *testing.T) {
	_, err := startProcess(t.Context(), part{Recipe: "hope"})
	if err == nil || !strings.Contains(err.Error(), `no recipe "hope"`) {
		t.Errorf("got %v", err)
	}
}

func TestWrongDatabase(t *testing.T) {
	for _, choice := range []string{"no/such.sqlite", "mysql://x"} {
		if _, err := (Scenario{}).Run(t.Context(), lab.Options{Redis: "embedded", Database: choice}, &quiet{}); !errors.Is(err, lab.ErrUsage) {
			t.Errorf("%s: %v", choice, err)
		}
	}
}

func TestBrokenWord(t *testing.T) {
	for _, r := range recipes() {
		for _, c := range []result{{}, {Lost: 1}, {Duplicates: 1}} {
			bad := c != result{}
			if err := broken([]*outcome{{recipe: r, result: c}}, 1); errors.Is(err, lab.ErrPromise) != (r.promises && bad) {
				t.Errorf("%s: %+v: %v", r.name, c, err)
			}
		}
	}
}
