package webcache

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redstart-go/redstart/redstarttest"

	"github.com/redstart-go/redstart/cmd/internal/lab"
	"github.com/redstart-go/redstart/cmd/internal/measure"
	"github.com/redstart-go/redstart/cmd/internal/report"
)

// mustShow runs the scenario and checks what it is there to show: Redstart keeps its word, the recipe does not.
func mustShow(t *testing.T, o lab.Options) (*report.Report, []result) {
	t.Helper()
	q := &quiet{}
	rep, err := Scenario{}.Run(t.Context(), o, q)
	if err != nil {
		t.Fatal(err)
	}
	recipes := []string{"get/setex", "lock and retry", "redstart"}
	if o.Near && o.Refresh {
		recipes = []string{"get/setex", "lock and retry", "refresh-ahead", "redstart", "redstart near", "redstart refresh"}
	}
	if q.started != 4*len(recipes) || q.steps != q.todo {
		t.Errorf("progress: %d parts, %d of %d steps", q.started, q.steps, q.todo)
	}
	results := rep.Results.([]result)
	if !slices.EqualFunc(results, recipes, func(r result, name string) bool { return r.Recipe == name }) {
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
	for _, ours := range results {
		// The near tier may be behind for a moment: what of that breaks its word is an error of Run.
		if stale := ours.Stale != 0 && ours.Recipe != "redstart near"; strings.HasPrefix(ours.Recipe, "redstart") && (stale || ours.BurstLoads != 1) {
			t.Errorf("%s: %d stale reads, %d loads of a cold key", ours.Recipe, ours.Stale, ours.BurstLoads)
		}
		if (ours.Stale == 0) != (ours.StaleFor == 0) {
			t.Errorf("%s: %d stale reads, for %v µs", ours.Recipe, ours.Stale, ours.StaleFor)
		}
	}
	return rep, results
}

func TestWebCacheEmbedded(t *testing.T) {
	rep, results := mustShow(t, lab.Options{Redis: "embedded", Requests: 1000, Rate: -1})
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
	for _, f := range []lab.Fault{lab.Kill, lab.Freeze} {
		t.Run(string(f), func(t *testing.T) {
			t.Parallel()
			rep, results := mustShow(t, lab.Options{Fault: f, Requests: 3000, Near: f == lab.Freeze, Refresh: f == lab.Freeze})
			if !slices.ContainsFunc(rep.Figures, func(g report.Figure) bool { return strings.HasPrefix(g.Title, "What readers saw as the server was ") }) {
				t.Error("no picture of what readers saw")
			}
			if rep.Fault != string(f) || !strings.HasSuffix(rep.Server, ", private") {
				t.Errorf("fault %q on %q", rep.Fault, rep.Server)
			}
			if f == lab.Kill && (results[0].Errors == 0 || results[1].Errors == 0) {
				t.Errorf("a killed server cost the recipes %d and %d errors", results[0].Errors, results[1].Errors)
			}
			if f == lab.Freeze && results[0].P999 < measure.Micros(lab.FreezeTime/2) {
				t.Errorf("a frozen server is not to be seen: 99.9 %% within %v µs", results[0].P999)
			}
		})
	}
}

// TestNearAndRefresh runs what is only there when asked for, on both kinds of server, long enough for values to end.
func TestNearAndRefresh(t *testing.T) {
	for _, server := range []string{"embedded", ""} {
		t.Run("server "+server, func(t *testing.T) {
			if server == "" {
				needServer(t)
			}
			rep, results := mustShow(t, lab.Options{Redis: server, Requests: 5000, TTL: time.Second, Near: true, Refresh: true})
			var often, near []float64
			for _, r := range results {
				often, near = append(often, float64(r.Misses.Often)), append(near, r.NearRatio)
				if m := r.Misses; r.Errors != 0 || m.Outage != 0 || m.First == 0 || m.Written == 0 || m.Rarely == 0 ||
					m.First+m.Written+m.Rarely+m.Often != r.Requests-int(math.Round(r.HitRatio*float64(r.Requests))) {
					t.Errorf("%s: %d errors, misses %+v with a hit ratio of %v", r.Recipe, r.Errors, m, r.HitRatio)
				}
			}
			if near[4] < 0.1 || slices.Max(near[:4]) > 0 || near[5] > 0 {
				t.Errorf("shares of the near tier: %v", near)
			}
			// The recipe and Redstart without a refresh miss every such end; the refresh is a matter of time, so it has a control.
			if often[0] == 0 || often[3] == 0 || often[5] > often[0]/4 {
				t.Errorf("misses of keys that were read often: %v", often)
			}
			if len(rep.Findings) != 2 || !strings.HasPrefix(rep.Findings[0], "With the near tier ") || !strings.Contains(rep.Findings[1], "redstart refresh") {
				t.Errorf("findings %q", rep.Findings)
			}
			t.Logf("%q", rep.Findings)
		})
	}
}

func TestBrokenWord(t *testing.T) {
	fresh, late, own := call{}, call{stale: true, staleFor: 3 * time.Second}, call{stale: true, own: true}
	soon := call{stale: true, staleFor: time.Second}
	for _, c := range []struct {
		name string
		word *word
		want [4]bool // fresh, soon, late, own
	}{
		{"none given", nil, [4]bool{}},
		{"core", ours().word, [4]bool{false, true, true, true}},
		{"near", oursNear().word, [4]bool{false, false, true, true}},
	} {
		for i, r := range []call{fresh, soon, late, own} {
			if got := c.word.broken(r); got != c.want[i] {
				t.Errorf("%s, read %d: broken %v", c.name, i, got)
			}
		}
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
	rep, _ := mustShow(t, lab.Options{Redis: s.URL(), Fault: lab.Kill, Requests: 500, Rate: -1})
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
	_, err := Scenario{}.Run(ctx, lab.Options{Redis: s.URL()}, &interrupter{cancel: cancel})
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
		o     lab.Options
		usage bool
		want  string
	}{
		{"no such trace", lab.Options{Trace: "/nowhere/access.log"}, true, "/nowhere/access.log"},
		{"a trace of no format", lab.Options{Trace: notALog}, true, "--key-column"},
		{"not a URL", lab.Options{Redis: "what"}, true, "--redis"},
		{"nobody there", lab.Options{Redis: "redis://127.0.0.1:1"}, false, "127.0.0.1:1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Scenario{}.Run(t.Context(), c.o, &quiet{})
			if err == nil || errors.Is(err, lab.ErrUsage) != c.usage || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v", err)
			}
		})
	}
	if _, err := lab.ParseFault("flood"); !errors.Is(err, lab.ErrUsage) {
		t.Errorf("a fault that is none: %v", err)
	}
}

func TestPlanOfWrites(t *testing.T) {
	o := withDefaults(lab.Options{Requests: 2000, Seed: 7})
	traffic, err := traffic(o)
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
	for _, r := range []recipe{getSetex(), lockRetry(), refreshAhead()} {
		t.Run(r.name, func(t *testing.T) {
			src := newSource(t, "a")
			c, err := r.open(t.Context(), stand{url: s.URL(), namespace: "ns", source: src, ttl: 5 * time.Second})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			for _, want := range []origin{fromSource, fromServer, fromServer} {
				if row, from, err := c.Read(t.Context(), "a"); err != nil || row.Version != 1 || from != want {
					t.Fatalf("%+v from %d, %v", row, from, err)
				}
			}
			if src.Loads("a") != 1 {
				t.Errorf("%d loads", src.Loads("a"))
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

// TestRefreshAheadAsPrinted: a hit with less than a fifth of the TTL left starts a load for every reader, and nobody waits.
func TestRefreshAheadAsPrinted(t *testing.T) {
	s := redstarttest.Run(t, redstarttest.ServerConfig{})
	src := newSource(t, "a")
	c, err := refreshAhead().open(t.Context(), stand{url: s.URL(), namespace: "ns", source: src, ttl: 100 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	read := func() {
		t.Helper()
		if _, _, err := c.Read(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
	}
	read()
	if _, err := s.Do(t.Context(), "EXPIRE", "ns:row:a", "19"); err != nil {
		t.Fatal(err)
	}
	slow := src.Hold("a")
	defer slow.Drop()
	read()
	<-slow.Read()
	read() // it does not wait for the first, and does not know of it
	slow.Release()
	c.(*refreshing).threads.Wait()
	if n := src.Loads("a"); n != 3 {
		t.Errorf("%d loads", n)
	}
	if ttl, err := s.Do(t.Context(), "TTL", "ns:row:a"); err != nil || ttl.(int64) < 90 {
		t.Errorf("TTL %v after the refresh, %v", ttl, err)
	}
}
