package webcache

import (
	"context"
	"sync"
	"time"

	"github.com/redstart-go/redstart/cmd/internal/chart"
	"github.com/redstart-go/redstart/cmd/internal/source"
)

// refreshFraction of the TTL that is left when a read starts a refresh, here and with Redstart.
const refreshFraction = 0.2

// refreshAhead is the variant that refreshes, line by line:
//
//	cached = redis.get(key)
//	if cached:
//	    remaining_ttl = redis.ttl(key)
//	    if remaining_ttl < ttl * 0.2:
//	        threading.Thread(target=_refresh_cache, args=(key,), daemon=True).start()
//	    return cached
//	return _load_and_cache(key, ttl)
//
//	def _refresh_cache(key):
//	    data = db.query(...)
//	    redis.setex(key, TTL, serialize(data))
func refreshAhead() recipe {
	return recipe{
		name: "refresh-ahead",
		tone: chart.Second,
		about: "get/setex, and a hit asks for the TTL: with less than a fifth left it starts a query and a SETEX in the background. Every reader who " +
			"sees the end coming starts one, and each writes its old value after a change as a load does.",
		open: func(_ context.Context, s stand) (contestant, error) {
			p, err := newPlain(s)
			r := &refreshing{aside: aside{p}}
			r.living, r.end = context.WithCancel(context.Background())
			return r, err
		},
	}
}

type refreshing struct {
	aside
	threads sync.WaitGroup
	living  context.Context // of the threads, as long as the process
	end     context.CancelFunc
}

func (r *refreshing) Read(ctx context.Context, id string) (source.Row, origin, error) {
	key := r.key(id)
	row, ok, err := r.get(ctx, key)
	if err != nil {
		return row, fromServer, err
	}
	if !ok {
		row, err = r.load(ctx, id)
		return row, fromSource, err
	}
	left, err := r.client.Do(ctx, r.client.B().Ttl().Key(key).Build()).AsInt64()
	if err != nil {
		return row, fromServer, err
	}
	if float64(left) < r.ttl.Seconds()*refreshFraction {
		r.threads.Go(func() {
			ctx, cancel := context.WithTimeout(r.living, deadline)
			defer cancel()
			r.load(ctx, id) //nolint:errcheck // as printed: nobody hears of it
		})
	}
	return row, fromServer, nil
}

func (r *refreshing) Close() {
	r.end()
	r.threads.Wait()
	r.aside.Close()
}

// readOften is the longest gap between two reads of a key that still is once per window: what is left of the TTL when a
// refresh begins, after the part that Redstart takes off a TTL at random, and with time for the load. Zero: too short for it.
func readOften(ttl, latency time.Duration) time.Duration {
	const jitter, room = 0.1, 50 * time.Millisecond
	return max(time.Duration(refreshFraction*(1-jitter)*float64(ttl))-max(latency, 0)-room, 0)
}
