package main

import (
	"context"
	"fmt"
	"math"
	"os"
	"time"

	"github.com/redstart-go/redstart/bench/cost"
	"github.com/redstart-go/redstart/bench/table"
)

// layerBenchmark measures what the client adds to a call, in nanoseconds: the same call over an inner client that
// answers at once, alone and through a Client. Such a client can be made within the root package only, so this is its
// BenchmarkCall, built once and run in a process of its own for each figure. Its second table is the policies on their
// own, beside their peers.
type layerBenchmark struct{}

func (layerBenchmark) name() string { return "layer" }

const layerNanoseconds = 100 // that the layers may add to a call

// layerCalls are the calls of BenchmarkCall. A script is an EVALSHA that the client knows the text of.
var layerCalls = []string{"get", "set", "evalsha", "script"}

func (b layerBenchmark) run(ctx context.Context, l lab) ([]table.Section, error) {
	dir, err := os.MkdirTemp("", "redstart-bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	program, err := cost.Build(ctx, dir)
	if err != nil {
		return nil, err
	}
	client, err := b.client(ctx, l, program)
	if err != nil {
		return nil, err
	}
	policies, err := policies(ctx, l)
	if err != nil {
		return nil, err
	}
	return []table.Section{client, policies}, nil
}

// client measures all calls, each by itself and through a Client, and the first of them once more.
func (b layerBenchmark) client(ctx context.Context, l lab, program string) (table.Section, error) {
	long := 100 * time.Millisecond
	if l.quick {
		long = time.Millisecond
	}
	var slots []string
	for _, call := range layerCalls {
		slots = append(slots, call+"/inner", call+"/client")
	}
	slots = append(slots, slots[0])
	costs := make([][]cost.Call, len(slots))
	for round := range l.rounds {
		l.tell("layer: round %d of %d", round+1, l.rounds)
		for _, i := range order(round, len(slots)) {
			c, err := cost.Run(ctx, program, slots[i], long)
			if err != nil {
				return table.Section{}, err
			}
			costs[i] = append(costs[i], c)
		}
	}
	return b.section(costs), nil
}

// section sums the rounds up: for each call the inner client's costs and the Client's, then the first's once more.
func (b layerBenchmark) section(costs [][]cost.Call) table.Section {
	columns := []table.Column{
		{Key: "ns_per_op", Title: "ns", Digits: 1},
		{Key: "added_ns", Title: "added ns", Digits: 1, Spread: true},
		{Key: "shared_ns_per_op", Title: "every core ns", Digits: 1},
		{Key: "shared_added_ns", Title: "added ns", Digits: 1},
		{Key: "allocs_per_op", Title: "allocs/op"},
	}
	alone, shared := func(c cost.Call) float64 { return c.Alone }, func(c cost.Call) float64 { return c.Shared }
	inner, twice := costs[0], costs[len(costs)-1]
	s := table.Section{
		Name: b.name(), Title: "what the client adds to a call", Control: "inner client", Columns: columns,
		How:   "A call that costs nothing, alone and through the client: one caller, then one on every core (what each of them waits). Medians; what is added is over the control in the same round.",
		Noise: table.SpreadOf(table.Over(table.Pick(twice, alone), table.Pick(inner, alone))).Noise(),
	}
	add := func(name string, all, control []cost.Call) {
		r := table.Row{Name: name, Columns: columns, Figures: []table.Spread{
			table.Exact(table.Median(table.Pick(all, alone))), table.Exact(math.NaN()), table.Exact(table.Median(table.Pick(all, shared))), table.Exact(math.NaN()),
			table.Exact(table.Median(table.Pick(all, func(c cost.Call) float64 { return c.Allocs }))),
		}}
		if control != nil {
			r.Figures[1] = table.SpreadOf(table.Less(table.Pick(all, alone), table.Pick(control, alone)))
			r.Figures[3] = table.Exact(table.Median(table.Less(table.Pick(all, shared), table.Pick(control, shared))))
		}
		s.Rows = append(s.Rows, r)
	}
	add(s.Control, inner, nil)
	add(s.Control+table.Again, twice, inner)
	for i, call := range layerCalls {
		add(ours+", "+call, costs[2*i+1], costs[2*i])
	}
	for _, call := range layerCalls {
		r := s.Find(ours + ", " + call)
		s.Verdicts = append(s.Verdicts,
			table.AtMost(fmt.Sprintf("%s adds at most %d ns", r.Name, layerNanoseconds), r.At("added_ns"), layerNanoseconds, 1),
			table.AtMost(r.Name+" adds no allocation", r.At("allocs_per_op")-s.Find(s.Control).At("allocs_per_op"), 0, 0))
	}
	return s
}
