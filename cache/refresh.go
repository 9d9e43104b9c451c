package cache

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/redstart-go/redstart/internal/entry"
)

// Refresh says when a value that is read is loaded ahead of its end. With both
// set, whichever comes first.
type Refresh struct {
	// Fraction of the TTL that is left when the next read starts a refresh:
	// 0.2 is a good one. A key that is read once in that time never misses,
	// if it loads in what is then left. Zero or negative: off.
	Fraction float64

	// Beta starts a refresh by chance, the likelier the nearer the end and the
	// longer the load took: each read does with a chance of
	// exp(-left / (Beta × cost)) (XFetch). 1 is a good one; more is earlier.
	// Zero or negative: off.
	Beta float64
}

func (r Refresh) on() bool { return r.Fraction > 0 || r.Beta > 0 }

func (r Refresh) check(bad func(string, string, ...any)) {
	if r.Fraction >= 1 {
		bad("Refresh", "a Fraction of %v is not below 1; a value would be refreshed by every read", r.Fraction)
	}
}

// due decides about a read of a value with so much of its TTL left. draw is
// -ln of a uniform random number.
func (r Refresh) due(left, ttl, cost time.Duration, draw float64) bool {
	return left <= r.ahead(ttl, cost, draw)
}

// ahead is how long before its end a value is to be refreshed.
func (r Refresh) ahead(ttl, cost time.Duration, draw float64) time.Duration {
	ahead := time.Duration(-1)
	if r.Fraction > 0 {
		ahead = time.Duration(r.Fraction * float64(ttl))
	}
	if r.Beta > 0 {
		ahead = max(ahead, time.Duration(r.Beta*float64(cost)*draw))
	}
	return ahead
}

// refreshesAtOnce bounds the refreshes of a cache in this process. What finds
// no place is for the next read.
const refreshesAtOnce = 64

// consider starts a refresh of a value that was just read, if it is due and
// nobody is at it. The reader does not wait.
func (c *Cache[K, V]) consider(ctx context.Context, k string, id K, seen *entry.Entry[V]) {
	f := &seen.Frame
	if f.Head == nil || f.Meta.TTL == 0 || seen.Stands <= 0 || f.Rider.Stands(seen.Stands) ||
		!c.cfg.Refresh.due(seen.Left, f.Meta.TTL, f.Meta.Cost, rand.ExpFloat64()) {
		return
	}
	c.mu.Lock()
	_, running := c.refreshing[k]
	if running || len(c.refreshing) >= refreshesAtOnce {
		c.mu.Unlock()
		return
	}
	c.refreshing[k] = struct{}{}
	c.mu.Unlock()
	fl := c.flights.Alone(ctx, k, subject[K, V]{id, *seen, true})
	err := c.client.Go(func(closing context.Context) {
		defer c.refreshed(k)
		defer context.AfterFunc(closing, fl.Cancel)()
		defer fl.Cancel()
		c.rideOn(fl)
	})
	if err != nil { // the client is closed
		fl.Cancel()
		c.refreshed(k)
	}
}

func (c *Cache[K, V]) refreshed(k string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.refreshing, k)
}
