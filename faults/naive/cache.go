package naive

import (
	"context"
	"sync"
	"time"

	"github.com/redis/rueidis"
)

// Load fetches a value from the source of truth.
type Load func(ctx context.Context, key string) (string, error)

// CacheAside is: GET, else query, SETEX.
type CacheAside struct {
	Client rueidis.Client
	TTL    time.Duration
	Load   Load
}

// Get is the recipe.
func (c CacheAside) Get(ctx context.Context, key string) (string, error) {
	v, err := c.Client.Do(ctx, c.Client.B().Get().Key(key).Build()).ToString()
	if err == nil && v != "" {
		return v, nil
	}
	if err != nil && !rueidis.IsRedisNil(err) {
		return "", err
	}
	return c.query(ctx, key)
}

// query is the recipe's second half.
func (c CacheAside) query(ctx context.Context, key string) (string, error) {
	v, err := c.Load(ctx, key)
	if err != nil {
		return "", err
	}
	seconds := max(int64(c.TTL/time.Second), 1)
	return v, c.Client.Do(ctx, c.Client.B().Setex().Key(key).Seconds(seconds).Value(v).Build()).Error()
}

// Invalidate deletes the key.
func (c CacheAside) Invalidate(ctx context.Context, key string) error {
	return c.Client.Do(ctx, c.Client.B().Del().Key(key).Build()).Error()
}

// LockRetry is CacheAside behind a lock: SET key:lock NX EX 30; who gets it
// queries and deletes the lock, without looking whose it is; who does not
// sleeps 100 ms and starts over.
type LockRetry struct {
	CacheAside

	Lock  time.Duration // 30 s in the recipe; in seconds
	Pause time.Duration // 100 ms in the recipe
}

// Get is the recipe.
func (c LockRetry) Get(ctx context.Context, key string) (string, error) {
	v, err := c.Client.Do(ctx, c.Client.B().Get().Key(key).Build()).ToString()
	if err == nil && v != "" {
		return v, nil
	}
	if err != nil && !rueidis.IsRedisNil(err) {
		return "", err
	}
	lock := key + ":lock"
	err = c.Client.Do(ctx, c.Client.B().Set().Key(lock).Value("1").Nx().ExSeconds(int64(c.Lock/time.Second)).Build()).Error()
	switch {
	case err == nil:
		defer func() { c.Client.Do(ctx, c.Client.B().Del().Key(lock).Build()) }()
		return c.query(ctx, key)
	case !rueidis.IsRedisNil(err):
		return "", err
	}
	select { // the recipe knows no deadline; a test must end
	case <-time.After(c.Pause):
		return c.Get(ctx, key)
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// Flights is a plain single flight around a function: the first caller's
// context is passed through, and whoever comes while it runs takes its result.
type Flights struct {
	mu   sync.Mutex
	runs map[string]*run
}

type run struct {
	done   chan struct{}
	value  string
	err    error
	joined int
}

// Do runs load, or takes the result of the one that runs.
func (f *Flights) Do(ctx context.Context, key string, load Load) (string, error) {
	f.mu.Lock()
	if r, ok := f.runs[key]; ok {
		r.joined++
		f.mu.Unlock()
		<-r.done
		return r.value, r.err
	}
	r := &run{done: make(chan struct{})}
	if f.runs == nil {
		f.runs = map[string]*run{}
	}
	f.runs[key] = r
	f.mu.Unlock()
	r.value, r.err = load(ctx, key)
	f.mu.Lock()
	delete(f.runs, key)
	f.mu.Unlock()
	close(r.done)
	return r.value, r.err
}

// Joined is how many wait for the one that runs.
func (f *Flights) Joined(key string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	if r, ok := f.runs[key]; ok {
		return r.joined
	}
	return 0
}
