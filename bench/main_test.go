package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/redstart-go/redstart/bench/limits"
	"github.com/redstart-go/redstart/bench/locks"
	"github.com/redstart-go/redstart/bench/many"
	"github.com/redstart-go/redstart/bench/near"
	"github.com/redstart-go/redstart/redstarttest"
)

func TestMain(m *testing.M) {
	if role := os.Getenv(childEnv); role != "" {
		os.Exit(childMain(role, os.Stdin, os.Stdout, os.Stderr))
	}
	goleak.VerifyTestMain(m)
}

// quick runs a benchmark in its short form: what is asserted are counts and allocations, never speed.
func quick(t *testing.T, b benchmark) []section {
	t.Helper()
	redstarttest.Run(t, redstarttest.ServerConfig{}) // skips without one
	sections, err := b.run(t.Context(), lab{rounds: 1, quick: true, progress: t.Output()})
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for _, s := range sections {
		s.writeText(&text)
	}
	t.Log(text.String())
	return sections
}

func TestHitAllocations(t *testing.T) {
	for _, s := range quick(t, hitBenchmark{}) {
		ours, control := s.find("redstart cache").at("allocs_per_op"), s.find(s.Control).at("allocs_per_op")
		if raceDetector {
			continue // sync.Pool forgets at random there
		}
		if !(ours < control+0.5) { // half an allocation is the start of so short a run
			t.Errorf("%s: %.2f allocations a call, %s has %.2f", s.Title, ours, s.Control, control)
		}
	}
}

// A near hit allocates nothing; that the peers do shows that the count can see it.
func TestNearAllocations(t *testing.T) {
	for _, s := range quick(t, nearBenchmark{}) {
		if raceDetector {
			continue // sync.Pool forgets at random there
		}
		for _, name := range []string{near.Ours, near.Unstaled} {
			if n := s.find(name).at("allocs_per_op"); n != 0 {
				t.Errorf("%s, %s: %v allocations a hit", s.Title, name, n)
			}
		}
		for _, name := range []string{"sturdyc", "go-redis/cache", "rueidisaside"} {
			if n := s.find(name).at("allocs_per_op"); n == 0 {
				t.Errorf("%s, %s: no allocation seen", s.Title, name)
			}
		}
	}
}

// Many values cost next to no allocation each beside the reply's own and the decoder's, and none in the process.
func TestManyAllocations(t *testing.T) {
	sections := quick(t, manyBenchmark{})
	if raceDetector {
		return // sync.Pool forgets at random there
	}
	for _, s := range sections[:2] {
		control := s.find(s.Control).at("allocs_per_item")
		for name, most := range map[string]float64{many.Ours: control + 0.1, many.Warm: 0.1} {
			if n := s.find(name).at("allocs_per_item"); !(n < most) {
				t.Errorf("%s, %s: %.3f allocations a value, %s has %.3f", s.Title, name, n, s.Control, control)
			}
		}
	}
	decoded := sections[2]
	if n, alone := decoded.find(many.Packed).at("allocs_per_item"), decoded.find(many.Decoding).at("allocs_per_item"); !(n < alone+1.1) {
		t.Errorf("%.3f allocations a struct, %.3f of them to decode it", n, alone)
	}
}

func TestStructAllocations(t *testing.T) {
	for _, s := range quick(t, structBenchmark{}) {
		control := s.find(s.Control).at("allocs_per_op")
		for _, name := range []string{"redstart, msgpack", "redstart, generated"} {
			if ours := s.find(name).at("allocs_per_op"); !raceDetector && !(ours < control) {
				t.Errorf("%s: %.2f allocations a call, %s has %.2f", name, ours, s.Control, control)
			}
		}
	}
}

func TestStampedeLoadsOnce(t *testing.T) {
	s := quick(t, stampedeBenchmark{})[0]
	for _, name := range []string{"redstart", "redstart, polling", s.Control, "polling recipe"} {
		if loads := s.find(name).at("most_loads"); loads != 1 {
			t.Errorf("%s: %v loads", name, loads)
		}
	}
	for _, name := range []string{"go-redis/cache", "sturdyc"} { // the count is one of all processes
		if loads := s.find(name).at("loads"); loads < 2 {
			t.Errorf("%s: %v loads, though nothing joins its processes", name, loads)
		}
	}
	recipe := s.find("polling recipe").at("commands")
	if recipe < 2*stampedeProcesses*callers {
		t.Errorf("the recipe: %v commands, though each of %d callers asks twice", recipe, stampedeProcesses*callers)
	}
	for _, name := range []string{"redstart", "redstart, polling"} {
		if ours := s.find(name).at("commands"); !(ours < recipe/4) {
			t.Errorf("%s: %v commands, the recipe has %v", name, ours, recipe)
		}
	}
}

// Batches cost no round trip each, and a denial that the process remembers next to no allocation; that a peer's do shows
// that the count can see it.
func TestLimitAllocations(t *testing.T) {
	sections := quick(t, limitBenchmark{})
	if raceDetector {
		return // sync.Pool forgets at random there
	}
	hot, denied := sections[1], sections[2]
	for _, c := range []struct {
		s    section
		name string
		most float64
	}{{hot, limits.Batched, 2}, {denied, limits.Cached, 1}} {
		ours, peer := c.s.find(c.name).at("allocs_per_op"), c.s.find(limits.RateOf).at("allocs_per_op")
		if !(ours <= c.most && ours < peer) {
			t.Errorf("%s, %s: %.2f allocations a call, %s has %.2f", c.s.Title, c.name, ours, limits.RateOf, peer)
		}
	}
}

// A contended lock costs the commands that its page says, and those who poll more than it does.
func TestLockCommands(t *testing.T) {
	s := quick(t, lockBenchmark{})[2]
	ours, control := s.find(locks.Ours).at("commands_per_lock"), s.find(s.Control).at("commands_per_lock")
	if !(ours <= contendedCommands) {
		t.Errorf("%.2f commands a lock", ours)
	}
	if !(control > 1.7 && control < 2.3) { // what is under way at the ends of so short a run
		t.Errorf("%s: %.2f commands a lock, though each is taken and put back", s.Control, control)
	}
	if polling := s.find("redsync, 5 ms").at("commands_per_lock"); !(polling > ours) {
		t.Errorf("polling costs %.2f commands a lock, no more than %.2f", polling, ours)
	}
}

func TestUsage(t *testing.T) {
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"--help"}, 0, "-rounds"},
		{[]string{"--only", "hit,nothing"}, 2, "there are hit, near, many, struct, stampede, call, layer, limit, lock"},
		{[]string{"--rounds", "0"}, 2, "at least one round"},
		{[]string{"hit"}, 2, "flags only"},
		{[]string{"--guarantees", "x", "--quick"}, 2, "--guarantees needs 9 rounds"},
		{[]string{"--guarantees", "x", "--rounds", "8"}, 2, "--guarantees needs 9 rounds"},
		{[]string{"--nonsense"}, 2, "not defined"},
	} {
		var out, errs bytes.Buffer
		if code := run(context.Background(), c.args, &out, &errs); code != c.code || !strings.Contains(errs.String(), c.says) || out.Len() > 0 {
			t.Errorf("%v: exit %d, %q, %q", c.args, code, out.String(), errs.String())
		}
	}
}

func TestChildRefusesWhatIsNoRole(t *testing.T) {
	for _, role := range []string{"x", `{"contestant":"nobody"}`} {
		var out, errs bytes.Buffer
		if code := childMain(role, strings.NewReader(""), &out, &errs); code != 1 || !strings.Contains(out.String(), `"error"`) {
			t.Errorf("%s: exit %d, %q", role, code, out.String())
		}
	}
}

func TestJSON(t *testing.T) {
	columns := []column{{key: "ops_per_s"}, {key: "ratio", digits: 2, spread: true}}
	rep := report{Rounds: 9, Sections: []section{{Name: "hit", columns: columns, Rows: []row{
		{name: "a", columns: columns, figures: []spread{exact(1234), {0.5, 1, 2}}},
		{name: "b", columns: columns, figures: []spread{exact(7), spreadOf(nil)}},
	}}}}
	var out bytes.Buffer
	if err := rep.writeJSON(&out); err != nil {
		t.Fatal(err)
	}
	var back struct {
		Sections []struct{ Rows []map[string]any }
	}
	if err := json.Unmarshal(out.Bytes(), &back); err != nil {
		t.Fatal(err)
	}
	rows := back.Sections[0].Rows
	if rows[0]["ops_per_s"] != 1234.0 || rows[0]["ratio_quartiles"].([]any)[1] != 2.0 || rows[1]["ratio"] != nil {
		t.Errorf("%v", rows)
	}
}
