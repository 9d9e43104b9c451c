package lab

import (
	"context"
	"math"
	"sync"
	"time"

	"github.com/redstart-go/redstart/cmd/internal/measure"
)

// replay sends the traffic at its rate to the workers while the writer writes, and makes the fault when two fifths of the
// requests are through.
func (c *course) replay(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	c.source.Reset()
	hits := c.team.hits()
	timeline := measure.NewTimeline(step)
	c.timeline.Store(timeline)

	requests := make(chan int32)
	latencies := make([]measure.Latency, c.Workers)
	var (
		mu      sync.Mutex
		workers sync.WaitGroup
		others  sync.WaitGroup
	)
	for w := range c.Workers {
		workers.Go(func() {
			by := c.team.of(w)
			for i := range requests {
				r := c.read(ctx, by, int(i), c.traffic.Keys[i])
				latencies[w].Add(r.took)
				timeline.Read(r.took, r.err != nil, r.stale)
				mu.Lock()
				c.note(r)
				mu.Unlock()
			}
		})
	}
	due, ended := c.startWriter(ctx, cancel, &others)
	c.dispatch(ctx, cancel, requests, due, &others)
	close(requests)
	workers.Wait()
	close(due)
	close(ended)
	others.Wait()
	if err := context.Cause(ctx); err != nil {
		return err
	}

	var all measure.Latency
	for i := range latencies {
		all.Merge(&latencies[i])
	}
	out := c.out
	loads, atOnce := c.source.Total()
	out.Recipe, out.Requests, out.Loads = out.recipe.name, all.Len(), loads
	out.HitRatio = math.Round(float64(c.team.hits()-hits)/float64(max(all.Len(), 1))*1e4) / 1e4
	out.quantiles = all.Quantiles(0.5, 0.99, 0.999)
	out.P50, out.P99, out.P999 = out.quantiles[0].Microseconds(), out.quantiles[1].Microseconds(), out.quantiles[2].Microseconds()
	out.atOnce = atOnce
	out.steps = timeline.Steps()
	return nil
}

// dispatch hands out the requests when they are due, or as soon after as a worker is free, and tells the writer of its own.
func (c *course) dispatch(ctx context.Context, cancel context.CancelCauseFunc, requests chan<- int32, due chan<- planned, others *sync.WaitGroup) {
	plan := planWrites(c.traffic.Requests, c.Seed)
	began := time.Now()
	for n, i := range c.traffic.Requests {
		for len(plan) > 0 && plan[0].at == n {
			due <- plan[0] // never blocks: it has room for the whole plan
			plan = plan[1:]
		}
		if c.fault && n == len(c.traffic.Requests)*2/5 {
			others.Go(func() {
				timeline := c.timeline.Load()
				c.out.faultAt = timeline.Elapsed()
				if err := c.server.makeFault(ctx, c.Fault); err != nil {
					cancel(err)
				}
				c.out.until = timeline.Elapsed()
			})
		}
		if c.Rate > 0 {
			// Timers are coarse: what is due within one is handed out at once.
			if early := time.Duration(float64(n)/float64(c.Rate)*float64(time.Second)) - time.Since(began); early > time.Millisecond {
				pause(ctx, early)
			}
		}
		select {
		case requests <- i:
		case <-ctx.Done():
			return
		}
		c.progress.Step()
	}
}
