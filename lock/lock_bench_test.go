package lock

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/redstarttest"
)

func benchClient(b *testing.B) *redstart.Client {
	b.Helper()
	s := redstarttest.Run(b, redstarttest.ServerConfig{})
	c, err := redstart.Open(context.Background(), s.URL(), redstart.Config{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(c.Close)
	return c
}

// A free lock, beside the bare recipe: SET NX, and a script that deletes what
// has one's own mark.
func BenchmarkFree(b *testing.B) {
	c := benchClient(b)
	ctx := context.Background()
	l, err := New(c, Config{})
	if err != nil {
		b.Fatal(err)
	}
	b.Run("lock", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			lease, err := l.TryAcquire(ctx, "free")
			if err != nil {
				b.Fatal(err)
			}
			if err := lease.Release(ctx); err != nil {
				b.Fatal(err)
			}
		}
	})
	drop := redstart.NewScript("bare", "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0")
	b.Run("bare", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := c.Do(ctx, c.B().Set().Key("bare").Value("mark").Nx().PxMilliseconds(10000).Build()).Error(); err != nil {
				b.Fatal(err)
			}
			if err := drop.Exec(ctx, c, []string{"bare"}, []string{"mark"}).Error(); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// Sixteen who hold a lock for a millisecond each, beside a bare hand-over by
// BLPOP and LPUSH.
func BenchmarkHandOver(b *testing.B) {
	const workers, held = 16, time.Millisecond
	c := benchClient(b)
	ctx := context.Background()
	l, err := New(c, Config{})
	if err != nil {
		b.Fatal(err)
	}
	if err := c.Do(ctx, c.B().Lpush().Key("token").Element("1").Build()).Error(); err != nil {
		b.Fatal(err)
	}
	contend := func(b *testing.B, once func() error) {
		turns := make(chan struct{}, b.N)
		for range b.N {
			turns <- struct{}{}
		}
		close(turns)
		var mu sync.Mutex
		var waits []time.Duration
		var counts []int
		var all sync.WaitGroup
		for range workers {
			all.Go(func() {
				n := 0
				for range turns {
					began := time.Now()
					if err := once(); err != nil {
						b.Error(err)
					}
					mu.Lock()
					waits = append(waits, time.Since(began))
					mu.Unlock()
					n++
				}
				mu.Lock()
				counts = append(counts, n)
				mu.Unlock()
			})
		}
		all.Wait()
		slices.Sort(waits)
		b.ReportMetric(float64(waits[len(waits)*99/100].Microseconds())/1000, "p99-ms")
		b.ReportMetric(float64(slices.Min(counts))*workers/float64(b.N), "least/average")
	}
	b.Run("lock", func(b *testing.B) {
		contend(b, func() error {
			return l.Do(ctx, "contended", func(context.Context) error { time.Sleep(held); return nil })
		})
	})
	b.Run("blpop", func(b *testing.B) {
		contend(b, func() error {
			if err := c.Do(ctx, c.B().Blpop().Key("token").Timeout(0).Build()).Error(); err != nil {
				return err
			}
			time.Sleep(held)
			return c.Do(ctx, c.B().Lpush().Key("token").Element("1").Build()).Error()
		})
	})
}
