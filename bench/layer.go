package main

import (
	"context"
	"fmt"
	"math"
	"os"
	"time"

	"github.com/redstart-go/redstart/bench/cost"
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

func (b layerBenchmark) run(ctx context.Context, l lab) ([]section, error) {
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
	return []section{client, policies}, nil
}

// client measures all calls, each by itself and through a Client, and the first of them once more.
func (b layerBenchmark) client(ctx context.Context, l lab, program string) (section, error) {
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
				return section{}, err
			}
			costs[i] = append(costs[i], c)
		}
	}
	return b.section(costs), nil
}

// section sums the rounds up: for each call the inner client's costs and the Client's, then the first's once more.
func (b layerBenchmark) section(costs [][]cost.Call) section {
	columns := []column{
		{key: "ns_per_op", title: "ns", digits: 1},
		{key: "added_ns", title: "added ns", digits: 1, spread: true},
		{key: "shared_ns_per_op", title: "every core ns", digits: 1},
		{key: "shared_added_ns", title: "added ns", digits: 1},
		{key: "allocs_per_op", title: "allocs/op"},
	}
	alone, shared := func(c cost.Call) float64 { return c.Alone }, func(c cost.Call) float64 { return c.Shared }
	inner, twice := costs[0], costs[len(costs)-1]
	s := section{
		Name: b.name(), Title: "what the client adds to a call", Control: "inner client", columns: columns,
		How:   "A call that costs nothing, alone and through the client: one caller, then one on every core (what each of them waits). Medians; what is added is over the control in the same round.",
		Noise: spreadOf(over(pick(twice, alone), pick(inner, alone))).noise(),
	}
	add := func(name string, all, control []cost.Call) {
		r := row{name: name, columns: columns, figures: []spread{
			exact(median(pick(all, alone))), exact(math.NaN()), exact(median(pick(all, shared))), exact(math.NaN()),
			exact(median(pick(all, func(c cost.Call) float64 { return c.Allocs }))),
		}}
		if control != nil {
			r.figures[1] = spreadOf(less(pick(all, alone), pick(control, alone)))
			r.figures[3] = exact(median(less(pick(all, shared), pick(control, shared))))
		}
		s.Rows = append(s.Rows, r)
	}
	add(s.Control, inner, nil)
	add(s.Control+again, twice, inner)
	for i, call := range layerCalls {
		add(ours+", "+call, costs[2*i+1], costs[2*i])
	}
	for _, call := range layerCalls {
		r := s.find(ours + ", " + call)
		s.Verdicts = append(s.Verdicts,
			atMost(fmt.Sprintf("%s adds at most %d ns", r.name, layerNanoseconds), r.at("added_ns"), layerNanoseconds, 1),
			atMost(r.name+" adds no allocation", r.at("allocs_per_op")-s.find(s.Control).at("allocs_per_op"), 0, 0))
	}
	return s
}
