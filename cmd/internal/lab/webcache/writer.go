package webcache

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

const (
	writeEvery = 50 // requests, half of the writes in pairs
	// pairWithin is how many requests ahead a pair looks for the key that will be asked for most.
	pairWithin = 80
	// pairPatience bounds the wait of a pair's second write for a reload of the row.
	pairPatience = 150 * time.Millisecond
)

// planned is a write that is due when request number at is handed out.
type planned struct {
	at  int
	key int32
	// pair means: two writes, the second as soon as the first has made somebody load the row again.
	pair bool
}

// planWrites spreads writes over the traffic: single ones of keys picked as the traffic picks them, and pairs on keys that
// are about to be asked for again. The same traffic and seed give the same plan.
func planWrites(requests []int32, seed uint64) []planned {
	rng := rand.New(rand.NewPCG(seed, 0x77726974)) //nolint:gosec // chance, not secrets
	var plan []planned
	for at := writeEvery; at < len(requests); at += writeEvery {
		window := requests[at:min(at+pairWithin, len(requests))]
		p := planned{at: at, key: window[rng.IntN(len(window))], pair: len(plan)%2 == 0}
		if p.pair {
			p.key = mostAsked(window)
		}
		plan = append(plan, p)
	}
	return plan
}

func mostAsked(window []int32) int32 {
	count := make(map[int32]int)
	best := window[0]
	for _, k := range window {
		count[k]++
		if count[k] > count[best] {
			best = k
		}
	}
	return best
}

// startWriter runs the one writer: versions rise in the order in which they are written. It ends when due is closed;
// after ended is closed it no longer waits for loads.
func (c *course) startWriter(ctx context.Context, cancel context.CancelCauseFunc, wg *sync.WaitGroup) (due chan planned, ended chan struct{}) {
	due = make(chan planned, len(c.traffic.Requests)/writeEvery+1)
	ended = make(chan struct{})
	wg.Go(func() {
		for p := range due {
			if ctx.Err() != nil {
				continue
			}
			key := c.traffic.Keys[p.key]
			err := c.write(ctx, int(p.key), key)
			if err == nil && p.pair {
				c.awaitLoad(ctx, key, ended)
				err = c.write(ctx, int(p.key), key)
			}
			if err != nil && ctx.Err() == nil {
				cancel(err)
			}
		}
	})
	return due, ended
}

// awaitLoad returns when a load of the key has read its row and is on its way back.
func (c *course) awaitLoad(ctx context.Context, key string, ended <-chan struct{}) {
	h := c.source.Hold(key)
	h.Release() // it is only watched: the load takes what it takes
	defer h.Drop()
	patience := time.NewTimer(pairPatience)
	defer patience.Stop()
	select {
	case <-h.Read():
	case <-patience.C:
	case <-ended:
	case <-ctx.Done():
	}
}
