package musicstore

import (
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

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// quiet is a Progress that only counts.
type quiet struct{ started, steps, todo int }

func (q *quiet) Start(_ string, n int) { q.started++; q.todo += n }
func (q *quiet) Step()                 { q.steps++ }
func (q *quiet) Done()                 {}

// mustShow runs the scenario and checks what it is there to show: Redstart keeps its word, the recipe does not.
func mustShow(t *testing.T, o lab.Options) *report.Report {
	t.Helper()
	q := &quiet{}
	rep, err := Scenario{}.Run(t.Context(), o, q)
	if err != nil {
		t.Fatal(err)
	}
	results := rep.Results.([]result)
	if len(results) != 3 || q.started != 3*len(results) || q.steps != q.todo {
		t.Errorf("%d results, progress: %d parts, %d of %d steps", len(results), q.started, q.steps, q.todo)
	}
	for _, r := range results {
		t.Logf("%+v", r)
		if r.Errors != 0 || r.P50 <= 0 || r.P99 < r.P50 || r.QueriesPerS <= 0 || r.Reads < rep.Input.Requests || r.Statements+r.Saved != r.Reads {
			t.Errorf("%s: implausible: %+v", r.Recipe, r)
		}
		if caches := r.Recipe != "uncached"; caches != (r.HitRatio > 0.1) {
			t.Errorf("%s: hits %v", r.Recipe, r.HitRatio)
		}
		wrong := r.Stale + r.Uncommitted + r.Wrong + r.OwnMissed
		if recipe := r.Recipe == "statement key"; !recipe && wrong != 0 || recipe && (r.Stale == 0 || r.Uncommitted == 0 || r.Wrong == 0) {
			t.Errorf("%s: %+v", r.Recipe, r)
		}
	}
	return rep
}

func TestGeneratedStoreEmbedded(t *testing.T) {
	rep := mustShow(t, lab.Options{Redis: "embedded", Requests: 2000})
	if !strings.HasPrefix(rep.Server, "embedded, in this process; SQLite 3.") || rep.Scenario != "sql-cache" || !strings.HasPrefix(rep.Input.String(), "2,000 reads, ") {
		t.Errorf("server %q, input %v", rep.Server, rep.Input)
	}
	if len(rep.Figures) != 6 || len(rep.Table.Rows) != 3 || !strings.HasSuffix(rep.Headline, "Redstart gave none.") {
		t.Errorf("%d figures, headline %q", len(rep.Figures), rep.Headline)
	}
}

// TestRealStore runs on the sample that the store is modelled on.
func TestRealStore(t *testing.T) {
	dir := os.Getenv("REDSTART_TEST_DATA")
	if dir == "" {
		t.Skip("needs REDSTART_TEST_DATA, a folder with chinook.sqlite")
	}
	rep := mustShow(t, lab.Options{Database: filepath.Join(dir, "chinook.sqlite"), Requests: 2000, Latency: -1})
	if !strings.HasSuffix(rep.Server, ", a copy of chinook.sqlite") {
		t.Errorf("server %q", rep.Server)
	}
}

func TestPostgres(t *testing.T) {
	given := database.RunPostgres(t, database.Config{})
	rep := mustShow(t, lab.Options{Requests: 2000, Database: given.DSN(), Latency: -1})
	if !strings.Contains(rep.Server, "; PostgreSQL 1") {
		t.Errorf("server %q", rep.Server)
	}
}

func TestGivenServerIsLeftAsItWas(t *testing.T) {
	s := redstarttest.Run(t, redstarttest.ServerConfig{})
	if _, err := s.Do(t.Context(), "SET", "theirs", "1"); err != nil {
		t.Fatal(err)
	}
	mustShow(t, lab.Options{Redis: s.URL(), Requests: 1000, Workers: 4})
	keys, err := s.Do(t.Context(), "KEYS", "*")
	if err != nil || len(keys.([]any)) != 1 {
		t.Errorf("left %v, %v", keys, err)
	}
}

func TestWrongDatabase(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty.sqlite")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, choice := range []string{"no/such.sqlite", "mysql://x", empty} {
		if _, err := (Scenario{}).Run(t.Context(), lab.Options{Redis: "embedded", Database: choice}, &quiet{}); !errors.Is(err, lab.ErrUsage) {
			t.Errorf("%s: %v", choice, err)
		}
	}
}

func TestBrokenWord(t *testing.T) {
	for _, r := range recipes() {
		for _, c := range []result{{}, {Stale: 1}, {Uncommitted: 1}, {OwnMissed: 1}, {Wrong: 1}} {
			bad := c != result{}
			if err := broken([]*outcome{{recipe: r, result: c}}, 1); errors.Is(err, lab.ErrPromise) != (r.promises && bad) {
				t.Errorf("%s: %+v: %v", r.name, c, err)
			}
		}
	}
}

func TestRising(t *testing.T) {
	var o order
	r := newRising(10)
	r.intend()
	before := o.n.Load()
	r.raise(&o)
	between := o.n.Load()
	r.intend()
	r.intend()
	for _, c := range []struct {
		n, v           int64
		stale, phantom bool
	}{
		{before, 10, false, false},
		{before, 9, true, false},
		{between, 10, true, false},
		{between, 11, false, false},
		{between, 13, false, false}, // may be committed, and not have returned
		{between, 14, false, true},
	} {
		since, stale, phantom := r.judge(c.n, c.v)
		if stale != c.stale || phantom != c.phantom || stale && c.v == 10 && since.IsZero() {
			t.Errorf("%+v: %v, %v, since %v", c, stale, phantom, since)
		}
	}
	if r.floor(before) != 10 || r.floor(between) != 11 {
		t.Error("floor")
	}
}
