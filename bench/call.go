package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/redis/rueidis"

	"github.com/redstart-go/redstart/bench/table"
	"github.com/redstart-go/redstart/redstarttest"
)

// callBenchmark sends single commands through the client and through a bare rueidis client with the same options: what
// the client does for a call (deadlines, retries, sorting of errors) is to cost next to nothing of its throughput.
type callBenchmark struct{}

func (callBenchmark) name() string { return "call" }

const (
	callRate = 0.95 // of the bare client

	ours = "redstart client" // in the tables of calls
)

func (b callBenchmark) run(ctx context.Context, l lab) ([]table.Section, error) {
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
	value := strings.Repeat("x", hitBytes)
	for id := firstID; id < firstID+hitKeys; id++ {
		if err := c.set(ctx, plainKey(id), value); err != nil {
			return nil, err
		}
	}
	var sections []table.Section
	for _, command := range []struct {
		name string
		send func(rueidis.Client) func(ctx context.Context, id int) error
	}{{"GET", sendGet}, {"SET", func(to rueidis.Client) func(context.Context, int) error { return sendSet(to, value) }}} {
		t := throughput{
			name: b.name(), title: command.name + " of 1 KiB, a call", keys: hitKeys,
			how: "64 goroutines over 1,000 keys; each builds the key from an id and waits for the reply. Medians; the ratio is to the control in the same round.",
			readers: []reader{
				{name: "rueidis", about: "with the options that Open gives it: the control", get: command.send(bare)},
				{name: ours, get: command.send(c.redstart)},
				{name: "rueidis, defaults", about: "with none", get: command.send(c.rueidis)},
			},
		}
		s, err := t.run(ctx, l, server)
		if err != nil {
			return nil, err
		}
		s.Verdicts = []table.Verdict{s.Faster(ours, callRate), s.NoMoreAllocs(ours)}
		sections = append(sections, s)
	}
	return sections, nil
}

// bareClient is rueidis as redstart.Open sets it up for a server alone, but for the dialler, which has no part in a call
// once it is connected.
func bareClient(server *redstarttest.Server) (rueidis.Client, error) {
	o := rueidis.ClientOption{
		InitAddress:       []string{server.Addr()},
		ClientName:        "bench",
		BlockingPoolSize:  51,
		ForceSingleClient: true,
		AlwaysPipelining:  true,
		DisableRetry:      true,
		DisableCache:      true,
		ConnWriteTimeout:  time.Second,
	}
	o.Dialer.KeepAlive = 500 * time.Millisecond
	c, err := rueidis.NewClient(o)
	if err != nil {
		return nil, fmt.Errorf("rueidis: %w", err)
	}
	return c, nil
}

func sendGet(to rueidis.Client) func(ctx context.Context, id int) error {
	return func(ctx context.Context, id int) error {
		v, err := to.Do(ctx, to.B().Get().Key(plainKey(id)).Build()).AsBytes()
		if err == nil && len(v) != hitBytes {
			return errOther
		}
		return err
	}
}

func sendSet(to rueidis.Client, value string) func(ctx context.Context, id int) error {
	return func(ctx context.Context, id int) error {
		return to.Do(ctx, to.B().Set().Key(plainKey(id)).Value(value).Build()).Error()
	}
}
