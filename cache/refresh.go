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

// ahead is how long before its end a value is to be refreshed, drawn anew for
// each read.
func (r Refresh) ahead(ttl, cost time.Duration) time.Duration {
	return entry.Ahead(r.Fraction, r.Beta, ttl, cost, rand.ExpFloat64())
}

// refreshesAtOnce bounds the refreshes of a cache in this process. What finds
// no place is for the next read.
const refreshesAtOnce = 64

// consider starts a refresh of a value that was just read, if it is due and
// nobody is at it. The reader does not wait.
func (c *Cache[K, V]) consider(ctx context.Context, k string, id K, seen *entry.Entry[V]) {
	f := &seen.Frame
	if f.Head == nil || f.Meta.TTL == 0 || seen.Stands <= 0 || f.Block.There || f.Rider.Stands(seen.Stands) ||
		seen.Left > c.cfg.Refresh.ahead(f.Meta.TTL, f.Meta.Cost) {
		return
	}
	if !c.refreshing.Begin(k) {
		return
	}
	fl := c.flights.Alone(ctx, k, subject[K, V]{id, *seen, true})
	err := c.client.Go(func(closing context.Context) {
		defer c.refreshing.End(k)
		defer context.AfterFunc(closing, fl.Cancel)()
		defer fl.Cancel()
		c.rideOn(fl)
	})
	if err != nil { // the client is closed
		fl.Cancel()
		c.refreshing.End(k)
	}
}
