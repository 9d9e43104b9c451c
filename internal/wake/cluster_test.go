package wake

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/key"
	"github.com/redstart-go/redstart/redstarttest"
	"github.com/redstart-go/redstart/redstarttest/topology"
)

const (
	testTimeout = 400 * time.Millisecond // how soon a silent node is found out
	slack       = 100 * time.Millisecond // for a busy machine, on top of what the control needed
)

// One cluster serves all of these, one after the other: it takes seconds to
// form.
func TestCluster(t *testing.T) {
	cl := topology.RunCluster(t, topology.ClusterConfig{
		NodeTimeout: 2 * time.Second,                                   // a busy machine is no failover
		Args:        []string{"--cluster-require-full-coverage", "no"}, // a lost primary leaves the others at work
	})
	for _, n := range cl.Nodes() {
		if _, err := n.Do(t.Context(), "ACL", "SETUSER", "deaf", "on", ">secret", "~*", "&*", "+@all", "-client|tracking"); err != nil {
			t.Fatal(err)
		}
	}
	keys := make([]string, 3) // one for each primary
	for i := range keys {
		for n := 0; keys[i] == ""; n++ {
			if k := "k" + strconv.Itoa(n); key.Slot(k)*3/(1<<14) == uint16(i) {
				keys[i] = k
			}
		}
	}
	t.Run("slots", func(t *testing.T) { clusterSlots(t, cl, keys) })
	t.Run("push", func(t *testing.T) { clusterPush(t, cl, keys) })
	t.Run("migration", func(t *testing.T) { clusterMigration(t, cl, keys[0]) })
	t.Run("demotion", func(t *testing.T) { clusterDemotion(t, cl, keys[1]) })
	t.Run("a killed primary", func(t *testing.T) {
		victim := clusterFailover(t, cl, keys, (*topology.Node).Kill)
		if err := victim.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := cl.Settle(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("a frozen primary", func(t *testing.T) { clusterFailover(t, cl, keys, (*topology.Node).Freeze) })
}

// member is a client as a process has it, failing fast as caches do.
func member(t *testing.T, url string) *redstart.Client {
	t.Helper()
	c, err := redstart.Open(t.Context(), url, redstart.Config{Timeout: testTimeout})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c.FailFast()
}

func members(t *testing.T, cl *topology.Cluster) []*redstart.Client {
	t.Helper()
	return []*redstart.Client{member(t, cl.URL()), member(t, cl.URL()), member(t, cl.URL())}
}

func deafURL(cl *topology.Cluster) string {
	return strings.Replace(cl.URL(), "://", "://deaf:secret@", 1)
}

// write sets a key by a client that waits out what hinders it.
func write(t *testing.T, c *redstart.Client, k, v string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := c.Do(ctx, c.B().Set().Key(k).Value(v).Build()).Error(); err != nil {
		t.Error(err)
	}
}

// owners are the keys' primaries, in their own view.
func owners(t *testing.T, cl *topology.Cluster, keys ...string) map[string]*topology.Node {
	t.Helper()
	of := map[string]*topology.Node{}
	for _, k := range keys {
		n, err := cl.PrimaryOf(t.Context(), int(key.Slot(k)))
		if err != nil {
			t.Fatal(err)
		}
		of[k] = n
	}
	return of
}

// tracked brings up the session of each key's primary, as that is now.
func tracked(t *testing.T, w *Waker, owners map[string]*topology.Node) {
	t.Helper()
	for k, owner := range owners {
		redstarttest.Eventually(t, 30*time.Second, "tracking", func() bool {
			s, _ := w.watch(t.Context(), k)
			return s != nil
		})
		w.Sessions.mu.Lock()
		if n := w.nodes[owner.Announced()]; n == nil || n.state != up {
			t.Errorf("%s is read over another session than that of its primary", k)
		}
		w.Sessions.mu.Unlock()
	}
}

func clusterSlots(t *testing.T, cl *topology.Cluster, keys []string) {
	s, err := AskSlots(t.Context(), member(t, cl.URL()))
	if err != nil {
		t.Fatal(err)
	}
	for slot := range 1 << 14 {
		if i := slices.IndexFunc(s.ranges, func(r slotRange) bool { return int(r.from) <= slot && slot <= int(r.to) }); i < 0 {
			t.Fatalf("slot %d has no primary", slot)
		}
	}
	for i, k := range keys {
		if addr, ok := s.Primary(k); !ok || addr != cl.Nodes()[i].Announced() {
			t.Errorf("%s is at %q, %v", k, addr, ok)
		}
	}
	if n := len(s.Primaries()); n != 3 {
		t.Errorf("%d primaries", n)
	}
}

// Sleepers of several clients, on keys of each node, are woken by the node's
// message. A client to which tracking is refused polls, and shows what that
// would cost.
func clusterPush(t *testing.T, cl *topology.Cluster, keys []string) {
	writer, deaf := member(t, cl.URL()), Of(member(t, deafURL(cl)))
	var wakers []*Waker
	for _, c := range members(t, cl) {
		tracked(t, Of(c), owners(t, cl, keys...))
		wakers = append(wakers, Of(c))
	}
	var pushed, polled []time.Duration
	round := func(k string, n int) {
		old, now := strconv.Itoa(n), strconv.Itoa(n+1)
		write(t, writer, k, old)
		type wake struct {
			deaf bool
			at   time.Time
		}
		woken := make(chan wake, 4)
		var lying sync.WaitGroup
		lying.Add(4)
		for i, w := range append([]*Waker{deaf}, wakers...) {
			looks := 1
			if i == 0 {
				looks = 6 // by then its looks are as far apart as they get
			}
			go func() {
				n, seen := 0, old
				for seen == old { // a message may be that of the write before
					if err := w.Wait(t.Context(), k, func(v []byte) bool {
						if n++; n == looks {
							lying.Done()
						}
						seen = string(v)
						return seen == old
					}); err != nil {
						t.Error(err)
						return
					}
					if n >= looks {
						break
					}
				}
				woken <- wake{i == 0, time.Now()}
			}()
		}
		lying.Wait()
		<-time.After(rand.N(pollMost)) // not in step with the poll
		changed := time.Now()
		write(t, writer, k, now)
		for range cap(woken) {
			if w := <-woken; w.deaf {
				polled = append(polled, w.at.Sub(changed))
			} else {
				pushed = append(pushed, w.at.Sub(changed))
			}
		}
	}
	for n := range 30 {
		round(keys[n%len(keys)], n)
	}
	if deaf.Tracking() {
		t.Error("tracking is up although the ACL refuses it")
	}
	slices.Sort(pushed)
	slices.Sort(polled)
	push, poll := pushed[len(pushed)/2], polled[len(polled)/2]
	t.Logf("woken by push: median %v, most %v (%d); by the poll: median %v, most %v (%d)", push, pushed[len(pushed)-1], len(pushed), poll, polled[len(polled)-1], len(polled))
	if push > pollTracked/8 || 2*push > poll {
		t.Errorf("woken %v after the change, by the poll %v", push, poll)
	}
}

// sleeper follows a key by sleeping on it until it has the value v, as a cache
// waits for a fill, and gives the time when it saw it.
func sleeper(ctx context.Context, c *redstart.Client, k, v string) time.Time {
	w := Of(c)
	for ctx.Err() == nil {
		err := w.Wait(ctx, k, func(now []byte) bool { return string(now) != v })
		if now, err := read(ctx, c, k); err == nil && string(now) == v {
			return time.Now()
		}
		if err != nil {
			<-time.After(time.Millisecond) // the node is away
		}
	}
	return time.Time{}
}

// spin is the control, which does nothing but look, until others have seen the
// value too. It gives the time when it saw it, and the longest time that a look
// took: a node may be silent, or its disk slow.
func spin(ctx context.Context, c *redstart.Client, k, v string, others <-chan struct{}) (saw time.Time, look time.Duration) {
	for ctx.Err() == nil {
		began := time.Now()
		now, err := read(ctx, c, k)
		look = max(look, time.Since(began))
		if saw.IsZero() && err == nil && string(now) == v {
			saw = time.Now()
		}
		select {
		case <-others:
			if !saw.IsZero() {
				return saw, look
			}
		default:
		}
		<-time.After(time.Millisecond)
	}
	return saw, look
}

// late measures how much later than a client that only looks its sleepers see
// a change, which change makes and confirms: by a poll and a look at the most.
func late(t *testing.T, clients []*redstart.Client, k, v string, change func() (confirmed time.Time)) time.Duration {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	sleepers := make([]time.Time, 2*len(clients))
	controls, looks := make([]time.Time, len(clients)), make([]time.Duration, len(clients))
	var asleep, awake sync.WaitGroup
	seen := make(chan struct{})
	for i := range sleepers {
		asleep.Go(func() { sleepers[i] = sleeper(ctx, clients[i%len(clients)], k, v) })
	}
	for i, c := range clients {
		awake.Go(func() { controls[i], looks[i] = spin(ctx, c, k, v, seen) })
	}
	confirmed := change()
	asleep.Wait()
	close(seen)
	awake.Wait()
	var most time.Duration
	for i, saw := range sleepers {
		control, look := controls[i%len(clients)], looks[i%len(clients)]
		if saw.IsZero() || control.IsZero() {
			t.Errorf("%s was never seen to change", k)
			return 0
		}
		if control.Before(confirmed) {
			control = confirmed
		}
		if after := saw.Sub(control); after > PollBoundTracked+look+slack {
			t.Errorf("a sleeper saw the change %v after a client that only looks, whose looks took %v at the most", after, look)
		}
		most = max(most, saw.Sub(control))
	}
	return most
}

// While a slot moves, step by step, nobody sleeps longer than the poll.
func clusterMigration(t *testing.T, cl *topology.Cluster, k string) {
	clients, writer := members(t, cl), open(t, cl.URL())
	write(t, writer, k, "0")
	for _, c := range clients {
		tracked(t, Of(c), owners(t, cl, k))
	}
	version := 0
	var most time.Duration
	change := func(before func()) {
		version++
		v := strconv.Itoa(version)
		most = max(most, late(t, clients, k, v, func() time.Time {
			if before != nil {
				before()
			}
			write(t, writer, k, v)
			return time.Now()
		}))
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, to := range []*topology.Node{cl.Nodes()[1], cl.Nodes()[2], cl.Nodes()[0]} {
		m, err := cl.BeginMigration(t.Context(), int(key.Slot(k)), to)
		must(err)
		change(nil)
		change(func() {
			for moved := 1; moved > 0; {
				moved, err = m.MoveKeys(t.Context(), 10)
				must(err)
			}
		})
		change(nil) // the old primary says ASK
		change(func() { must(m.End(t.Context())) })
		change(nil) // MOVED
		for _, c := range clients {
			tracked(t, Of(c), owners(t, cl, k))
		}
		change(nil)
	}
	t.Logf("%d changes while a slot moved three times: seen at most %v after a client that only looks", version, most)
}

// A primary that becomes a replica keeps its connections: the session on it is
// given up, and one on the new primary made.
func clusterDemotion(t *testing.T, cl *topology.Cluster, k string) {
	clients, writer := members(t, cl), open(t, cl.URL())
	write(t, writer, k, "0")
	for _, c := range clients {
		tracked(t, Of(c), owners(t, cl, k))
	}
	old, err := cl.PrimaryOf(t.Context(), int(key.Slot(k)))
	if err != nil {
		t.Fatal(err)
	}
	replicas, err := cl.ReplicasOf(t.Context(), old)
	if err != nil || len(replicas) == 0 {
		t.Fatal(replicas, err)
	}
	most := late(t, clients, k, "1", func() time.Time {
		if err := cl.FailoverTo(t.Context(), replicas[0], topology.Gentle); err != nil {
			t.Fatal(err)
		}
		write(t, writer, k, "1")
		return time.Now()
	})
	for _, c := range clients {
		w := Of(c)
		tracked(t, w, owners(t, cl, k))
		redstarttest.Eventually(t, 30*time.Second, "the session on the old primary ends", func() bool {
			w.sessionFor(k)
			w.Sessions.mu.Lock()
			defer w.Sessions.mu.Unlock()
			n := w.nodes[old.Announced()]
			return n == nil || n.state == down
		})
	}
	t.Logf("seen at most %v after a client that only looks", most)
	if err := cl.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// When a primary falls silent or dies, its sleepers are no later than others to
// see what the next one is told; sleepers on other nodes notice nothing.
func clusterFailover(t *testing.T, cl *topology.Cluster, keys []string, fall func(*topology.Node) error) (victim *topology.Node) {
	t.Helper()
	clients, writer := members(t, cl), open(t, cl.URL())
	for _, k := range keys {
		write(t, writer, k, "0")
	}
	at := owners(t, cl, keys...)
	for _, c := range clients {
		tracked(t, Of(c), at)
	}
	victim = at[keys[2]]
	var elsewhere time.Duration
	rounds := 0
	var stop atomic.Bool
	var others sync.WaitGroup
	most := late(t, clients, keys[2], "1", func() time.Time {
		if err := fall(victim); err != nil {
			t.Fatal(err)
		}
		others.Go(func() {
			for n := 1; !stop.Load(); n++ {
				elsewhere = max(elsewhere, late(t, clients, keys[0], fmt.Sprint(n), func() time.Time {
					write(t, writer, keys[0], fmt.Sprint(n))
					return time.Now()
				}))
				rounds++
			}
		})
		next, _, err := cl.WaitPromoted(t.Context(), int(key.Slot(keys[2])), victim)
		if err != nil {
			t.Fatal(err)
		}
		at[keys[2]] = next
		write(t, writer, keys[2], "1")
		return time.Now()
	})
	stop.Store(true)
	others.Wait()
	for _, c := range clients {
		tracked(t, Of(c), at)
	}
	t.Logf("seen at most %v after a client that only looks; on another node, %d changes meanwhile, at most %v", most, rounds, elsewhere)
	return victim
}
