package main

import (
	"context"
	"fmt"
	"time"

	"github.com/redstart-go/redstart/bench/cost"
	"github.com/redstart-go/redstart/bench/table"
)

// policies measures breakers and retries around a function that does nothing.
func policies(ctx context.Context, l lab) (table.Section, error) {
	all, err := cost.Policies(ctx)
	if err != nil {
		return table.Section{}, err
	}
	long := 50 * time.Millisecond
	if l.quick {
		long = time.Millisecond
	}
	costs, err := l.time(ctx, "policies", all, long)
	if err != nil {
		return table.Section{}, err
	}
	return policySection(all, costs), nil
}

// policySection sums the rounds up; costs[0] and costs[1] are the control's.
func policySection(all []cost.Contestant, costs [][]cost.Call) table.Section {
	columns := []table.Column{
		{Key: "ns_per_op", Title: "ns", Digits: 1, Spread: true},
		{Key: "shared_ns_per_op", Title: "every core ns", Digits: 1},
		{Key: "allocs_per_op", Title: "allocs/op"},
	}
	alone := func(c cost.Call) float64 { return c.Alone }
	s := table.Section{
		Name: layerBenchmark{}.name(), Title: "breaker and retry by themselves", Control: all[0].Name, Columns: columns,
		How:   "Around a function that does nothing and succeeds: one caller, then one on every core (what each of them waits). Medians.",
		Noise: table.SpreadOf(table.Over(table.Pick(costs[1], alone), table.Pick(costs[0], alone))).Noise(),
	}
	for i, p := range all {
		of := costs[i+1]
		s.Rows = append(s.Rows, table.Row{Name: p.Name, About: p.About, Columns: columns, Figures: []table.Spread{
			table.SpreadOf(table.Pick(of, alone)),
			table.Exact(table.Median(table.Pick(of, func(c cost.Call) float64 { return c.Shared }))),
			table.Exact(table.Median(table.Pick(of, func(c cost.Call) float64 { return c.Allocs }))),
		}})
	}
	both := s.Find(cost.Ours)
	s.Verdicts = []table.Verdict{
		table.AtMost(fmt.Sprintf("%s at most %d ns", cost.Ours, layerNanoseconds), both.At("ns_per_op"), layerNanoseconds, 1),
		table.AtMost(cost.Ours+" allocates nothing", both.At("allocs_per_op"), 0, 0),
	}
	return s
}
