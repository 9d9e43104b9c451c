package near

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/redstart-go/redstart/key"
	"github.com/redstart-go/redstart/redstarttest/topology"
)

// In a cluster a slot on its way takes keys along of which its old primary tells
// nothing: those that it never had.
func TestCluster(t *testing.T) {
	t.Parallel()
	cl := topology.RunCluster(t, topology.ClusterConfig{Replicas: -1, NodeTimeout: 2 * time.Second})
	c := open(t, cl.URL())
	r := newReader(t, whole, c, c, false)
	other := open(t, cl.URL())
	owner := func(t *testing.T, id int) *topology.Node {
		t.Helper()
		n, err := cl.PrimaryOf(t.Context(), int(key.Slot(r.key(id))))
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	set := func(t *testing.T, id int, v string) (done time.Time) {
		t.Helper()
		if err := other.Do(t.Context(), other.B().Set().Key(r.key(id)).Value(v).Build()).Error(); err != nil {
			t.Fatal(err)
		}
		return time.Now()
	}
	must := func(t *testing.T, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	// seen waits for a value, which must be there within MaxStale of done.
	seen := func(t *testing.T, what string, id int, want string, done time.Time) {
		t.Helper()
		eventually(t, what+" seen", func() bool {
			began := time.Now()
			v, absent, err := r.get(t.Context(), id)
			if err == nil && !absent && strconv.FormatInt(v, 10) == want {
				return true
			}
			if err == nil && began.Sub(done) > maxStale {
				t.Fatalf("%s: read %d, %v: %v after it was %s", what, v, absent, began.Sub(done), want)
			}
			return false
		})
	}
	next := func(n *topology.Node) *topology.Node {
		for _, o := range cl.Nodes() {
			if o != n {
				return o
			}
		}
		return nil
	}

	t.Run("absent, on its way", func(t *testing.T) {
		alive(t, r, 0)
		if it, ok := r.Get(0); !ok || !it.Absent {
			t.Fatal("not known to be absent")
		}
		m, err := cl.BeginMigration(t.Context(), int(key.Slot(r.key(0))), next(owner(t, 0)))
		must(t, err)
		seen(t, "a key that is written at the new primary", 0, "1", set(t, 0, "1"))
		seen(t, "once more", 0, "2", set(t, 0, "2"))
		must(t, m.End(t.Context()))
		seen(t, "after the end", 0, "3", set(t, 0, "3"))
		alive(t, r, 0)
		seen(t, "over the new primary's session", 0, "4", set(t, 0, "4"))
	})
	t.Run("absent, moved at once", func(t *testing.T) {
		alive(t, r, 1)
		must(t, cl.Migrate(t.Context(), int(key.Slot(r.key(1))), next(owner(t, 1))))
		seen(t, "a key that is written at the new primary", 1, "1", set(t, 1, "1"))
		alive(t, r, 1)
	})
	t.Run("present", func(t *testing.T) {
		set(t, 2, "1")
		alive(t, r, 2)
		m, err := cl.BeginMigration(t.Context(), int(key.Slot(r.key(2))), next(owner(t, 2)))
		must(t, err)
		seen(t, "before it moves", 2, "2", set(t, 2, "2"))
		for moved := 1; moved > 0; {
			moved, err = m.MoveKeys(t.Context(), 10)
			must(t, err)
		}
		seen(t, "when it has moved", 2, "3", set(t, 2, "3"))
		must(t, m.End(t.Context()))
		seen(t, "when the slot has", 2, "4", set(t, 2, "4"))
		alive(t, r, 2)
	})
	t.Run("absent, moved by the server", func(t *testing.T) { // Valkey 9
		const id = 3
		alive(t, r, id)
		from := owner(t, id)
		to, err := next(from).Do(t.Context(), "CLUSTER", "MYID")
		must(t, err)
		slot := strconv.Itoa(int(key.Slot(r.key(id))))
		if _, err := from.Do(t.Context(), "CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", slot, slot, "NODE", to.(string)); err != nil {
			t.Log("this server cannot:", err)
			return
		}
		began := time.Now()
		for n := 1; owner(t, id) == from || n < 5; n++ { // until the new primary has it, and a little longer
			seen(t, "while it moves", id, strconv.Itoa(n), set(t, id, strconv.Itoa(n)))
			if time.Since(began) > 20*time.Second {
				t.Fatal("the slot does not move")
			}
		}
		alive(t, r, id)
	})
	t.Run("elsewhere", func(t *testing.T) {
		alive(t, r, 0)
		id := 1
		for owner(t, id) == owner(t, 0) {
			id++
		}
		before, asked := slotsAsked(t, cl), 0
		for looks := 0; asked < 10; looks++ { // the client itself asks every five seconds
			if looks == 40 {
				t.Fatalf("the slots were asked for %d times", asked)
			}
			s, _ := r.at(r.key(0))
			if s == nil { // it has just ended with the move before
				alive(t, r, 0)
				continue
			}
			err := s.Do(t.Context(), s.B().Get().Key(r.key(id)).Build())[0].Error()
			if reply, ok := rueidis.IsRedisErr(err); ok {
				if _, moved := reply.IsMoved(); !moved {
					t.Fatal(reply)
				}
			}
			r.sessions.Of(r.key(id))
			pause(t.Context(), 110*time.Millisecond) // they are not asked for more often
			asked = slotsAsked(t, cl) - before
		}
	})
	t.Run("under way", func(t *testing.T) {
		s := newStorm(seeded(t), 8, r, other)
		s.moves = true
		for id := range s.keys {
			if err := other.Do(t.Context(), other.B().Del().Key(r.key(id)).Build()).Error(); err != nil {
				t.Fatal(err)
			}
			eventually(t, "an empty key", func() bool { _, absent, err := r.get(t.Context(), id); return err == nil && absent })
		}
		moves := 0
		v := s.run(t.Context(), t, func(ctx context.Context) {
			rnd := s.random(9)
			end := time.Now().Add(stormTime())
			for time.Now().Before(end) {
				id := rnd.IntN(s.keys)
				from := owner(t, id)
				must(t, cl.Migrate(ctx, int(key.Slot(r.key(id))), next(from)))
				moves++
				pause(ctx, upTo(rnd, 400*time.Millisecond))
			}
		})
		t.Logf("%d moves: %v; %d hits", moves, v, r.hits)
		if v.bad() != 0 {
			t.Error("not right")
		}
	})
}

// slotsAsked is how often the nodes were asked for their slots.
func slotsAsked(t *testing.T, cl *topology.Cluster) (n int) {
	t.Helper()
	for _, node := range cl.Nodes() {
		info, err := node.Do(t.Context(), "INFO", "commandstats")
		if err != nil {
			t.Fatal(err)
		}
		if _, rest, ok := strings.Cut(info.(string), "cmdstat_cluster|slots:calls="); ok {
			calls := 0
			if _, err := fmt.Sscan(strings.SplitN(rest, ",", 2)[0], &calls); err != nil {
				t.Fatal(err)
			}
			n += calls
		}
	}
	return n
}
