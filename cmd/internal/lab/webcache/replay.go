package webcache

import (
	"context"
	"math"
	"sync"
	"time"

	"github.com/redstart-go/redstart/cmd/internal/lab"
	"github.com/redstart-go/redstart/cmd/internal/measure"
)

// replay sends the traffic at its rate to the workers while the writer writes, and makes the fault when two fifths of the
// requests are through.
func (c *course) replay(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	c.source.Reset()
	c.census = newCensus(len(c.traffic.Keys), readOften(c.TTL, c.Latency), c.TTL)
	timeline := measure.NewTimeline(step)
	seen := measure.NewMoments(moment, waited, waitedLong)
	c.timeline.Store(timeline)

	requests := make(chan request)
	latencies := make([]measure.Latency, c.Workers)
	var (
		mu      sync.Mutex
		hits    [fromNear + 1]int
		workers sync.WaitGroup
		others  sync.WaitGroup
	)
	for w := range c.Workers {
		workers.Go(func() {
			for q := range requests {
				began := time.Now()
				r := c.read(ctx, w, int(q.key), c.traffic.Keys[q.key])
				if r.err == nil {
					c.census.read(int(q.key), began, r.from, r.stale)
				}
				latencies[w].Add(r.took)
				timeline.Read(r.took, r.err != nil, r.stale)
				seen.Add(q.came, max(time.Since(q.came), r.took), r.err != nil, r.stale)
				mu.Lock()
				c.note(r)
				if r.err == nil {
					hits[r.from]++
				}
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
	share := func(n int) float64 { return math.Round(float64(n)/float64(max(all.Len(), 1))*1e4) / 1e4 }
	out.HitRatio, out.NearRatio = share(hits[fromServer]+hits[fromNear]), share(hits[fromNear])
	out.quantiles = all.Quantiles(0.5, 0.99, 0.999)
	out.P50, out.P99, out.P999 = measure.Micros(out.quantiles[0]), measure.Micros(out.quantiles[1]), measure.Micros(out.quantiles[2])
	out.StaleFor = measure.Micros(out.staleFor)
	out.atOnce = atOnce
	out.steps, out.seen = timeline.Steps(), seen.All()
	c.census.close()
	out.census, out.Misses = c.census, c.census.misses
	return nil
}

// request is a reader who comes for a key, whether anyone is free to serve him or not.
type request struct {
	key  int32
	came time.Time
}

// dispatch hands out the requests when they are due, or as soon after as a worker is free, and tells the writer of its own.
func (c *course) dispatch(ctx context.Context, cancel context.CancelCauseFunc, requests chan<- request, due chan<- planned, others *sync.WaitGroup) {
	plan := planWrites(c.traffic.Requests, c.Seed)
	pace := lab.NewPace(c.Rate)
	for n, i := range c.traffic.Requests {
		for len(plan) > 0 && plan[0].at == n {
			due <- plan[0] // never blocks: it has room for the whole plan
			plan = plan[1:]
		}
		if c.fault && n == len(c.traffic.Requests)*2/5 {
			others.Go(func() {
				timeline := c.timeline.Load()
				c.out.faultAt = timeline.Elapsed()
				c.census.fault(false)
				if err := c.server.Make(ctx, c.Fault); err != nil {
					cancel(err)
				}
				c.census.fault(true)
				c.out.until = timeline.Elapsed()
			})
		}
		came := pace.Wait(ctx, n)
		select {
		case requests <- request{i, came}:
		case <-ctx.Done():
			return
		}
		c.progress.Step()
	}
}
