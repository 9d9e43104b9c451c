package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/redstart-go/redstart/bench/cost"
	"github.com/redstart-go/redstart/bench/near"
	"github.com/redstart-go/redstart/bench/table"
)

func TestCallAllocations(t *testing.T) {
	for _, s := range quick(t, callBenchmark{}) {
		got, control := s.Find(ours).At("allocs_per_op"), s.Find(s.Control).At("allocs_per_op")
		if raceDetector {
			continue // sync.Pool forgets at random there
		}
		if !(got < control+0.5) { // half an allocation is the start of so short a run
			t.Errorf("%s: %.2f allocations a call, %s has %.2f", s.Title, got, s.Control, control)
		}
	}
}

// A call through breaker and retry allocates nothing; that the peers allocate shows that the count can see it.
func TestPolicyAllocations(t *testing.T) {
	s, err := policies(t.Context(), lab{rounds: 1, quick: true, progress: t.Output()})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range s.Rows {
		n := r.At("allocs_per_op")
		switch {
		case strings.HasPrefix(r.Name, "redstart") && n != 0:
			t.Errorf("%s: %v allocations a call", r.Name, n)
		case strings.HasPrefix(r.Name, "failsafe-go") && n == 0:
			t.Errorf("%s: no allocation seen", r.Name)
		}
	}
}

// The layer's figures are read from what the root package's benchmark prints, one program for all of them.
func TestLayerReadsEveryCall(t *testing.T) {
	dir := t.TempDir()
	program, err := cost.Build(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	s, err := layerBenchmark{}.client(t.Context(), lab{rounds: 1, quick: true, progress: t.Output()}, program)
	if err != nil {
		t.Fatal(err)
	}
	for _, call := range layerCalls {
		r := s.Find(ours + ", " + call)
		if !(r.At("ns_per_op") > 0) || !(r.At("shared_ns_per_op") > 0) || !(r.At("allocs_per_op") >= 0) {
			t.Errorf("%s: %v", call, r.Figures)
		}
	}
	if _, err := cost.Run(t.Context(), program, "nothing/inner", 1); err == nil || !strings.Contains(err.Error(), "no figures") {
		t.Errorf("a call that there is not: %v", err)
	}
}

// costsOf are one round of layerBenchmark in which the client adds ns and allocs to every call.
func costsOf(ns, allocs float64) [][]cost.Call {
	var all [][]cost.Call
	for range layerCalls {
		all = append(all, []cost.Call{{Alone: 10, Shared: 20}}, []cost.Call{{Alone: 10 + ns, Shared: 25 + ns, Allocs: allocs}})
	}
	return append(all, all[0])
}

func reportOf(ns, allocs float64) table.Report {
	call := table.Section{Name: "call", Control: "rueidis", Noise: 0.012}
	peers := []cost.Contestant{{Name: "nothing"}, {Name: cost.Ours}, {Name: cost.Sony}, {Name: cost.Failsafe}}
	return table.Report{
		Server: "Redis server v=7.0.15 sha=00000000:0", Go: "go1.26.8", CPUs: 2, Date: "2026-11-24", Rounds: 11,
		Sections: []table.Section{
			{Name: "hit"},
			call, call, layerBenchmark{}.section(costsOf(ns, allocs)),
			policySection(peers, slices.Repeat([][]cost.Call{{{Alone: 30, Shared: 40}}}, len(peers)+1)),
		},
	}
}

// A promise's figure says that it is not kept where one call is past a bound.
func TestK4(t *testing.T) {
	for _, c := range []struct {
		ns, allocs float64
		kept       bool
	}{{100, 0, true}, {100.5, 0, false}, {60, 1, false}} {
		all, err := promises(reportOf(c.ns, c.allocs))
		if err != nil {
			t.Fatal(err)
		}
		p := all[0]
		if p.id != "K4" || strings.HasPrefix(p.figure, "not yet: ") == c.kept || !strings.HasSuffix(p.figure, "; Redis 7.0.15") {
			t.Errorf("%+v: %+v", c, p)
		}
		good := 0
		for _, v := range reportOf(c.ns, c.allocs).Sections[3].Verdicts {
			if v.Result == table.Met {
				good++
			}
		}
		if (good == 2*len(layerCalls)) != c.kept {
			t.Errorf("%+v: %d targets are met", c, good)
		}
	}
	for name, spoil := range map[string]func(*table.Report){
		"quick":      func(r *table.Report) { r.Quick = true },
		"few rounds": func(r *table.Report) { r.Rounds = leastRounds - 1 },
		"no layer":   func(r *table.Report) { r.Sections = r.Sections[:3] },
		"no call":    func(r *table.Report) { r.Sections = r.Sections[3:] },
	} {
		rep := reportOf(60, 0)
		spoil(&rep)
		if all, err := promises(rep); err == nil {
			t.Errorf("%s: %v", name, all)
		}
	}
}

// nearOf are one round of nearBenchmark in which ours takes ns and allocates so often, where raw otter takes 30.
func nearOf(ns, allocs float64) table.Section {
	names := []string{"otter", near.Ours, near.Unstaled, "sturdyc"}
	costs := make([][]cost.Call, len(names)+1)
	contestants := make([]cost.Contestant, len(names))
	for i, name := range names {
		contestants[i].Name = name
		costs[i+1] = []cost.Call{{Alone: 30}}
	}
	costs[0], costs[2] = costs[1], []cost.Call{{Alone: ns, Allocs: allocs}}
	return timing{name: nearBenchmark{}.name(), items: 1, contestants: contestants}.section(costs)
}

// The part about speed of a shared row is kept for both ways to hold a value, or it is not.
func TestC6(t *testing.T) {
	for _, c := range []struct {
		value, pointer table.Section
		kept           bool
	}{
		{nearOf(60, 0), nearOf(20, 0), true}, {nearOf(20, 0), nearOf(61, 0), false}, {nearOf(61, 0), nearOf(20, 0), false}, {nearOf(20, 1), nearOf(20, 0), false},
	} {
		rep := table.Report{Rounds: leastRounds, Sections: []table.Section{c.value, c.pointer}}
		all, err := promises(rep)
		if err != nil || len(all) != 1 {
			t.Fatal(all, err)
		}
		p := all[0]
		if p.id != "C6" || !p.shared || strings.HasPrefix(p.figure, "not yet: ") == c.kept || strings.Count(p.figure, "; sturdyc 30 ns)") != 2 {
			t.Errorf("%+v", p)
		}
	}
}

// What the fault matrix wrote into a row that it shares stays in front.
func TestSharedRow(t *testing.T) {
	for row, want := range map[string]string{
		"| C6 | near tier | | not yet: why |\n":                                        "| C6 | near tier | <br>`bench.T` | not yet: why<br>1.7 \\| 2 |\n",
		"| C6 | near tier | `faults.T` | 0 \\| 1 |\n":                                  "| C6 | near tier | `faults.T`<br>`bench.T` | 0 \\| 1<br>1.7 \\| 2 |\n",
		"| C6 | near tier | `faults.T`<br>`bench.Old` | 0<br>not yet: 5 \\| 6 |\n":     "| C6 | near tier | `faults.T`<br>`bench.T` | 0<br>1.7 \\| 2 |\n",
		"| C5 | a | `t` | 1 |\n| C6 | near tier | `faults.T` | 0 |\n| C60 | b | | |\n": "| C5 | a | `t` | 1 |\n| C6 | near tier | `faults.T`<br>`bench.T` | 0<br>1.7 \\| 2 |\n| C60 | b | | |\n",
	} {
		got, err := promise{id: "C6", test: "bench.T", figure: "1.7 | 2", shared: true}.into(row)
		if err != nil || got != want {
			t.Errorf("%q gives\n%q, %v, want\n%q", row, got, err, want)
		}
	}
}

// A figure goes into its row; everything else of the page stays.
func TestPromisesInThePage(t *testing.T) {
	const page = "# Guarantees\n\n| ID | promise | test | figure |\n|---|---|---|---|\n" +
		"| K3 | a | `t` | 1 |\n| K4 | adds at most 100 ns | | not yet: why |\n| K40 | b | | not yet |\n\n## Bugs\n"
	path := filepath.Join(t.TempDir(), "GUARANTEES.md")
	if err := os.WriteFile(path, []byte(page), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 { // also over a row of its own
		if err := writePromises(path, []promise{{id: "K4", test: "p.TestX", figure: "60 ns | 0\nallocations"}}); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Replace(page, "| K4 | adds at most 100 ns | | not yet: why |", "| K4 | adds at most 100 ns | `p.TestX` | 60 ns \\| 0 allocations |", 1)
	if string(got) != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	if err := writePromises(path, []promise{{id: "K5"}}); err == nil || !strings.Contains(err.Error(), "no row K5") {
		t.Errorf("a row that is not there: %v", err)
	}
	if err := writePromises(path+".none", nil); err == nil {
		t.Error("a page that is not there was written")
	}
}

func TestShortVersion(t *testing.T) {
	for text, want := range map[string]string{
		"Redis server v=7.0.15 sha=0:0": "Redis 7.0.15", "Valkey server v=9.1.2 sha=0": "Valkey 9.1.2", "something": "something",
	} {
		if got := shortVersion(text); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
