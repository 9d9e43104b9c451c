package main

import (
	"context"
	"fmt"
	"time"

	"github.com/redstart-go/redstart/bench/cost"
)

// policies measures breakers and retries around a function that does nothing.
func policies(ctx context.Context, l lab) (section, error) {
	all, err := cost.Policies(ctx)
	if err != nil {
		return section{}, err
	}
	long := 50 * time.Millisecond
	if l.quick {
		long = time.Millisecond
	}
	costs, err := l.time(ctx, "policies", all, long)
	if err != nil {
		return section{}, err
	}
	return policySection(all, costs), nil
}

// policySection sums the rounds up; costs[0] and costs[1] are the control's.
func policySection(all []cost.Contestant, costs [][]cost.Call) section {
	columns := []column{
		{key: "ns_per_op", title: "ns", digits: 1, spread: true},
		{key: "shared_ns_per_op", title: "every core ns", digits: 1},
		{key: "allocs_per_op", title: "allocs/op"},
	}
	alone := func(c cost.Call) float64 { return c.Alone }
	s := section{
		Name: layerBenchmark{}.name(), Title: "breaker and retry by themselves", Control: all[0].Name, columns: columns,
		How:   "Around a function that does nothing and succeeds: one caller, then one on every core (what each of them waits). Medians.",
		Noise: spreadOf(over(pick(costs[1], alone), pick(costs[0], alone))).noise(),
	}
	for i, p := range all {
		of := costs[i+1]
		s.Rows = append(s.Rows, row{name: p.Name, about: p.About, columns: columns, figures: []spread{
			spreadOf(pick(of, alone)),
			exact(median(pick(of, func(c cost.Call) float64 { return c.Shared }))),
			exact(median(pick(of, func(c cost.Call) float64 { return c.Allocs }))),
		}})
	}
	both := s.find(cost.Ours)
	s.Verdicts = []verdict{
		atMost(fmt.Sprintf("%s at most %d ns", cost.Ours, layerNanoseconds), both.at("ns_per_op"), layerNanoseconds, 1),
		atMost(cost.Ours+" allocates nothing", both.at("allocs_per_op"), 0, 0),
	}
	return s
}
