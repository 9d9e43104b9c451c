package main

import (
	"context"
	"fmt"
	"time"

	"github.com/redstart-go/redstart/bench/cost"
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

func (t timing) run(ctx context.Context, l lab) (section, error) {
	long := t.long
	if l.quick {
		long = time.Millisecond
	}
	costs, err := l.time(ctx, t.title, t.contestants, long)
	if err != nil {
		return section{}, err
	}
	return t.section(costs), nil
}

// section sums the rounds up.
func (t timing) section(costs [][]cost.Call) section {
	columns := []column{
		{key: "ns_per_op", title: "ns", digits: 1},
		{key: "ratio", title: "ratio", digits: 2, spread: true},
		{key: "shared_ns_per_op", title: "every core ns", digits: 1},
		{key: "allocs_per_op", title: "allocs/op"},
	}
	unit := 1.0
	if t.items > 1 {
		unit = 1e3
		columns = []column{
			{key: "us_per_op", title: "µs"},
			{key: "ratio", title: "ratio", digits: 3, spread: true},
			{key: "shared_us_per_op", title: "every core µs"},
			{key: "us_per_item", title: "µs/item", digits: 3},
			{key: "allocs_per_item", title: "allocs/item", digits: 3},
		}
	}
	alone := func(c cost.Call) float64 { return c.Alone / unit }
	first, second := pick(costs[0], alone), pick(costs[1], alone)
	control := mean(first, second)
	s := section{
		Name: t.name, Title: t.title, How: t.how, Control: t.contestants[0].Name, columns: columns,
		Noise: spreadOf(over(second, first)).noise(),
	}
	add := func(name, about string, all []cost.Call, ratios []float64) {
		took := median(pick(all, alone))
		figures := []spread{exact(took), spreadOf(ratios), exact(median(pick(all, func(c cost.Call) float64 { return c.Shared / unit })))}
		if t.items > 1 {
			figures = append(figures, exact(took/t.items))
		}
		figures = append(figures, exact(median(pick(all, func(c cost.Call) float64 { return c.Allocs / t.items }))))
		s.Rows = append(s.Rows, row{name: name, about: about, columns: columns, figures: figures})
	}
	add(s.Control, t.contestants[0].About, costs[0], nil)
	add(s.Control+again, "the control once more; the ratio is to its other run, those below are to the mean of both", costs[1], over(second, first))
	for i, c := range t.contestants[1:] {
		add(c.Name, c.About, costs[i+2], over(pick(costs[i+2], alone), control))
	}
	return s
}
