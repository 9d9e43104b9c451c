package faults

import (
	"context"
	"math/rand/v2"
	"sort"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/faults/harness"
	"github.com/redstart-go/redstart/redstarttest"
	"github.com/redstart-go/redstart/redstarttest/topology"
)

// ledger is a counter's values and when each was acknowledged, in order.
type ledger struct {
	mu   sync.Mutex
	acks []time.Time // of value i+1
}

func (l *ledger) add(at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.acks = append(l.acks, at)
}

// by gives the highest value acknowledged before a time.
func (l *ledger) by(at time.Time) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return int64(sort.Search(len(l.acks), func(i int) bool { return !l.acks[i].Before(at) }))
}

// readers are clients under whom a counter is read: one's own writes back, and
// within a lag.
type readers struct {
	writer *redstart.Client
	sticky func(int) rueidis.Client // by turn
	within func(int) rueidis.Client
	lag    time.Duration

	reads, forgot, tooOld atomic.Int64
}

func (r *readers) get(ctx context.Context, c rueidis.Client, key string) (int64, bool) {
	call, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	n, err := c.Do(call, c.B().Get().Key(key).Build()).AsInt64()
	if rueidis.IsRedisNil(err) {
		return 0, true
	}
	return n, err == nil
}

// session writes a counter of its own and reads it back at once and later.
func (r *readers) session(ctx context.Context, id int, rng *rand.Rand) {
	ctx = redstart.ReadYourWrites(ctx)
	key := "own:" + strconv.Itoa(id)
	for turn := 0; ctx.Err() == nil; {
		own, err := r.writer.Do(ctx, r.writer.B().Incr().Key(key).Build()).AsInt64()
		if err != nil {
			continue
		}
		for range 6 {
			turn++
			if n, ok := r.get(ctx, r.sticky(turn), key); ok {
				r.reads.Add(1)
				if n < own {
					r.forgot.Add(1)
				}
			}
			<-time.After(time.Duration(rng.IntN(60)) * time.Millisecond)
		}
	}
}

// watch reads a counter that others write.
func (r *readers) watch(ctx context.Context, l *ledger) {
	for turn := 0; ctx.Err() == nil; turn++ {
		began := time.Now()
		n, ok := r.get(ctx, r.within(turn), "clock")
		if !ok {
			continue
		}
		r.reads.Add(1)
		if n < l.by(began.Add(-r.lag)) {
			r.tooOld.Add(1)
		}
		<-time.After(2 * time.Millisecond)
	}
}

// run reads while faults strike.
func (r *readers) run(ctx context.Context, seed uint64, l *ledger, faults func()) {
	ctx, stop := context.WithCancel(ctx)
	var work sync.WaitGroup
	for i := range 8 {
		work.Go(func() { r.session(ctx, i, harness.Rand(seed, "session", i)) })
	}
	for range 4 {
		work.Go(func() { r.watch(ctx, l) })
	}
	faults()
	stop()
	work.Wait()
}

// K6: one's own writes are read back, and a read within a lag is within it,
// although a replica is seconds behind and another one freezes.
func TestK6ReplicaReads(t *testing.T) {
	form := harness.Run(t)
	seed := harness.Seed(t)
	behind := harness.Choose(form, 2*time.Second, 10*time.Second)
	const lag = 500 * time.Millisecond
	var names []string
	var reads, naiveReads, byReplicas, forgot, tooOld, hedged, hedges int64
	for _, l := range launchers(t, form, false) {
		_, name := start(t, l, redstarttest.ServerConfig{})
		names = append(names, name)
		s := topology.RunSentinel(t, topology.SentinelConfig{Path: l.Path, Proxies: true})
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		primary, err := s.Primary(ctx)
		if err != nil {
			t.Fatal(err)
		}
		replicas, err := s.Replicas(ctx)
		if err != nil {
			t.Fatal(err)
		}
		client, err := redstart.Open(ctx, s.URL(), redstart.Config{ReadFrom: redstart.ReadFrom{Replicas: true}})
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		within, err := client.ReadingFrom(redstart.ReadFrom{Replicas: true, MaxLag: lag})
		if err != nil {
			t.Fatal(err)
		}
		var raw []rueidis.Client
		for _, n := range replicas {
			c, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{n.Announced()}, ForceSingleClient: true, DisableCache: true})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			raw = append(raw, c)
		}

		var clock ledger
		ticking, halt := context.WithCancel(ctx)
		var ticker sync.WaitGroup
		ticker.Go(func() {
			for ticking.Err() == nil {
				if client.Do(ticking, client.B().Incr().Key("clock").Build()).Error() == nil {
					clock.add(time.Now())
				}
				<-time.After(time.Millisecond)
			}
		})
		redstarttest.Eventually(t, 10*time.Second, "replicas are read within the lag", func() bool {
			if _, err := within.Do(ctx, within.B().Get().Key("clock").Build()).AsInt64(); err != nil {
				return false
			}
			return client.Stats().ReplicaReads > 20
		})

		faults := func() {
			late := s.Links().Proxy(replicas[0], primary)
			<-time.After(time.Second) // both in step
			late.Delay(0, behind)
			redstarttest.Eventually(t, 10*time.Second, "a replica is behind", func() bool {
				n, err := raw[0].Do(ctx, raw[0].B().Get().Key("clock").Build()).AsInt64()
				return err == nil && n < clock.by(time.Now().Add(-2*lag))
			})
			if err := replicas[1].Freeze(); err != nil {
				t.Fatal(err)
			}
			<-time.After(2 * time.Second) // it is frozen for as long
			if err := replicas[1].Continue(); err != nil {
				t.Fatal(err)
			}
			<-time.After(behind)
			late.Heal()
		}
		ours := &readers{
			writer: client, lag: lag,
			sticky: func(int) rueidis.Client { return client },
			within: func(int) rueidis.Client { return within },
		}
		before := client.Stats()
		ours.run(ctx, seed, &clock, faults)
		after := client.Stats()
		naive := &readers{
			writer: client, lag: lag,
			sticky: func(turn int) rueidis.Client { return raw[turn%2] },
			within: func(turn int) rueidis.Client { return raw[turn%2] },
		}
		naive.run(ctx, seed, &clock, faults)
		halt()
		ticker.Wait()

		if n := ours.forgot.Load(); n > 0 {
			t.Errorf("%d reads did not see the session's own write", n)
		}
		if n := ours.tooOld.Load(); n > 0 {
			t.Errorf("%d reads were older than their lag", n)
		}
		if after.ReplicaReads-before.ReplicaReads < 100 {
			t.Errorf("only %d reads were answered by replicas: nothing is shown", after.ReplicaReads-before.ReplicaReads)
		}
		if naive.forgot.Load() == 0 || naive.tooOld.Load() == 0 {
			t.Errorf("replicas in turn passed: the checker or the fault is weak")
		}
		reads, naiveReads = reads+ours.reads.Load(), naiveReads+naive.reads.Load()
		byReplicas += int64(after.ReplicaReads - before.ReplicaReads)
		forgot, tooOld = forgot+naive.forgot.Load(), tooOld+naive.tooOld.Load()

		n, twice := hedgedReads(ctx, t, client, s, seed)
		hedged, hedges = hedged+n, hedges+twice
	}
	keep(t, form, "K6", names,
		"0 of %d reads missed the session's own write or were older than 500ms, with one replica %v behind and the other frozen for 2s; replicas answered %d of them (replicas in turn: %d of %d missed the own write, %d were older); %d of %d hedged reads were asked twice, no write was",
		reads, behind, byReplicas, forgot, naiveReads, tooOld, hedges, hedged)
}

// hedgedReads reads under a replica that is slow now and then, and counts what
// arrives.
func hedgedReads(ctx context.Context, t *testing.T, c *redstart.Client, s *topology.Sentinel, seed uint64) (reads, hedges int64) {
	t.Helper()
	hedging, err := c.ReadingFrom(redstart.ReadFrom{Replicas: true, Hedge: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range s.Nodes() {
		s.Links().Proxy(nil, n).Jitter(4*time.Millisecond, seed)
	}
	before := c.Stats()
	const each, workers = 1000, 4
	var work sync.WaitGroup
	for w := range workers {
		work.Go(func() {
			for i := range each {
				if err := hedging.Do(ctx, hedging.B().Get().Key("clock").Build()).Error(); err != nil {
					t.Errorf("a hedged read: %v", err)
				}
				if i%10 == 0 {
					if err := hedging.Do(ctx, hedging.B().Incr().Key("once:"+strconv.Itoa(w)).Build()).Error(); err != nil {
						t.Errorf("a write: %v", err)
					}
				}
			}
		})
	}
	work.Wait()
	after := c.Stats()
	for w := range workers {
		n, err := c.OnPrimary().Do(ctx, c.B().Get().Key("once:"+strconv.Itoa(w)).Build()).AsInt64()
		if err != nil || n != each/10 {
			t.Errorf("%d writes became %d, %v", each/10, n, err)
		}
	}
	reads, hedges = each*workers, int64(after.Hedges-before.Hedges)
	if hedges == 0 || hedges > reads/20+10 {
		t.Errorf("%d of %d reads were asked twice", hedges, reads)
	}
	return reads, hedges
}
