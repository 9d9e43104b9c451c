package webcache

import (
	"context"
	"fmt"
	"sync"

	"github.com/redstart-go/redstart/cmd/internal/source"
)

const (
	burstSize    = 20 // cold keys, one after the other
	burstCallers = 96 // for each, spread over the instances
	burstLate    = 32 // of them come in the instant in which the first load returns from the database
)

func burstKeys() []string {
	keys := make([]string, burstSize)
	for i := range keys {
		keys[i] = fmt.Sprintf("/lab/burst/%d", i+1)
	}
	return keys
}

// burst asks for cold keys by many callers at once and notes how often the worst of them was loaded. All but a few ask
// in the same instant; the rest, as bursts do, come while the load is ending: they look just before the value arrives.
func (c *course) burst(ctx context.Context) error {
	for i, key := range burstKeys() {
		if err := ctx.Err(); err != nil {
			return err
		}
		c.burstOn(ctx, len(c.traffic.Keys)+i, key)
		c.out.BurstLoads = max(c.out.BurstLoads, c.source.Loads(key))
		c.progress.Step()
	}
	return ctx.Err()
}

func (c *course) burstOn(ctx context.Context, i int, key string) {
	first := c.source.Hold(key)
	first.Release() // it is only watched
	defer first.Drop()
	var (
		mu    sync.Mutex
		wg    sync.WaitGroup
		start = make(chan struct{})
		ended = make(chan struct{}) // the callers of the first instant have all ended: without a load, nobody waits for one
		early sync.WaitGroup
	)
	for n := range burstCallers {
		late := n >= burstCallers-burstLate
		if !late {
			early.Add(1)
		}
		wg.Go(func() {
			if late {
				waitLoad(ctx, first, ended)
			} else {
				defer early.Done()
				<-start
			}
			r := c.read(ctx, n, i, key)
			mu.Lock()
			defer mu.Unlock()
			c.note(r)
		})
	}
	close(start)
	early.Wait()
	close(ended)
	wg.Wait()
}

func waitLoad(ctx context.Context, h *source.Hold, ended <-chan struct{}) {
	select {
	case <-h.Returned():
	case <-ended:
	case <-ctx.Done():
	}
}

// note counts what is counted in every part.
func (c *course) note(r call) {
	if r.stale {
		c.out.Stale++
		c.out.staleFor = max(c.out.staleFor, r.staleFor)
		if r.own {
			c.out.staleOwn++
		}
	}
	if c.out.recipe.word.broken(r) {
		c.out.broken++
	}
	if r.err != nil {
		c.out.Errors++
		if c.out.firstErr == nil {
			c.out.firstErr = r.err
		}
	}
}
