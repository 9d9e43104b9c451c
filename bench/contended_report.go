package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/redstart-go/redstart/bench/locks"
)

var (
	errTwo    = errors.New("two had the lock at the same time")
	errNobody = errors.New("nobody had the lock")
)

// contendedSection sums the rounds up; got[0] and got[1] are the control's.
func (b lockBenchmark) contendedSection(all []locks.Contestant, got [][]turns) section {
	perSecond, wait := func(t turns) float64 { return t.perSecond }, func(t turns) float64 { return t.wait }
	fair := func(t turns) float64 { return 100 * t.fair }
	columns := []column{
		{key: "locks_per_s", title: "locks/s"},
		{key: "ratio", title: "ratio", digits: 2, spread: true},
		{key: "wait_p99_ms", title: "wait p99 ms", digits: 1},
		{key: "wait_ratio", title: "ratio", digits: 2, spread: true},
		{key: "least_percent", title: "least served %", digits: 1},
		{key: "commands_per_lock", title: "commands", digits: 2},
		{key: "server_us_per_lock", title: "server µs", digits: 1},
	}
	first, second := got[0], got[1]
	s := section{
		Name: b.name(), Title: "a lock that 16 want", Control: all[0].Name, columns: columns,
		How: "16 workers of 4 clients, each holding it for 1 ms again and again. Medians; the ratios are to the control in the same round. The wait is the\n" +
			"99th of a hundred; the least served worker's turns are of the average; commands and the server's CPU are a lock, commands as clients sent them.",
		Noise: spreadOf(over(pick(second, perSecond), pick(first, perSecond))).noise(),
	}
	add := func(name, about string, rounds []turns, rates, waits []float64) {
		s.Rows = append(s.Rows, row{name: name, about: about, columns: columns, figures: []spread{
			exact(median(pick(rounds, perSecond))),
			spreadOf(rates),
			exact(median(pick(rounds, wait))),
			spreadOf(waits),
			exact(median(pick(rounds, fair))),
			exact(median(pick(rounds, func(t turns) float64 { return t.commands }))),
			exact(median(pick(rounds, func(t turns) float64 { return t.server }))),
		}})
	}
	add(s.Control, all[0].About, first, nil, nil)
	add(s.Control+again, "the control once more; the ratios are to its other run, those below are to the mean of both", second,
		over(pick(second, perSecond), pick(first, perSecond)), over(pick(second, wait), pick(first, wait)))
	rate, waits := mean(pick(first, perSecond), pick(second, perSecond)), mean(pick(first, wait), pick(second, wait))
	for i, c := range all[1:] {
		rounds := got[i+2]
		about := strings.TrimPrefix(c.About+"; the server counted a lock, scripts included: "+commandsOf(rounds), "; ")
		add(c.Name, about, rounds, over(pick(rounds, perSecond), rate), over(pick(rounds, wait), waits))
	}
	r := s.find(locks.Ours)
	s.Verdicts = []verdict{
		atLeast(fmt.Sprintf("%s at least %.2f times %s", locks.Ours, contendedRate, s.Control), r.at("ratio"), contendedRate, 2),
		atMost(fmt.Sprintf("%s: waits (p99) at most %.1f times those of %s", locks.Ours, contendedWait, s.Control), r.at("wait_ratio"), contendedWait, 2),
		atLeast(fmt.Sprintf("%s: the least served at least %.0f %% of the average", locks.Ours, 100*contendedFair), r.at("least_percent"), 100*contendedFair, 1),
		atMost(fmt.Sprintf("%s: clients send at most %d commands a lock", locks.Ours, contendedCommands), r.at("commands_per_lock"), contendedCommands, 2),
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
