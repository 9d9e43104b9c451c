package lab

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redstart-go/redstart/cmd/internal/report"
	"github.com/redstart-go/redstart/redstarttest"
)

// mustShow runs the scenario and checks what it is there to show: Redstart keeps its word, the recipe does not.
func mustShow(t *testing.T, o Options) (*report.Report, []result) {
	t.Helper()
	q := &quiet{}
	rep, err := webCache{}.Run(t.Context(), o, q)
	if err != nil {
		t.Fatal(err)
	}
	if q.started != 12 || q.steps != q.todo {
		t.Errorf("progress: %d parts, %d of %d steps", q.started, q.steps, q.todo)
	}
	results := rep.Results.([]result)
	if len(results) != 3 || results[0].Recipe != "get/setex" || results[1].Recipe != "lock and retry" || results[2].Recipe != "redstart" {
		t.Fatalf("results %+v", results)
	}
	aimed := raceSize * raceReads
	for _, r := range results {
		t.Logf("%+v", r)
		if r.Requests != rep.Input.Requests || r.Loads == 0 || r.HitRatio <= 0 || r.HitRatio >= 1 || r.P50 <= 0 || r.P99 < r.P50 || r.P999 < r.P99 {
			t.Errorf("%s: implausible: %+v", r.Recipe, r)
		}
	}
	// The aimed writes fool both recipes every time, whatever the machine is doing.
	if results[0].Stale < aimed || results[1].Stale < aimed {
		t.Errorf("the recipes show %d and %d stale reads, at least %d must show", results[0].Stale, results[1].Stale, aimed)
	}
	if results[0].BurstLoads < 2 {
		t.Errorf("the recipe loaded a cold key %d times in the worst burst", results[0].BurstLoads)
	}
	if ours := results[2]; ours.Stale != 0 || ours.BurstLoads != 1 {
		t.Errorf("redstart: %d stale reads, %d loads of a cold key", ours.Stale, ours.BurstLoads)
	}
	return rep, results
}

func TestWebCacheEmbedded(t *testing.T) {
	rep, results := mustShow(t, Options{Redis: "embedded", Requests: 1000, Rate: -1})
	if rep.Fault != "none" || rep.Server != "embedded, in this process" || rep.Scenario != "web-cache" {
		t.Errorf("report %+v", rep)
	}
	for _, r := range results {
		if r.Errors != 0 {
			t.Errorf("%s: %d errors without a fault", r.Recipe, r.Errors)
		}
	}
	if len(rep.Figures) != 5 || len(rep.Table.Rows) != 3 || !strings.Contains(rep.Headline, "Redstart served none and loaded it once") {
		t.Errorf("%d figures, headline %q", len(rep.Figures), rep.Headline)
	}
}

func TestWebCacheFaults(t *testing.T) {
	needServer(t)
	for _, f := range []Fault{Kill, Freeze} {
		t.Run(string(f), func(t *testing.T) {
			t.Parallel()
			rep, results := mustShow(t, Options{Fault: f, Requests: 3000})
			if rep.Fault != string(f) || !strings.HasSuffix(rep.Server, ", private") {
				t.Errorf("fault %q on %q", rep.Fault, rep.Server)
			}
			if f == Kill && (results[0].Errors == 0 || results[1].Errors == 0) {
				t.Errorf("a killed server cost the recipes %d and %d errors", results[0].Errors, results[1].Errors)
			}
			if f == Freeze && results[0].P999 < (freezeTime/2).Microseconds() {
				t.Errorf("a frozen server is not to be seen: 99.9 %% within %d µs", results[0].P999)
			}
		})
	}
}

func TestGivenServerIsLeftAsItWas(t *testing.T) {
	s := redstarttest.Run(t, redstarttest.ServerConfig{})
	do := func(args ...string) any {
		t.Helper()
		v, err := s.Do(t.Context(), args...)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	do("SET", "theirs", "1")
	pid := s.Pid()
	rep, _ := mustShow(t, Options{Redis: s.URL(), Fault: Kill, Requests: 500, Rate: -1})
	if !strings.HasPrefix(rep.Fault, "kill: skipped: ") || !strings.HasSuffix(rep.Server, ", given") {
		t.Errorf("fault %q on %q", rep.Fault, rep.Server)
	}
	if s.Pid() != pid {
		t.Error("the given server was restarted")
	}
	if keys := do("KEYS", "*").([]any); len(keys) != 1 || keys[0] != "theirs" {
		t.Errorf("the lab left %d keys behind, %v", len(keys)-1, keys[:min(len(keys), 5)])
	}
}

func TestInterruptCleansUp(t *testing.T) {
	s := redstarttest.Run(t, redstarttest.ServerConfig{})
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	ctx, cancel := context.WithCancel(t.Context())
	_, err := webCache{}.Run(ctx, Options{Redis: s.URL()}, &interrupter{cancel: cancel})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	size, err := s.Do(t.Context(), "DBSIZE")
	if err != nil || size != int64(0) {
		t.Errorf("left %v keys, %v", size, err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("left %v", left)
	}
}

// interrupter ends the run in the midst of the first replay.
type interrupter struct {
	quiet
	cancel context.CancelFunc
}

func (i *interrupter) Step() {
	if i.quiet.Step(); i.started == 4 && i.steps > 1000 {
		i.cancel()
	}
}

func TestBadInput(t *testing.T) {
	notALog := filepath.Join(t.TempDir(), "x.csv")
	if err := os.WriteFile(notALog, []byte("id,key\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		o     Options
		usage bool
		want  string
	}{
		{"no such trace", Options{Trace: "/nowhere/access.log"}, true, "/nowhere/access.log"},
		{"a trace of no format", Options{Trace: notALog}, true, "--key-column"},
		{"not a URL", Options{Redis: "what"}, true, "--redis"},
		{"nobody there", Options{Redis: "redis://127.0.0.1:1"}, false, "127.0.0.1:1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := webCache{}.Run(t.Context(), c.o, &quiet{})
			if err == nil || errors.Is(err, ErrUsage) != c.usage || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v", err)
			}
		})
	}
	if _, err := ParseFault("flood"); !errors.Is(err, ErrUsage) {
		t.Errorf("a fault that is none: %v", err)
	}
}

func TestPlanOfWrites(t *testing.T) {
	o := Options{Requests: 2000, Seed: 7}.withDefaults()
	traffic, err := o.traffic()
	if err != nil {
		t.Fatal(err)
	}
	plan := planWrites(traffic.Requests, 7)
	if !slices.Equal(plan, planWrites(traffic.Requests, 7)) {
		t.Error("one seed, two plans")
	}
	if slices.Equal(plan, planWrites(traffic.Requests, 8)) {
		t.Error("two seeds, one plan")
	}
	pairs := 0
	for _, p := range plan {
		if p.pair {
			pairs++
			if !slices.Contains(traffic.Requests[p.at:min(p.at+pairWithin, 2000)], p.key) {
				t.Errorf("a pair at %d on a key that nobody is about to ask for", p.at)
			}
		}
	}
	if len(plan) != 39 || pairs != 20 {
		t.Errorf("%d writes, %d pairs", len(plan), pairs)
	}
	if got := mostAsked([]int32{4, 2, 9, 2, 9, 2}); got != 2 {
		t.Errorf("most asked: %d", got)
	}
	if got := planWrites(traffic.Requests[:10], 1); len(got) != 0 {
		t.Errorf("%d writes for ten requests", len(got))
	}
}

// TestRecipesAsPrinted pins what the recipe does to its keys: that it is the recipe as printed.
func TestRecipesAsPrinted(t *testing.T) {
	s := redstarttest.Run(t, redstarttest.ServerConfig{})
	for _, r := range []recipe{getSetex(), lockRetry()} {
		t.Run(r.name, func(t *testing.T) {
			src := newSource(t, "a")
			c, err := r.open(t.Context(), stand{url: s.URL(), namespace: "ns", source: src, ttl: 5 * time.Second})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			for range 3 {
				if row, err := c.Read(t.Context(), "a"); err != nil || row.Version != 1 {
					t.Fatalf("%+v, %v", row, err)
				}
			}
			if src.Loads("a") != 1 || c.Hits() != 2 {
				t.Errorf("%d loads, %d hits", src.Loads("a"), c.Hits())
			}
			if got, err := s.Do(t.Context(), "KEYS", "*"); err != nil || !slices.Equal(got.([]any), []any{"ns:row:a"}) {
				t.Errorf("keys %v, %v", got, err)
			}
			if ttl, err := s.Do(t.Context(), "TTL", "ns:row:a"); err != nil || ttl.(int64) < 1 || ttl.(int64) > 5 {
				t.Errorf("TTL %v, %v", ttl, err)
			}
			if err := c.Invalidate(t.Context(), "a"); err != nil {
				t.Fatal(err)
			}
			if got, err := s.Do(t.Context(), "DBSIZE"); err != nil || got != int64(0) {
				t.Errorf("%v keys after an invalidation, %v", got, err)
			}
		})
	}
}
