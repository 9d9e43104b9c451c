package main

import (
	"context"
	"fmt"
	"time"

	"github.com/redstart-go/redstart/bench/cost"
	"github.com/redstart-go/redstart/bench/table"
)

// time measures every contestant for so long in each round, and the first, the control, twice: costs[0] and costs[1]
// are the control's.
func (l lab) time(ctx context.Context, name string, all []cost.Contestant, long time.Duration) ([][]cost.Call, error) {
	slots := append([]cost.Contestant{all[0]}, all...)
	costs := make([][]cost.Call, len(slots))
	for round := range l.rounds {
		l.tell("%s: round %d of %d", name, round+1, l.rounds)
		for _, i := range order(round, len(slots)) {
			c, err := slots[i].Measure(long)
			if err == nil {
				err = ctx.Err()
			}
			if err != nil {
				return nil, fmt.Errorf("%s: %w", slots[i].Name, err)
			}
			costs[i] = append(costs[i], c)
		}
	}
	return costs, nil
}

// timing is a table of what calls take. A ratio below 1 is faster than the control, which is the first.
type timing struct {
	name, title, how string
	long             time.Duration // of a measurement, unless it is quick
	items            float64       // of a call: one is told in ns, many in µs and by the item
	contestants      []cost.Contestant
}

func (t timing) run(ctx context.Context, l lab) (table.Section, error) {
	long := t.long
	if l.quick {
		long = time.Millisecond
	}
	costs, err := l.time(ctx, t.title, t.contestants, long)
	if err != nil {
		return table.Section{}, err
	}
	return t.section(costs), nil
}

// section sums the rounds up.
func (t timing) section(costs [][]cost.Call) table.Section {
	columns := []table.Column{
		{Key: "ns_per_op", Title: "ns", Digits: 1},
		{Key: "ratio", Title: "ratio", Digits: 2, Spread: true},
		{Key: "shared_ns_per_op", Title: "every core ns", Digits: 1},
		{Key: "allocs_per_op", Title: "allocs/op"},
	}
	unit := 1.0
	if t.items > 1 {
		unit = 1e3
		columns = []table.Column{
			{Key: "us_per_op", Title: "µs"},
			{Key: "ratio", Title: "ratio", Digits: 3, Spread: true},
			{Key: "shared_us_per_op", Title: "every core µs"},
			{Key: "us_per_item", Title: "µs/item", Digits: 3},
			{Key: "allocs_per_item", Title: "allocs/item", Digits: 3},
		}
	}
	alone := func(c cost.Call) float64 { return c.Alone / unit }
	first, second := table.Pick(costs[0], alone), table.Pick(costs[1], alone)
	control := table.Mean(first, second)
	s := table.Section{
		Name: t.name, Title: t.title, How: t.how, Control: t.contestants[0].Name, Columns: columns,
		Noise: table.SpreadOf(table.Over(second, first)).Noise(),
	}
	add := func(name, about string, all []cost.Call, ratios []float64) {
		took := table.Median(table.Pick(all, alone))
		figures := []table.Spread{table.Exact(took), table.SpreadOf(ratios), table.Exact(table.Median(table.Pick(all, func(c cost.Call) float64 { return c.Shared / unit })))}
		if t.items > 1 {
			figures = append(figures, table.Exact(took/t.items))
		}
		figures = append(figures, table.Exact(table.Median(table.Pick(all, func(c cost.Call) float64 { return c.Allocs / t.items }))))
		s.Rows = append(s.Rows, table.Row{Name: name, About: about, Columns: columns, Figures: figures})
	}
	add(s.Control, t.contestants[0].About, costs[0], nil)
	add(s.Control+table.Again, "the control once more; the ratio is to its other run, those below are to the mean of both", costs[1], table.Over(second, first))
	for i, c := range t.contestants[1:] {
		add(c.Name, c.About, costs[i+2], table.Over(table.Pick(costs[i+2], alone), control))
	}
	return s
}
