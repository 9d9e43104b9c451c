package main

import (
	"context"

	"github.com/redstart-go/redstart/bench/behind"
	"github.com/redstart-go/redstart/bench/table"
)

// behindBenchmark writes rows to databases directly and by way of a journal.
type behindBenchmark struct{}

func (behindBenchmark) name() string { return "write-behind" }

func (b behindBenchmark) run(ctx context.Context, l lab) ([]table.Section, error) {
	return behind.Bench{Name: b.name(), Rounds: l.rounds, Quick: l.quick, Order: order, Tell: l.tell}.Run(ctx)
}
