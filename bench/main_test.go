package main

import (
	"bytes"
	"context"
	"os"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/redstart-go/redstart/bench/behind"
	"github.com/redstart-go/redstart/bench/crowd"
	"github.com/redstart-go/redstart/bench/limits"
	"github.com/redstart-go/redstart/bench/locks"
	"github.com/redstart-go/redstart/bench/many"
	"github.com/redstart-go/redstart/bench/near"
	"github.com/redstart-go/redstart/bench/table"
	"github.com/redstart-go/redstart/redstarttest"
	"github.com/redstart-go/redstart/redstarttest/database"
)

func TestMain(m *testing.M) {
	if role := os.Getenv(crowd.Env); role != "" {
		os.Exit(crowd.Main(role, os.Stdin, os.Stdout, os.Stderr))
	}
	goleak.VerifyTestMain(m)
}

// quick runs a benchmark in its short form: what is asserted are counts and allocations, never speed.
func quick(t *testing.T, b benchmark) []table.Section {
	t.Helper()
	redstarttest.Run(t, redstarttest.ServerConfig{}) // skips without one
	sections, err := b.run(t.Context(), lab{rounds: 1, quick: true, progress: t.Output()})
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for _, s := range sections {
		s.WriteText(&text)
	}
	t.Log(text.String())
	return sections
}

func TestHitAllocations(t *testing.T) {
	for _, s := range quick(t, hitBenchmark{}) {
		ours, control := s.Find("redstart cache").At("allocs_per_op"), s.Find(s.Control).At("allocs_per_op")
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
			if n := s.Find(name).At("allocs_per_op"); n != 0 {
				t.Errorf("%s, %s: %v allocations a hit", s.Title, name, n)
			}
		}
		for _, name := range []string{"sturdyc", "go-redis/cache", "rueidisaside"} {
			if n := s.Find(name).At("allocs_per_op"); n == 0 {
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
		control := s.Find(s.Control).At("allocs_per_item")
		for name, most := range map[string]float64{many.Ours: control + 0.1, many.Warm: 0.1} {
			if n := s.Find(name).At("allocs_per_item"); !(n < most) {
				t.Errorf("%s, %s: %.3f allocations a value, %s has %.3f", s.Title, name, n, s.Control, control)
			}
		}
	}
	decoded := sections[2]
	if n, alone := decoded.Find(many.Packed).At("allocs_per_item"), decoded.Find(many.Decoding).At("allocs_per_item"); !(n < alone+1.1) {
		t.Errorf("%.3f allocations a struct, %.3f of them to decode it", n, alone)
	}
}

func TestStructAllocations(t *testing.T) {
	for _, s := range quick(t, structBenchmark{}) {
		control := s.Find(s.Control).At("allocs_per_op")
		for _, name := range []string{"redstart, msgpack", "redstart, generated"} {
			if ours := s.Find(name).At("allocs_per_op"); !raceDetector && !(ours < control) {
				t.Errorf("%s: %.2f allocations a call, %s has %.2f", name, ours, s.Control, control)
			}
		}
	}
}

func TestStampedeLoadsOnce(t *testing.T) {
	s := quick(t, stampedeBenchmark{})[0]
	for _, name := range []string{"redstart", "redstart, polling", s.Control, "polling recipe"} {
		if loads := s.Find(name).At("most_loads"); loads != 1 {
			t.Errorf("%s: %v loads", name, loads)
		}
	}
	for _, name := range []string{"go-redis/cache", "sturdyc"} { // the count is one of all processes
		if loads := s.Find(name).At("loads"); loads < 2 {
			t.Errorf("%s: %v loads, though nothing joins its processes", name, loads)
		}
	}
	recipe := s.Find("polling recipe").At("commands")
	if recipe < 2*stampedeProcesses*callers {
		t.Errorf("the recipe: %v commands, though each of %d callers asks twice", recipe, stampedeProcesses*callers)
	}
	for _, name := range []string{"redstart", "redstart, polling"} {
		if ours := s.Find(name).At("commands"); !(ours < recipe/4) {
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
		s    table.Section
		name string
		most float64
	}{{hot, limits.Batched, 2}, {denied, limits.Cached, 1}} {
		ours, peer := c.s.Find(c.name).At("allocs_per_op"), c.s.Find(limits.RateOf).At("allocs_per_op")
		if !(ours <= c.most && ours < peer) {
			t.Errorf("%s, %s: %.2f allocations a call, %s has %.2f", c.s.Title, c.name, ours, limits.RateOf, peer)
		}
	}
}

// A contended lock costs the commands that its page says, and those who poll more than it does.
func TestLockCommands(t *testing.T) {
	s := quick(t, lockBenchmark{})[2]
	ours, control := s.Find(locks.Ours).At("commands_per_lock"), s.Find(s.Control).At("commands_per_lock")
	if !(ours <= contendedCommands) {
		t.Errorf("%.2f commands a lock", ours)
	}
	if !(control > 1.7 && control < 2.3) { // what is under way at the ends of so short a run
		t.Errorf("%s: %.2f commands a lock, though each is taken and put back", s.Control, control)
	}
	if polling := s.Find("redsync, 5 ms").At("commands_per_lock"); !(polling > ours) {
		t.Errorf("polling costs %.2f commands a lock, no more than %.2f", polling, ours)
	}
}

// Every row that is put arrives in the table (the benchmark counts them), and under a skewed load the database sees
// less than the journal.
func TestWriteBehindArrives(t *testing.T) {
	database.RunPostgres(t, database.Config{Unix: true, NoSync: true}) // skips without one
	sections := quick(t, behindBenchmark{})
	saved := sections[2].Find(behind.Put)
	if rows := saved.At("rows_per_put"); !(rows > 0 && rows < 0.8) {
		t.Errorf("%.3f rows a put", rows)
	}
	if puts := saved.At("puts_per_transaction"); !(puts > 10) {
		t.Errorf("%.1f puts a transaction", puts)
	}
}

func TestUsage(t *testing.T) {
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"--help"}, 0, "-rounds"},
		{[]string{"--only", "hit,nothing"}, 2, "there are hit, near, many, struct, stampede, call, layer, limit, lock, write-behind"},
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
