package main

import (
	"context"
	"fmt"
	"time"

	"github.com/redstart-go/redstart/bench/cost"
	"github.com/redstart-go/redstart/bench/locks"
	"github.com/redstart-go/redstart/bench/table"
	"github.com/redstart-go/redstart/redstarttest"
)

// lockBenchmark takes and releases locks that nobody else wants, by many callers and by one, and one that all want.
type lockBenchmark struct{}

func (lockBenchmark) name() string { return "lock" }

const (
	lockFree = 0.8 // of the bare recipe
	lockKeys = 100 // of each caller
)

func (b lockBenchmark) run(ctx context.Context, l lab) ([]table.Section, error) {
	server, err := l.server(ctx)
	if err != nil {
		return nil, err
	}
	defer server.Close()
	var sections []table.Section
	for _, one := range []func(context.Context, lab, *redstarttest.Server) ([]table.Section, error){b.free, b.contended} {
		s, err := one(ctx, l, server)
		sections = append(sections, s...)
		if err != nil {
			return sections, err
		}
	}
	return sections, nil
}

// free takes locks that nobody else wants.
func (b lockBenchmark) free(ctx context.Context, l lab, server *redstarttest.Server) ([]table.Section, error) {
	t := throughput{
		name: b.name(), title: "a free lock, taken and released", keys: callers * lockKeys, own: true,
		how: "64 goroutines, 100 locks of its own each. Medians; the ratio is to the control in the same round.",
	}
	one := timing{
		name: b.name(), title: "a free lock, one caller", items: 1, long: 50 * time.Millisecond,
		how: "Taken and released: one caller, then one on every core (what each of them waits). Medians; the ratio is to the control in the same round.",
	}
	for _, c := range locks.Free() {
		hold, closing, err := c.Join(ctx, placeOf(server, callers))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.Name, err)
		}
		defer closing()
		t.readers = append(t.readers, reader{name: c.Name, about: c.About, get: func(ctx context.Context, id int) error { return hold(ctx, id, free) }})
		one.contestants = append(one.contestants, cost.Contestant{Name: c.Name, Loop: alone(ctx, hold)})
	}
	many, err := t.run(ctx, l, server)
	if err != nil {
		return nil, err
	}
	many.Verdicts = []table.Verdict{many.Faster(locks.Ours, lockFree)}
	single, err := one.run(ctx, l)
	if err != nil {
		return nil, err
	}
	single.Verdicts = []table.Verdict{table.AtMost(fmt.Sprintf("%s at most %.2f times the time of %s", locks.Ours, 1/lockFree, locks.Recipe),
		single.Find(locks.Ours).At("ratio"), 1/lockFree, 2)}
	return []table.Section{many, single}, nil
}

// free is what is done under a lock where only the lock is measured.
func free() {}

// alone is calls by one caller; each loop has a lock of its own, since one runs on every core.
func alone(ctx context.Context, hold locks.Hold) func(n int) error {
	ids := make(chan int, callers)
	for id := range callers {
		ids <- firstID + callers*lockKeys + id
	}
	return func(n int) error {
		id := <-ids
		defer func() { ids <- id }()
		return cost.Repeat(func() error { return hold(ctx, id, free) })(n)
	}
}

func placeOf(server *redstarttest.Server, most int) locks.Place {
	return locks.Place{Server: server, Bare: bareClient, Callers: most}
}
