package ratelimit

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/redstart-go/redstart/cmd/internal/lab"
	"github.com/redstart-go/redstart/cmd/internal/measure"
)

const (
	rushSize = 6 // clients
	edgeSize = 3 // clients
	// fastFor is how long the last part lasts.
	fastFor = 150 * time.Millisecond
)

func rushIDs() []string { return names("rush", rushSize) }

func edgeIDs() []string { return names("edge", edgeSize) }

func names(what string, n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("%s %d", what, i+1)
	}
	return out
}

// rushCallers is how many requests of one client a rush is.
func (c *course) rushCallers() int { return 3 * c.Limit }

// Around the edge of two windows a client asks evenly, more often than one window allows in the end of the first, and again
// in the beginning of the second.
func before(o lab.Options) time.Duration { return o.Per / 8 }

func after(o lab.Options) time.Duration { return o.Per / 6 }

// aimed is what counters cannot survive, at times at which it surely happens: a window begins, in which the rushes come; as
// it ends others ask for all that it has left, and go on asking when the next has begun.
func (c *course) aimed(ctx context.Context) {
	// Windows begin at multiples of their length, or with a client's first request, which is made right then.
	begin := time.Now().Truncate(c.Per).Add(c.Per)
	lab.Pause(ctx, time.Until(begin.Add(2*time.Millisecond)))
	edge := begin.Add(c.Per)
	var (
		mu     sync.Mutex
		edges  []event
		rushes []event
		wg     sync.WaitGroup
	)
	var first sync.WaitGroup // their windows begin before anyone is in their way
	first.Add(edgeSize)
	for i, name := range edgeIDs() {
		wg.Go(func() {
			mine := []event{c.take(ctx, i, int32(i), name)}
			first.Done()
			ask := func(from, to time.Time, n int) {
				for k := range n {
					lab.Pause(ctx, time.Until(from.Add(to.Sub(from)*time.Duration(k)/time.Duration(n))))
					if ctx.Err() != nil {
						return
					}
					mine = append(mine, c.take(ctx, i+k, int32(i), name))
				}
			}
			ask(edge.Add(-before(c.Options)), edge.Add(-before(c.Options)/4), c.Limit+c.Limit/4+1)
			ask(edge.Add(5*time.Millisecond), edge.Add(after(c.Options)), c.Limit+c.Limit/2+1)
			mu.Lock()
			defer mu.Unlock()
			edges = append(edges, mine...)
			if i == 0 {
				c.out.around, c.out.edgeAt = mine, edge
			}
		})
	}
	first.Wait()
	for i, name := range rushIDs() {
		var all sync.WaitGroup
		start := make(chan struct{})
		for n := range c.rushCallers() {
			all.Go(func() {
				<-start
				e := c.take(ctx, n, int32(i), name)
				mu.Lock()
				defer mu.Unlock()
				rushes = append(rushes, e)
			})
		}
		close(start)
		all.Wait()
		c.progress.Step()
	}
	wg.Wait()
	c.progress.Step()
	c.out.rush, c.out.edge = c.judge(rushes), c.judge(edges)
}

// replay sends the traffic at its rate to the workers.
func (c *course) replay(ctx context.Context) {
	requests := make(chan int32)
	events := make([][]event, c.Workers)
	var wg sync.WaitGroup
	for w := range c.Workers {
		wg.Go(func() {
			for id := range requests {
				events[w] = append(events[w], c.take(ctx, w, id, c.traffic.Keys[id]))
			}
		})
	}
	pace := lab.NewPace(c.Rate)
	for n, id := range c.traffic.Requests {
		pace.Wait(ctx, n)
		if ctx.Err() != nil {
			break
		}
		requests <- id
		c.progress.Step()
	}
	close(requests)
	wg.Wait()

	all := slices.Concat(events...)
	out := c.out
	out.Requests = len(all)
	var granted, denied measure.Latency
	for _, e := range all {
		switch {
		case e.err != nil:
		case e.granted:
			out.Granted++
			granted.Add(e.took())
		default:
			out.Denied++
			denied.Add(e.took())
			if e.free {
				out.free++
			}
		}
	}
	if out.Denied > 0 {
		out.DeniedFree = math.Round(float64(out.free)/float64(out.Denied)*1e4) / 1e4
	}
	out.took, out.tookDenied = granted.Quantiles(0.5, 0.99, 0.999), denied.Quantiles(0.5, 0.99, 0.999)
	out.GrantedP50, out.GrantedP99 = measure.Micros(out.took[0]), measure.Micros(out.took[1])
	out.DeniedP50, out.DeniedP99 = measure.Micros(out.tookDenied[0]), measure.Micros(out.tookDenied[1])
	out.replay = c.judge(all)
}

// fastest lets the workers ask as fast as they are answered, for clients who have not asked before and stay within their
// limit: every decision is a grant, made at the server.
func (c *course) fastest(ctx context.Context) {
	each := max(c.Limit/2, 1)
	began := time.Now()
	events := make([][]event, c.Workers)
	clients := make([][]string, c.Workers)
	var wg sync.WaitGroup
	for w := range c.Workers {
		wg.Go(func() {
			for n := 0; time.Since(began) < fastFor && ctx.Err() == nil; n++ {
				if n%each == 0 {
					clients[w] = append(clients[w], fmt.Sprintf("fast %d %d", w, n/each))
				}
				e := c.take(ctx, w, int32(w<<20+n/each), clients[w][n/each])
				events[w] = append(events[w], e)
			}
		})
	}
	wg.Wait()
	took := time.Since(began)
	c.fast = slices.Concat(clients...)
	all := slices.Concat(events...)
	granted := 0
	for _, e := range all {
		if e.err == nil && e.granted {
			granted++
		}
	}
	c.out.DecisionsPerS = int(math.Round(float64(granted) / took.Seconds()))
	c.judge(all)
}
