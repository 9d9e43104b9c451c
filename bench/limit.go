package main

import (
	"context"
	"fmt"
	"time"

	"github.com/redstart-go/redstart/bench/limits"
	"github.com/redstart-go/redstart/bench/table"
	"github.com/redstart-go/redstart/redstarttest"
)

// limitBenchmark takes units of limits that let everything pass, over 1,000 keys and of one hot key, and asks for what
// is denied.
type limitBenchmark struct{}

func (limitBenchmark) name() string { return "limit" }

const (
	limitKeys   = 1000
	limitRate   = 0.75 // of a bare INCR
	limitServer = 7.5  // µs of the server's CPU
	limitPeer   = 2.5  // times redis_rate
	limitBatch  = 20   // times a decision of the server's
	limitDenied = 200  // ns
)

func (b limitBenchmark) run(ctx context.Context, l lab) ([]table.Section, error) {
	server, err := l.server(ctx)
	if err != nil {
		return nil, err
	}
	defer server.Close()
	c, err := connect(ctx, server)
	if err != nil {
		return nil, err
	}
	defer c.close()
	bare, err := bareClient(server)
	if err != nil {
		return nil, err
	}
	defer bare.Close()
	on := limits.Clients{Bare: bare, Redstart: c.redstart, GoRedis: c.goRedis, Pipelined: c.pipelined}
	var sections []table.Section
	for _, one := range []func(context.Context, lab, *redstarttest.Server, limits.Clients) (table.Section, error){b.many, b.hot, b.denied} {
		s, err := one(ctx, l, server, on)
		if err != nil {
			return nil, err
		}
		sections = append(sections, s)
	}
	return sections, nil
}

func (b limitBenchmark) many(ctx context.Context, l lab, server *redstarttest.Server, on limits.Clients) (table.Section, error) {
	takers, err := on.Takers(false)
	if err != nil {
		return table.Section{}, err
	}
	t := throughput{
		name: b.name(), title: "a decision about a rate, 1,000 keys", keys: limitKeys, readers: takersOf(takers), beside: limits.RateOf,
		how: "64 goroutines over 1,000 keys; each builds the key from an id and takes one unit, which passes. Medians; the ratios are to the control\nand to redis_rate in the same round.",
	}
	s, err := t.run(ctx, l, server)
	if err != nil {
		return s, err
	}
	r := s.Find(limits.Ours)
	s.Verdicts = []table.Verdict{
		s.Faster(limits.Ours, limitRate),
		table.AtMost(fmt.Sprintf("%s takes at most %.1f µs of the server's CPU", limits.Ours, limitServer), r.At("server_us_per_op"), limitServer, 2),
		table.AtLeast(fmt.Sprintf("%s at least %.1f times %s", limits.Ours, limitPeer, limits.RateOf), r.At("beside"), limitPeer, 2),
	}
	return s, nil
}

func (b limitBenchmark) hot(ctx context.Context, l lab, server *redstarttest.Server, on limits.Clients) (table.Section, error) {
	takers, err := on.Takers(true)
	if err != nil {
		return table.Section{}, err
	}
	t := throughput{
		name: b.name(), title: "a decision about a rate, one hot key", keys: 1, readers: takersOf(takers), beside: limits.Ours,
		how: "64 goroutines of one process take one unit each of the same id, which passes. Medians; the ratios are to the control and to redstart\nwithout batches in the same round.",
	}
	s, err := t.run(ctx, l, server)
	if err != nil {
		return s, err
	}
	s.Verdicts = []table.Verdict{table.AtLeast(fmt.Sprintf("%s: at least %d times %s", limits.Batched, limitBatch, limits.Ours), s.Find(limits.Batched).At("beside"), limitBatch, 1)}
	return s, nil
}

func (b limitBenchmark) denied(ctx context.Context, l lab, _ *redstarttest.Server, on limits.Clients) (table.Section, error) {
	contestants, err := on.Denied(ctx)
	if err != nil {
		return table.Section{}, err
	}
	t := timing{
		name: b.name(), title: "a denial", items: 1, long: 50 * time.Millisecond, contestants: contestants,
		how: "One id that has nothing left: one caller, then one on every core (what each of them waits). Medians; the ratio is to the control in the same round.",
	}
	s, err := t.run(ctx, l)
	if err != nil {
		return s, err
	}
	s.Verdicts = []table.Verdict{table.AtMost(fmt.Sprintf("%s: at most %d ns", limits.Cached, limitDenied), s.Find(limits.Cached).At("ns_per_op"), limitDenied, 1)}
	return s, nil
}

func takersOf(takers []limits.Taker) []reader {
	readers := make([]reader, len(takers))
	for i, t := range takers {
		readers[i] = reader{name: t.Name, about: t.About, get: t.Take}
	}
	return readers
}
