package sessions

import (
	"maps"
	"slices"
	"testing"
)

func TestLost(t *testing.T) {
	writes := func(l *ledger) {
		l.ack("a", ack{n: 1})
		l.ack("a", ack{n: 4})
		l.ack("b", ack{n: 2})
		l.ack("b", ack{n: 5, out: true})
		l.ack("c", ack{n: 3})
		l.begin("c", 6)
		l.ack("d", ack{n: 7})
	}
	for _, c := range []struct {
		name string
		rows map[string]int64
		want []int64
	}{
		{"all there", map[string]int64{"a": 4, "c": 3, "d": 7}, nil},
		{"a write that nobody was told of, and a logout", map[string]int64{"a": 9, "d": 7}, nil},
		{"the last is missing", map[string]int64{"a": 1, "c": 3, "d": 7}, []int64{4}},
		{"a row is missing", map[string]int64{"c": 3, "d": 7}, []int64{1, 4}},
		{"a session is back", map[string]int64{"a": 4, "b": 2, "c": 3, "d": 7}, []int64{5}},
		{"nothing there", nil, []int64{1, 4, 7}},
	} {
		l, found := newLedger(), map[int64]bool{}
		writes(l)
		l.lost(c.rows, found)
		if got := slices.Sorted(maps.Keys(found)); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func TestPlan(t *testing.T) {
	a, b, last, ended := newPlan(7), newPlan(7), map[string]int64{}, map[string]bool{}
	outs := 0
	for range 5000 {
		o := a.next()
		if o != b.next() {
			t.Fatal("the same seed gives another plan")
		}
		if ended[o.id] || o.n <= last[o.id] {
			t.Fatalf("%+v comes after the end of its session, or before what was", o)
		}
		last[o.id], ended[o.id] = o.n, o.out
		if o.out {
			outs++
		}
	}
	if outs < 100 || len(last) < 300 || sessionsOf(7, 5000) != len(last) {
		t.Errorf("%d logouts of %d sessions", outs, len(last))
	}
}
