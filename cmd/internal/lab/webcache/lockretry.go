package webcache

import (
	"context"
	"time"

	"github.com/redis/rueidis"

	"github.com/redstart-go/redstart/cmd/internal/chart"
	"github.com/redstart-go/redstart/cmd/internal/lab"
	"github.com/redstart-go/redstart/cmd/internal/source"
)

// lockRetry is the variant with stampede protection, line by line:
//
//	cached = redis.get(key)
//	if cached: return cached
//	lock = redis.set(lock_key, "1", nx=True, ex=30)
//	if lock:
//	    try:
//	        data = db.query(...)
//	        redis.setex(key, TTL, data)
//	        return data
//	    finally: redis.delete(lock_key)
//	else:
//	    time.sleep(0.1)
//	    return get_data_with_lock(key)
func lockRetry() recipe {
	return recipe{
		name: "lock and retry",
		tone: chart.Second,
		about: "The same behind SET lock NX EX 30; who does not get the lock sleeps 100 ms and starts over. One query at a time, but every " +
			"waiter pays the sleep, who looked just before the value came may query again, and the old value is written all the same.",
		open: func(_ context.Context, s stand) (contestant, error) {
			p, err := newPlain(s)
			return &locked{p}, err
		},
	}
}

type locked struct{ *plain }

func (l *locked) Read(ctx context.Context, id string) (source.Row, origin, error) {
	return l.read(ctx, id, fromServer)
}

// read is the recursion; only what the first look finds comes from the server.
func (l *locked) read(ctx context.Context, id string, found origin) (source.Row, origin, error) {
	key := l.key(id)
	lock := key + ":lock"
	row, ok, err := l.get(ctx, key)
	if err != nil || ok {
		return row, found, err
	}
	err = l.client.Do(ctx, l.client.B().Set().Key(lock).Value("1").Nx().ExSeconds(30).Build()).Error()
	switch {
	case err == nil:
		defer func() { l.client.Do(ctx, l.client.B().Del().Key(lock).Build()) }()
		row, err = l.load(ctx, id)
		return row, fromSource, err
	case rueidis.IsRedisNil(err):
		lab.Pause(ctx, 100*time.Millisecond)
		return l.read(ctx, id, fromSource)
	default:
		return row, fromSource, err
	}
}

func (l *locked) Keys(id string) []string { return []string{l.key(id), l.key(id) + ":lock"} }
