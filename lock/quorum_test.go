package lock

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/redstarttest"
)

// A majority grants, one holds, tokens grow although each server counts for
// itself, a server may be away, and without a majority there is no lock.
func TestQuorum(t *testing.T) {
	servers := make([]*redstarttest.Server, 3)
	for i := range servers {
		servers[i] = redstarttest.Run(t, redstarttest.ServerConfig{})
	}
	quorum := func() *Quorum {
		var clients []*redstart.Client
		for _, s := range servers {
			clients = append(clients, open(t, s.URL(), redstart.Config{}))
		}
		q, err := NewQuorum(clients, Config{})
		if err != nil {
			t.Fatal(err)
		}
		return q
	}
	a, b := quorum(), quorum()
	ctx := t.Context()
	last := int64(0)
	var mu sync.Mutex
	inside := 0
	use := func(q *Quorum) {
		t.Helper()
		ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
		defer cancel()
		if err := q.Do(ctx, "q", func(ctx context.Context) error {
			lease, _ := FromContext(ctx)
			mu.Lock()
			inside++
			if inside != 1 || lease.Token() <= last {
				t.Errorf("%d inside, token %d after %d", inside, lease.Token(), last)
			}
			last = lease.Token()
			mu.Unlock()
			time.Sleep(time.Millisecond)
			mu.Lock()
			inside--
			mu.Unlock()
			return nil
		}); err != nil {
			t.Error(err)
		}
	}
	// The counter of one server is far ahead; of those who grant with it the next
	// majority, without it, must know.
	command(t, servers[0], "SET", "lock:{q}", "1999999999999999 0 0000000000000000 -")
	if err := servers[1].Kill(); err != nil {
		t.Fatal(err)
	}
	use(a)
	if last != 2000000000000000 {
		t.Fatalf("token %d", last)
	}
	if err := servers[1].Restart(ctx); err != nil {
		t.Fatal(err)
	}
	if err := servers[0].Kill(); err != nil {
		t.Fatal(err)
	}
	for _, q := range []*Quorum{a, b} {
		eventually(t, "the server is back", func() bool {
			c := q.locks[1].client
			return c.Do(ctx, c.B().Ping().Build()).Error() == nil
		})
	}
	use(b)
	var all sync.WaitGroup
	for i := range 6 {
		all.Go(func() {
			for range 3 {
				use([]*Quorum{a, b}[i%2])
			}
		})
	}
	all.Wait()
	lease, err := a.Acquire(ctx, "q")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.TryAcquire(ctx, "q"); !errors.Is(err, ErrHeld) {
		t.Errorf("TryAcquire: %v", err)
	}
	if err := lease.Extend(ctx); err != nil {
		t.Error(err)
	}
	release(t, lease)
	if err := servers[1].Kill(); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Acquire(ctx, "q"); !errors.Is(err, redstart.ErrUnavailable) {
		t.Errorf("without a majority: %v", err)
	}
	if _, err := NewQuorum([]*redstart.Client{a.locks[0].client}, Config{Permits: 2}); err == nil {
		t.Error("one server was taken for a quorum")
	}
}
