package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/redstart-go/redstart/bench/locks"
	"github.com/redstart-go/redstart/bench/table"
)

var (
	errTwo    = errors.New("two had the lock at the same time")
	errNobody = errors.New("nobody had the lock")
)

// contendedSection sums the rounds up; got[0] and got[1] are the control's.
func (b lockBenchmark) contendedSection(all []locks.Contestant, got [][]turns) table.Section {
	perSecond, wait := func(t turns) float64 { return t.perSecond }, func(t turns) float64 { return t.wait }
	fair := func(t turns) float64 { return 100 * t.fair }
	columns := []table.Column{
		{Key: "locks_per_s", Title: "locks/s"},
		{Key: "ratio", Title: "ratio", Digits: 2, Spread: true},
		{Key: "wait_p99_ms", Title: "wait p99 ms", Digits: 1},
		{Key: "wait_ratio", Title: "ratio", Digits: 2, Spread: true},
		{Key: "least_percent", Title: "least served %", Digits: 1},
		{Key: "commands_per_lock", Title: "commands", Digits: 2},
		{Key: "server_us_per_lock", Title: "server µs", Digits: 1},
	}
	first, second := got[0], got[1]
	s := table.Section{
		Name: b.name(), Title: "a lock that 16 want", Control: all[0].Name, Columns: columns,
		How: "16 workers of 4 clients, each holding it for 1 ms again and again. Medians; the ratios are to the control in the same round. The wait is the\n" +
			"99th of a hundred; the least served worker's turns are of the average; commands and the server's CPU are a lock, commands as clients sent them.",
		Noise: table.SpreadOf(table.Over(table.Pick(second, perSecond), table.Pick(first, perSecond))).Noise(),
	}
	add := func(name, about string, rounds []turns, rates, waits []float64) {
		s.Rows = append(s.Rows, table.Row{Name: name, About: about, Columns: columns, Figures: []table.Spread{
			table.Exact(table.Median(table.Pick(rounds, perSecond))),
			table.SpreadOf(rates),
			table.Exact(table.Median(table.Pick(rounds, wait))),
			table.SpreadOf(waits),
			table.Exact(table.Median(table.Pick(rounds, fair))),
			table.Exact(table.Median(table.Pick(rounds, func(t turns) float64 { return t.commands }))),
			table.Exact(table.Median(table.Pick(rounds, func(t turns) float64 { return t.server }))),
		}})
	}
	add(s.Control, all[0].About, first, nil, nil)
	add(s.Control+table.Again, "the control once more; the ratios are to its other run, those below are to the mean of both", second,
		table.Over(table.Pick(second, perSecond), table.Pick(first, perSecond)), table.Over(table.Pick(second, wait), table.Pick(first, wait)))
	rate, waits := table.Mean(table.Pick(first, perSecond), table.Pick(second, perSecond)), table.Mean(table.Pick(first, wait), table.Pick(second, wait))
	for i, c := range all[1:] {
		rounds := got[i+2]
		about := strings.TrimPrefix(c.About+"; the server counted a lock, scripts included: "+commandsOf(rounds), "; ")
		if n := givenUp(rounds); n > 0 {
			about += fmt.Sprintf("; %d waits were given up after %v", n, contendedLimit)
		}
		add(c.Name, about, rounds, table.Over(table.Pick(rounds, perSecond), rate), table.Over(table.Pick(rounds, wait), waits))
	}
	r := s.Find(locks.Ours)
	s.Verdicts = []table.Verdict{
		table.AtLeast(fmt.Sprintf("%s at least %.2f times %s", locks.Ours, contendedRate, s.Control), r.At("ratio"), contendedRate, 2),
		table.AtMost(fmt.Sprintf("%s: waits (p99) at most %.1f times those of %s", locks.Ours, contendedWait, s.Control), r.At("wait_ratio"), contendedWait, 2),
		table.AtLeast(fmt.Sprintf("%s: the least served at least %.0f %% of the average", locks.Ours, 100*contendedFair), r.At("least_percent"), 100*contendedFair, 1),
		table.AtMost(fmt.Sprintf("%s: clients send at most %d commands a lock", locks.Ours, contendedCommands), r.At("commands_per_lock"), contendedCommands, 2),
	}
	return s
}

// commandsOf names what the server counted in the median round.
func commandsOf(rounds []turns) string {
	sorted := slices.SortedFunc(slices.Values(rounds), func(a, b turns) int { return int(1000 * (a.commands - b.commands)) })
	each := sorted[len(sorted)/2].each
	parts := make([]string, 0, len(each))
	for _, name := range slices.Sorted(maps.Keys(each)) {
		if each[name] >= 0.005 {
			parts = append(parts, fmt.Sprintf("%s %.2f", name, each[name]))
		}
	}
	return strings.Join(parts, ", ")
}

func givenUp(rounds []turns) (n int) {
	for _, t := range rounds {
		n += t.givenUp
	}
	return n
}
