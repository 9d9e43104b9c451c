package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/redstart-go/redstart/bench/behind"
	"github.com/redstart-go/redstart/bench/cost"
	"github.com/redstart-go/redstart/bench/near"
	"github.com/redstart-go/redstart/bench/table"
)

// promise is a row of GUARANTEES.md whose figure comes from here.
type promise struct {
	id     string
	test   string // the one that holds what can be asserted
	figure string
	shared bool // the fault matrix writes the row as well; what is ours stands behind a <br> in each cell
}

// leastRounds is what a figure for that page needs.
const leastRounds = 9

// promises are those that the report has figures for.
func promises(rep table.Report) ([]promise, error) {
	if rep.Quick || rep.Rounds < leastRounds {
		return nil, fmt.Errorf("a figure for the page needs %d rounds that are not quick", leastRounds)
	}
	layers, calls, hits := sectionsOf(rep, layerBenchmark{}), sectionsOf(rep, callBenchmark{}), sectionsOf(rep, nearBenchmark{})
	var all []promise
	if len(layers) == 2 && len(calls) == 2 {
		all = append(all, k4(rep, layers[0], layers[1], calls[0], calls[1]))
	}
	if len(hits) == 2 {
		all = append(all, c6(rep, hits[0], hits[1]))
	}
	if written := sectionsOf(rep, behindBenchmark{}); len(written) == 4 {
		figure, kept := behind.Promise(written)
		figure = fmt.Sprintf("%s; %s, medians of %d rounds, %s, %d CPUs; %s", figure, rep.Date, rep.Rounds, rep.Go, rep.CPUs, shortVersion(rep.Server))
		if !kept {
			figure = "not yet: " + figure
		}
		all = append(all, promise{id: "W6", test: "bench.TestWriteBehindArrives", figure: figure})
	}
	if len(all) == 0 {
		return nil, errors.New("the row K4 needs the benchmarks call and layer, C6 needs near, W6 write-behind")
	}
	return all, nil
}

func sectionsOf(rep table.Report, b benchmark) []table.Section {
	var all []table.Section
	for _, s := range rep.Sections {
		if s.Name == b.name() {
			all = append(all, s)
		}
	}
	return all
}

// k4 is the row about what the client adds to a call. A figure past the bound is one of a promise that is not kept.
func k4(rep table.Report, layer, policies, get, set table.Section) promise {
	var added []string
	kept := true
	for _, call := range layerCalls {
		r := layer.Find(ours + ", " + call)
		ns, allocs := r.At("added_ns"), r.At("allocs_per_op")-layer.Find(layer.Control).At("allocs_per_op")
		kept = kept && ns <= layerNanoseconds && allocs <= 0
		added = append(added, fmt.Sprintf("%s %s ns and %s", call, table.Number(ns, 0), table.Number(allocs, 0)))
	}
	of := func(s table.Section, name string) string {
		r := s.Find(name)
		return fmt.Sprintf("%s ns and %s", table.Number(r.At("ns_per_op"), 0), table.Number(r.At("allocs_per_op"), 0))
	}
	throughput := func(s table.Section) string {
		return fmt.Sprintf("%s times (the control beside itself within %s %%)",
			table.Number(s.Find(ours).At("ratio"), 2), table.Number(100*s.Noise, 1))
	}
	text := fmt.Sprintf("over an inner client that answers at once, ns and allocations added to a call: %s (that client beside itself within %s %%; retry and breaker by themselves %s, "+
		"gobreaker %s, retry and breaker of failsafe-go %s); on a server, GET and SET of 1 KiB by %d goroutines: %s and %s the throughput "+
		"of the inner client alone; %s, medians of %d rounds, %s, %d CPUs; %s",
		strings.Join(added, ", "), table.Number(100*layer.Noise, 1), of(policies, cost.Ours), of(policies, cost.Sony), of(policies, cost.Failsafe), callers,
		throughput(get), throughput(set), rep.Date, rep.Rounds, rep.Go, rep.CPUs, shortVersion(rep.Server))
	if !kept {
		text = "not yet: " + text
	}
	return promise{id: "K4", test: "redstart.TestCallAllocatesNothing", figure: text}
}

// c6 is the part about speed of the row about the near tier.
func c6(rep table.Report, value, pointer table.Section) promise {
	kept := true
	of := func(s table.Section) string {
		r := s.Find(near.Ours)
		kept = kept && r.At("ratio") <= nearRatio && r.At("allocs_per_op") <= 0
		return fmt.Sprintf("%s times (%s ns and %s allocations; raw otter %s ns, beside itself within %s %%; %s)",
			table.Number(r.At("ratio"), 2), table.Number(r.At("ns_per_op"), 0), table.Number(r.At("allocs_per_op"), 0),
			table.Number(s.Find(s.Control).At("ns_per_op"), 0), table.Number(100*s.Noise, 1), peers(s))
	}
	text := fmt.Sprintf("a hit of a struct of 1 KiB, beside raw otter: by pointer %s, by value %s; %s, medians of %d rounds, %s, %d CPUs",
		of(pointer), of(value), rep.Date, rep.Rounds, rep.Go, rep.CPUs)
	if !kept {
		text = "not yet: " + text
	}
	return promise{id: "C6", test: "bench.TestNearAllocations", figure: text, shared: true}
}

// peers tells what all but the control and ours take.
func peers(s table.Section) string {
	var all []string
	for _, r := range s.Rows {
		if !slices.Contains([]string{s.Control, s.Control + table.Again, near.Ours, near.Unstaled}, r.Name) {
			all = append(all, fmt.Sprintf("%s %s ns", r.Name, table.Number(r.At("ns_per_op"), 0)))
		}
	}
	return strings.Join(all, ", ")
}

// shortVersion makes "Redis 7.0.15" of what a server prints about itself.
func shortVersion(text string) string {
	name, rest, _ := strings.Cut(text, " ")
	_, version, ok := strings.Cut(rest, "v=")
	if !ok {
		return text
	}
	version, _, _ = strings.Cut(version, " ")
	return name + " " + version
}

// writePromises puts the figures into their rows of the page at path, which must be there: the page is the fault
// matrix's, its promises' texts included. make guarantees is not to run meanwhile.
func writePromises(path string, all []promise) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	page := string(text)
	for _, p := range all {
		if page, err = p.into(page); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	return os.WriteFile(path, []byte(page), 0o644)
}

// into gives the page with the promise's test and figure in its row. Everything else stays as it is.
func (p promise) into(page string) (string, error) {
	lines := strings.SplitAfter(page, "\n")
	for i, line := range lines {
		cells := strings.SplitN(line, "|", 4) // "", " K4 ", its text, the rest
		if len(cells) < 4 || strings.TrimSpace(cells[1]) != p.id {
			continue
		}
		test, figure := "`"+p.test+"`", strings.NewReplacer("|", "\\|", "\n", " ").Replace(p.figure)
		if p.shared {
			theirs, rest, _ := strings.Cut(strings.TrimSuffix(strings.TrimSpace(cells[3]), "|"), "|")
			test, figure = before(theirs)+test, before(rest)+figure
		}
		lines[i] = fmt.Sprintf("| %s | %s | %s | %s |\n", p.id, strings.TrimSpace(cells[2]), test, figure)
		return strings.Join(lines, ""), nil
	}
	return "", fmt.Errorf("there is no row %s", p.id)
}

// before is the fault matrix's part of a cell that is shared, with what ends it.
func before(cell string) string {
	theirs, _, _ := strings.Cut(cell, "<br>")
	return strings.TrimSpace(theirs) + "<br>"
}
