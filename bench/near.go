package main

import (
	"context"
	"fmt"
	"time"

	"github.com/redstart-go/redstart/bench/near"
	"github.com/redstart-go/redstart/bench/table"
	"github.com/redstart-go/redstart/redstarttest"
)

// nearBenchmark asks for what is held in the process, by value and by pointer.
type nearBenchmark struct{}

func (nearBenchmark) name() string { return "near" }

const nearRatio = 2 // of raw otter's time, at most

func (b nearBenchmark) run(ctx context.Context, l lab) ([]table.Section, error) {
	server, err := l.server(ctx)
	if err != nil {
		return nil, err
	}
	defer server.Close()
	value, err := nearHits(ctx, l, server, "by value", near.Make)
	if err != nil {
		return nil, err
	}
	pointer, err := nearHits(ctx, l, server, "by pointer", near.Point)
	if err != nil {
		return nil, err
	}
	return []table.Section{value, pointer}, nil
}

func nearHits[V any](ctx context.Context, l lab, server *redstarttest.Server, how string, value func(id int) V) (table.Section, error) {
	hits, err := near.Open(ctx, server, value)
	if err != nil {
		return table.Section{}, err
	}
	defer hits.Close()
	t := timing{
		name: nearBenchmark{}.name(), title: "hit in the process, a struct of 1 KiB " + how, items: 1, long: 50 * time.Millisecond,
		how:         "1,000 keys in turn: one caller, then one on every core (what each of them waits). Medians; the ratio is to the control in the same round.",
		contestants: hits.Contestants,
	}
	s, err := t.run(ctx, l)
	if err == nil && !l.quick {
		err = hits.Check()
	}
	for _, name := range []string{near.Ours, near.Unstaled} {
		s.Verdicts = append(s.Verdicts,
			table.AtMost(fmt.Sprintf("%s at most %d times %s", name, nearRatio, s.Control), s.Find(name).At("ratio"), nearRatio, 2),
			table.AtMost(name+" allocates nothing", s.Find(name).At("allocs_per_op"), 0, 0))
	}
	return s, err
}
