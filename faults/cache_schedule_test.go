package faults

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redstart-go/redstart/cache"
	"github.com/redstart-go/redstart/faults/naive"
	"github.com/redstart-go/redstart/redstarttest"
	"github.com/redstart-go/redstart/redstarttest/proxy"
)

// These are the schedules of stale reads that are known from other caches,
// step by step. They take no time, so they run without REDSTART_FAULTS too.

// deleter deletes the key of a row as a stranger does.
func deleter(t *testing.T, s *redstarttest.Server, key string) func() error {
	return func() error {
		_, err := s.Do(t.Context(), "DEL", keyOf(key))
		return err
	}
}

// staleFill is the schedule in which A loads version 1, version 2 is committed
// and the key deleted, and B of the same process takes the key anew and loads
// version 2. With firstA the load of A comes to its end before B's, else after
// it. It gives what was read, by C as well, who asks between the two ends.
func staleFill(t *testing.T, g *gate, from reader, del func() error, joined func() uint64, firstA bool) *notes {
	t.Helper()
	n := &notes{}
	readA := n.read(from, "k")
	a := g.next(t)
	n.invalidate(t, g.commit(), del)
	readB := n.read(from, "k")
	b := g.next(t)
	if a.version != 1 || b.version != 2 {
		t.Fatalf("A loads version %d, B version %d", a.version, b.version)
	}
	first, readFirst, last, readLast := b, readB, a, readA
	if firstA {
		first, readFirst, last, readLast = a, readA, b, readB
	}
	first.release <- nil
	all(t, g, readFirst)
	before := joined()
	readC := n.read(from, "k")
	redstarttest.Eventually(t, time.Minute, "C has his value, or waits for the other load", func() bool {
		return len(readC) == 1 || joined() > before
	})
	last.release <- nil
	all(t, g, readLast, readC)
	all(t, g, n.read(from, "k"))
	return n
}

func TestC2StaleFillInOneProcess(t *testing.T) {
	const lease = 300 * time.Millisecond // a third of it tells A that a stranger deleted the key
	for _, test := range []struct {
		name string
		del  func(*testing.T, *redstarttest.Server, *cache.Cache[string, row]) func() error
	}{
		{"Invalidate", func(t *testing.T, _ *redstarttest.Server, rows *cache.Cache[string, row]) func() error {
			return func() error { return rows.Invalidate(t.Context(), "k") }
		}},
		{"a stranger's DEL", func(t *testing.T, s *redstarttest.Server, _ *cache.Cache[string, row]) func() error {
			return deleter(t, s, "k")
		}},
	} {
		for _, firstA := range []bool{true, false} {
			t.Run(fmt.Sprint(test.name, ", A first ", firstA), func(t *testing.T) {
				server := redstarttest.Run(t, redstarttest.ServerConfig{})
				g := newGate()
				rows := rowsHere(t, server.URL(), g, lease)
				n := staleFill(t, g, ours{rows}, test.del(t, server, rows), func() uint64 { return rows.Stats().Joined }, firstA)
				reportAll(t, n.stale())
				if v, ok, err := rows.Peek(t.Context(), "k"); !ok || err != nil || v.Version != 2 {
					t.Errorf("cached is %+v, %v, %v; want B's version 2", v, ok, err)
				}
				if s := rows.Stats(); s.Refused != 1 || s.Loads != 2 {
					t.Errorf("%+v, want A's fill refused, and 2 loads", s)
				}
			})
		}
	}
	for _, firstA := range []bool{true, false} {
		t.Run(fmt.Sprint("GET/SETEX, A first ", firstA), func(t *testing.T) {
			server := redstarttest.Run(t, redstarttest.ServerConfig{})
			g := newGate()
			aside := asideHere(t, server.URL(), g)
			none := func() uint64 { return 0 }
			if n := staleFill(t, g, theirs{aside.Get, aside.Invalidate}, deleter(t, server, "k"), none, firstA); n.stale() == nil {
				t.Error("the checker finds no fault with GET/SETEX")
			}
		})
	}
}

// lateJoiner is the schedule in which A's fill has run at the server and its
// reply is on its way, version 2 is committed and the key deleted, and then B
// comes and joins A. Where B's own GET is stuck behind A's reply he cannot:
// then nothing is shown, and the next key may be tried.
func lateJoiner(t *testing.T, p *proxy.Proxy, del func() error, g *gate, from reader, key, fill string, joined func() uint64) (n *notes, shown bool) {
	t.Helper()
	n = &notes{}
	p.ResetCounts()
	rule := p.AddRule(proxy.Rule{Match: proxy.Named(fill), Action: proxy.HoldReply()})
	defer rule.Remove()
	readA := n.read(from, key)
	g.next(t).release <- nil
	if err := rule.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	behind := func() (gets int) {
		for _, c := range p.Conns() {
			if c.Counts[fill] > 0 {
				gets += c.Counts["GET"]
			}
		}
		return gets
	}
	before, gets := joined(), behind()
	n.invalidate(t, g.commit(), del)
	readB := n.read(from, key)
	redstarttest.Eventually(t, time.Minute, "B has joined, or is stuck behind A's reply", func() bool {
		shown = joined() > before
		return shown || behind() > gets
	})
	rule.Remove()
	all(t, g, readA, readB)
	return n, shown
}

func TestC2LateJoiner(t *testing.T) {
	server := redstarttest.Run(t, redstarttest.ServerConfig{})
	p := newProxy(t, server)
	g := newGate()
	rows := rowsHere(t, p.URL(), g, time.Minute)
	all(t, g, (&notes{}).read(ours{rows}, "first")) // the server knows the script from here on
	shown := false
	for i := 0; !shown; i++ { // one connection in four carries A's reply
		key := fmt.Sprint("k", i)
		var n *notes
		n, shown = lateJoiner(t, p, deleter(t, server, key), g, ours{rows}, key, "EVALSHA", func() uint64 { return rows.Stats().Joined })
		reportAll(t, n.stale())
		if i == 100 {
			t.Fatal("B never joins")
		}
	}

	t.Run("a plain single flight", func(t *testing.T) {
		g := newGate()
		aside, flights := asideHere(t, p.URL(), g), &naive.Flights{}
		from := theirs{get: func(ctx context.Context, key string) (string, error) { return flights.Do(ctx, key, aside.Get) }}
		n, shown := lateJoiner(t, p, deleter(t, server, "naive"), g, from, "naive", "SETEX", func() uint64 { return uint64(flights.Joined(keyOf("naive"))) })
		if !shown || n.stale() == nil {
			t.Errorf("the checker finds no fault with a plain single flight: joined %v, %v", shown, n.events)
		}
	})
}

// lateReader is the schedule in which A's GET has run at the server and its
// reply is on its way, version 2 is committed and the key deleted, and then B
// asks, who must not be given what A's GET brings.
func lateReader(t *testing.T, p *proxy.Proxy, del func() error, g *gate, from reader, waits func(*waiter) bool) *notes {
	t.Helper()
	n := &notes{}
	all(t, g, n.read(from, "k"))
	rule := p.AddRule(proxy.Rule{Match: proxy.Named("GET"), Nth: 1, Action: proxy.HoldReply()})
	defer rule.Remove()
	readA := n.read(from, "k")
	if err := rule.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	n.invalidate(t, g.commit(), del)
	b := &waiter{}
	readB := n.readWith(from, "k", func(ctx context.Context) context.Context { b.Context = ctx; return b })
	redstarttest.Eventually(t, time.Minute, "B waits for A", func() bool { return waits(b) })
	rule.Remove()
	all(t, g, readA, readB)
	return n
}

// waiter is a context that tells whether someone waits for its end.
type waiter struct {
	context.Context

	asked atomic.Bool
}

func (w *waiter) Done() <-chan struct{} {
	w.asked.Store(true)
	return w.Context.Done()
}

func TestC2LateReader(t *testing.T) {
	server := redstarttest.Run(t, redstarttest.ServerConfig{})
	p := newProxy(t, server)
	g := newGate()
	rows := rowsHere(t, p.URL(), g, time.Minute)
	n := lateReader(t, p, deleter(t, server, "k"), g, ours{rows}, func(b *waiter) bool { return b.asked.Load() })
	reportAll(t, n.stale())

	t.Run("a plain single flight", func(t *testing.T) {
		g := newGate()
		aside, flights := asideHere(t, p.URL(), g), &naive.Flights{}
		from := theirs{get: func(ctx context.Context, key string) (string, error) { return flights.Do(ctx, key, aside.Get) }}
		if err := aside.Invalidate(t.Context(), keyOf("k")); err != nil {
			t.Fatal(err)
		}
		n := lateReader(t, p, deleter(t, server, "k"), g, from, func(*waiter) bool { return flights.Joined(keyOf("k")) > 0 })
		if n.stale() == nil {
			t.Errorf("the checker finds no fault with a plain single flight: %v", n.events)
		}
	})
}
