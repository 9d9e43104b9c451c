package faults

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/cache"
	"github.com/redstart-go/redstart/faults/harness"
	"github.com/redstart-go/redstart/faults/naive"
	"github.com/redstart-go/redstart/redstarttest"
)

const c4Callers = 64

// TestC4CancelledCallerHarmsNoOther: the caller who began a load, or a wait,
// or a dial, gives up while others count on it.
func TestC4CancelledCallerHarmsNoOther(t *testing.T) {
	form := harness.Run(t)
	harness.Seed(t)
	rounds := harness.Choose(form, 10, 40)
	var servers []string
	harmed, hurried := 0, 0
	for _, l := range launchers(t, form, false) {
		t.Run(l.Name, func(t *testing.T) {
			server, name := start(t, l, redstarttest.ServerConfig{})
			servers = append(servers, name)
			for round := range rounds {
				key := fmt.Sprint("k", round)
				if n := leaderGivesUp(t, server, key); n != 0 {
					t.Errorf("round %d: %d callers failed because the first gave up", round, n)
				}
			}
			hurried += hurriedDials(t, server, rounds)
		})
	}
	t.Run("the leader's context passed through", func(t *testing.T) { harmed = naiveLeader(t) })
	keep(t, form, "C4", servers, "0 of %d callers failed when the first of them gave up (%d rounds of a load, and of a wait for another client's), "+
		"0 of %d when a caller with a 5 ms deadline dialled for all (%d of these dials were cut short) "+
		"(a single flight that passes the leader's context on: %d of %d)",
		2*rounds*len(servers)*(c4Callers-1), rounds*len(servers), 2*rounds*len(servers)*(c4Callers-1), hurried, harmed, c4Callers-1)
}

// others asks for a key by all callers but the first, and gives what each came
// to.
func others(get func(context.Context) error) []<-chan error {
	var all []<-chan error
	for range c4Callers - 1 {
		done := make(chan error, 1)
		all = append(all, done)
		go func() {
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			done <- get(ctx)
		}()
	}
	return all
}

func failures(t *testing.T, all []<-chan error) (n int) {
	t.Helper()
	for _, done := range all {
		if err := <-done; err != nil {
			n++
			if n == 1 {
				t.Logf("a caller failed: %v", err)
			}
		}
	}
	return n
}

// leaderGivesUp: in one process the leader loads, in the other he waits; both
// give up when all others have joined. It gives how many others failed.
func leaderGivesUp(t *testing.T, server *redstarttest.Server, key string) (failed int) {
	t.Helper()
	g := newGate()
	var here []<-chan error
	var caches []*cache.Cache[string, row]
	var leaders []<-chan error
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var load *held
	for i := range 2 {
		client, rows, err := openRows(memberArg{URL: server.URL(), TTL: time.Minute}, g.load)
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		caches = append(caches, rows)
		leader := make(chan error, 1)
		leaders = append(leaders, leader)
		go func() {
			_, err := rows.Get(ctx, key)
			leader <- err
		}()
		if i == 0 {
			load = g.next(t)
		} else {
			redstarttest.Eventually(t, time.Minute, "the other process waits", func() bool { return rows.Stats().Waits == 1 })
		}
		here = append(here, others(func(ctx context.Context) error {
			_, err := rows.Get(ctx, key)
			return err
		})...)
	}
	for _, rows := range caches {
		redstarttest.Eventually(t, time.Minute, "all others have joined", func() bool { return rows.Stats().Joined == c4Callers-1 })
	}
	cancel()
	for _, leader := range leaders {
		if err := <-leader; !errors.Is(err, context.Canceled) {
			t.Errorf("the leader who gave up got %v", err)
		}
	}
	load.release <- nil
	failed = failures(t, here)
	if n := caches[0].Stats().Loads + caches[1].Stats().Loads; n != 1 {
		t.Errorf("%d loads, want 1", n)
	}
	return failed
}

// hurriedDials: all connections are gone and the network is slow; a caller with
// a short deadline dials first, and others wait for that connection. It gives
// how many of his dials were cut short.
func hurriedDials(t *testing.T, server *redstarttest.Server, rounds int) (cut int) {
	t.Helper()
	p := newProxy(t, server)
	var open atomic.Int64
	client := openHere(t, p.URL(), redstart.Config{
		Pipelines: 1, DialTimeout: 10 * time.Second, Timeout: 10 * time.Second,
		Events: redstart.Events{
			Connect: func(i redstart.ConnectInfo) {
				if i.Err == nil {
					open.Add(1)
				}
			},
			Disconnect: func(redstart.DisconnectInfo) { open.Add(-1) },
		},
	})
	rows, err := cache.New(client, cache.Config[string, row]{
		Key: keyOf("<id>"), Load: func(context.Context, string) (row, error) { return row{Version: 1}, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := rows.Get(t.Context(), "warm"); err != nil {
		t.Fatal(err)
	}
	for round := range rounds {
		p.Delay(0, 0)
		p.Reset()
		redstarttest.Eventually(t, time.Minute, "the client has lost its connections", func() bool { return open.Load() == 0 })
		p.Delay(20*time.Millisecond, 20*time.Millisecond)
		short, cancel := context.WithTimeout(context.Background(), 5*time.Millisecond)
		first := make(chan error, 1)
		go func() { first <- client.Do(short, client.B().Get().Key("any").Build()).Error() }()
		redstarttest.Eventually(t, time.Minute, "he dials", func() bool { return len(p.Conns()) > 0 })
		all := others(func(ctx context.Context) error { _, err := rows.Get(ctx, "warm"); return err })
		all = append(all, others(func(ctx context.Context) error {
			return client.Do(ctx, client.B().Exists().Key("any").Build()).Error()
		})...)
		if err := <-first; errors.Is(err, context.DeadlineExceeded) {
			cut++
		}
		cancel()
		if n := failures(t, all); n != 0 {
			t.Errorf("round %d: %d callers failed because another's deadline ended while he dialled", round, n)
		}
	}
	if s := rows.Stats(); s.Uncached != 0 {
		t.Errorf("%d loads went past the cache although the server was there", s.Uncached)
	}
	if cut == 0 {
		t.Error("no dial was cut short; the run proves nothing")
	}
	return cut
}

// naiveLeader is how many callers a plain single flight fails when the first
// gives up.
func naiveLeader(t *testing.T) int {
	t.Helper()
	server := redstarttest.Run(t, redstarttest.ServerConfig{})
	g := newGate()
	aside, flights := asideHere(t, server.URL(), g), &naive.Flights{}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var leader sync.WaitGroup
	leader.Go(func() { _, _ = flights.Do(ctx, "k", aside.Get) })
	g.next(t)
	all := others(func(ctx context.Context) error { _, err := flights.Do(ctx, "k", aside.Get); return err })
	redstarttest.Eventually(t, time.Minute, "all others have joined", func() bool { return flights.Joined("k") == c4Callers-1 })
	cancel()
	leader.Wait()
	n := failures(t, all)
	if n == 0 {
		t.Error("the count finds no fault with a plain single flight")
	}
	return n
}
