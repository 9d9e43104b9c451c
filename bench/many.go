package main

import (
	"context"
	"fmt"
	"time"

	"github.com/redstart-go/redstart/bench/cost"
	"github.com/redstart-go/redstart/bench/many"
	"github.com/redstart-go/redstart/bench/table"
)

// manyBenchmark reads 1,000 cached values by one call: texts of two sizes as they are, from Redis and from the process,
// and structs, decoded.
type manyBenchmark struct{}

func (manyBenchmark) name() string { return "many" }

const (
	manyRatio = 1.1 // of one MGET's time, at most
	warmRatio = 0.1 // with everything in the process
)

func (b manyBenchmark) run(ctx context.Context, l lab) ([]table.Section, error) {
	server, err := l.server(ctx)
	if err != nil {
		return nil, err
	}
	defer server.Close()
	clients, err := many.Open(ctx, server)
	if err != nil {
		return nil, err
	}
	defer clients.Close()
	read := func(title string, contestants []cost.Contestant) (table.Section, error) {
		return timing{
			name: b.name(), title: title, items: many.Items, long: 100 * time.Millisecond, contestants: contestants,
			how: "1,000 values by one call: one caller, then one on every core (what each of them waits). Medians; the ratio is to the control in the same round.",
		}.run(ctx, l)
	}
	var sections []table.Section
	for _, bytes := range []int{100, hitBytes} {
		contestants, err := clients.Raw(ctx, bytes)
		if err != nil {
			return nil, err
		}
		s, err := read(fmt.Sprintf("1,000 values of %s bytes", table.Number(float64(bytes), 0)), contestants)
		if err != nil {
			return nil, err
		}
		within := func(name string, target float64) table.Verdict {
			return table.AtMost(fmt.Sprintf("%s at most %.2f times %s", name, target, s.Control), s.Find(name).At("ratio"), target, 3)
		}
		s.Verdicts = []table.Verdict{within(many.Ours, manyRatio), within(many.Warm, warmRatio)}
		sections = append(sections, s)
	}
	contestants, err := clients.Decoded(ctx)
	if err != nil {
		return nil, err
	}
	s, err := read("1,000 structs of some 860 bytes as JSON, decoded", contestants)
	return append(sections, s), err
}
