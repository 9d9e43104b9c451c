package lock

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/redstarttest"
)

// queued is how many wait for a lock.
func queued(t *testing.T, c *redstart.Client, l *Lock, id string) int64 {
	t.Helper()
	k, err := l.template.Key(id)
	if err != nil {
		t.Fatal(err)
	}
	n, err := c.Do(t.Context(), c.B().Zcard().Key(keysOf(k)[2]).Build()).AsInt64()
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// Those who wait, in several processes, get the lock in the order in which they
// came, one at a time, each with a greater token, and leave nothing behind.
func TestQueue(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		clients := []*redstart.Client{open(t, url, redstart.Config{}), open(t, url, redstart.Config{}), open(t, url, redstart.Config{})}
		first := locks(t, clients[0], Config{})
		lease := acquire(t, first, "q")
		const waiters = 9
		var mu sync.Mutex
		var order []int
		tokens := []int64{lease.Token()}
		inside := 0
		var all sync.WaitGroup
		for i := range waiters {
			l := locks(t, clients[i%len(clients)], Config{})
			all.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				defer cancel()
				err := l.Do(ctx, "q", func(ctx context.Context) error {
					lease, _ := FromContext(ctx)
					mu.Lock()
					inside++
					alone := inside == 1
					order, tokens = append(order, i), append(tokens, lease.Token())
					mu.Unlock()
					time.Sleep(time.Millisecond)
					mu.Lock()
					inside--
					mu.Unlock()
					if !alone {
						return errors.New("not alone")
					}
					return ctx.Err()
				})
				if err != nil {
					t.Error(err)
				}
			})
			eventually(t, "it waits", func() bool { return queued(t, clients[0], first, "q") == int64(i+1) })
		}
		if _, err := locks(t, clients[1], Config{}).TryAcquire(t.Context(), "q"); !errors.Is(err, ErrHeld) {
			t.Errorf("TryAcquire: %v", err)
		}
		release(t, lease)
		all.Wait()
		if !slices.IsSorted(order) || len(order) != waiters {
			t.Errorf("the order was %v", order)
		}
		if !slices.IsSorted(tokens) || len(slices.Compact(slices.Clone(tokens))) != waiters+1 {
			t.Errorf("the tokens were %v", tokens)
		}
		k, _ := first.template.Key("q")
		n, err := clients[0].Do(t.Context(), clients[0].B().Exists().Key(keysOf(k)[1:]...).Build()).AsInt64()
		if err != nil || n != 0 {
			t.Errorf("%d keys are left, %v", n, err)
		}
		if ms, err := clients[0].Do(t.Context(), clients[0].B().Pttl().Key(k).Build()).AsInt64(); err != nil || ms <= 0 || time.Duration(ms)*time.Millisecond > 2*kept+defaultLease {
			t.Errorf("the counter lives for %d ms, %v", ms, err)
		}
	})
}

// Whoever gives up leaves the queue, and is not granted anything.
func TestGiveUp(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		c := open(t, url, redstart.Config{})
		l := locks(t, c, Config{})
		lease := acquire(t, l, "g")
		ctx, cancel := context.WithCancel(t.Context())
		gaveUp := make(chan error)
		go func() {
			_, err := l.Acquire(ctx, "g")
			gaveUp <- err
		}()
		eventually(t, "one waits", func() bool { return queued(t, c, l, "g") == 1 })
		next := make(chan error)
		go func() { next <- l.Do(t.Context(), "g", func(context.Context) error { return nil }) }()
		eventually(t, "two wait", func() bool { return queued(t, c, l, "g") == 2 })
		cancel()
		if err := <-gaveUp; !errors.Is(err, context.Canceled) {
			t.Fatalf("Acquire: %v", err)
		}
		eventually(t, "it has left", func() bool { return queued(t, c, l, "g") == 1 })
		release(t, lease)
		if err := <-next; err != nil {
			t.Fatal(err)
		}
	})
}

// A contended lock costs each who waits no more than four commands.
func TestCommands(t *testing.T) {
	onServer(t, func(t *testing.T, s *redstarttest.Server) {
		c := open(t, s.URL(), redstart.Config{})
		l := locks(t, c, Config{})
		if err := l.Do(t.Context(), "c", func(context.Context) error { return nil }); err != nil { // the scripts are known
			t.Fatal(err)
		}
		command(t, s, "CONFIG", "RESETSTAT")
		const workers, rounds = 16, 25
		var all sync.WaitGroup
		for range workers {
			all.Go(func() {
				for range rounds {
					if err := l.Do(t.Context(), "c", func(context.Context) error { time.Sleep(time.Millisecond); return nil }); err != nil {
						t.Error(err)
					}
				}
			})
		}
		all.Wait()
		calls, err := commandCalls(t, s, "evalsha")
		if err != nil {
			t.Fatal(err)
		}
		per := float64(calls) / (workers * rounds)
		t.Logf("%.2f scripts a lock", per)
		if per > 4 {
			t.Errorf("%.2f scripts a lock", per)
		}
	})
}

// commandCalls reads how often a server ran a command since CONFIG RESETSTAT.
func commandCalls(t *testing.T, s *redstarttest.Server, name string) (int, error) {
	t.Helper()
	info, _ := command(t, s, "INFO", "commandstats").(string)
	var n int
	for line := range strings.Lines(info) {
		if _, err := fmt.Sscanf(line, "cmdstat_"+name+":calls=%d,", &n); err == nil {
			return n, nil
		}
	}
	return 0, fmt.Errorf("no %s in %q", name, info)
}
