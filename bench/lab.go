package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"slices"
	"time"

	"github.com/redstart-go/redstart/bench/table"
	"github.com/redstart-go/redstart/redstarttest"
)

// benchmark is one question about speed. It is a file of its own and an entry in benchmarks.
type benchmark interface {
	name() string // for --only
	run(ctx context.Context, l lab) ([]table.Section, error)
}

// lab is what every benchmark runs in.
type lab struct {
	rounds   int
	quick    bool      // short measurements, good for counts and allocations only
	progress io.Writer // a line a round
}

// callers is how many goroutines of a process ask at once, in every benchmark.
const callers = 64

// run gives what was measured also when something stopped it.
func (l lab) run(ctx context.Context, chosen []string) (table.Report, error) {
	server, err := l.server(ctx)
	if err != nil {
		return table.Report{}, err
	}
	rep := table.Report{
		Server: server.Version(), Go: runtime.Version(), CPUs: runtime.NumCPU(), Rounds: l.rounds,
		Date: time.Now().UTC().Format(time.DateOnly), Quick: l.quick,
	}
	if err := server.Close(); err != nil {
		return table.Report{}, err
	}
	for _, b := range benchmarks() {
		if chosen != nil && !slices.Contains(chosen, b.name()) {
			continue
		}
		sections, err := b.run(ctx, l)
		rep.Sections = append(rep.Sections, sections...)
		if err != nil {
			return rep, fmt.Errorf("%s: %w", b.name(), err)
		}
	}
	return rep, nil
}

// server starts a private server, which keeps nothing.
func (l lab) server(ctx context.Context) (*redstarttest.Server, error) {
	return redstarttest.StartServer(ctx, redstarttest.ServerConfig{})
}

func (l lab) tell(format string, args ...any) { fmt.Fprintf(l.progress, format+"\n", args...) }

// order is who is measured when in a round: n contestants, shuffled the same way in every run.
func order(round, n int) []int {
	return rand.New(rand.NewPCG(uint64(round), 1)).Perm(n)
}

// pause is a wait that ends with ctx.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
