package history

import "testing"

// put is an acknowledged write of key 1; deletion and unsure are others.
func put(number, begin, end uint64) []Event {
	return []Event{
		{Kind: Sent, Key: 1, Version: number, Begin: begin},
		{Kind: Acked, Key: 1, Version: number, Begin: begin, End: end},
	}
}

func deletion(number, begin, end uint64) []Event {
	return []Event{
		{Kind: Sent, Key: 1, Version: number, Begin: begin, Mark: Deletes},
		{Kind: Acked, Key: 1, Version: number, Begin: begin, End: end, Mark: Deletes},
	}
}

func unsure(number, begin uint64, mark uint8) []Event {
	return []Event{{Kind: Sent, Key: 1, Version: number, Begin: begin, Mark: mark}}
}

func untaken(number, begin, end uint64) []Event {
	return append(unsure(number, begin, 0), Event{Kind: NotTaken, Key: 1, Version: number, Begin: begin, End: end})
}

func history(parts ...[]Event) (all []Event) {
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}

func TestUnwritten(t *testing.T) {
	holds := func(n uint64) map[uint32]Row { return map[uint32]Row{1: {Write: n}} }
	for _, test := range []struct {
		name   string
		events []Event
		rows   map[uint32]Row
		wrong  int
	}{
		{"the last", history(put(1, 1, 2), put(2, 3, 4)), holds(2), 0},
		{"not the last", history(put(1, 1, 2), put(2, 3, 4)), holds(1), 1},
		{"one of two at once", history(put(1, 1, 4), put(2, 2, 3)), holds(1), 0},
		{"one that had no answer", history(put(1, 1, 2), unsure(2, 3, 0)), holds(2), 0},
		{"one that had no answer, not taken", history(put(1, 1, 2), unsure(2, 3, 0)), holds(1), 0},
		{"a refused one", history(put(1, 1, 2), untaken(2, 3, 4)), holds(2), 1},
		{"after a refused one", history(put(1, 1, 2), untaken(2, 3, 4)), holds(1), 0},
		{"nothing", history(put(1, 1, 2)), nil, 1},
		{"nothing of nothing", history(unsure(1, 1, 0), untaken(2, 3, 4)), nil, 0},
		{"deleted", history(put(1, 1, 2), deletion(2, 3, 4)), nil, 0},
		{"deleted, and back", history(put(1, 1, 2), deletion(2, 3, 4)), holds(1), 1},
		{"deleted meanwhile", history(put(1, 1, 4), deletion(2, 3, 5)), holds(1), 0},
		{"set after the delete", history(deletion(1, 1, 2), put(2, 3, 4)), nil, 1},
		{"perhaps deleted", history(put(1, 1, 2), unsure(2, 3, Deletes)), nil, 0},
		{"a delete as a row", history(deletion(1, 1, 2)), holds(1), 1},
		{"nobody's", history(put(1, 1, 2)), holds(9), 1},
	} {
		if got := Unwritten(test.events, test.rows); len(got) != test.wrong {
			t.Errorf("%s: %q", test.name, got)
		}
	}
}

func TestDisordered(t *testing.T) {
	events := history(put(1, 1, 2), put(2, 3, 4), deletion(3, 5, 6))
	told := []Told{{1, 1, 10, false}, {1, 2, 20, false}, {1, 3, 30, true}}
	if got := Disordered(events, told, nil); len(got) != 0 {
		t.Errorf("%q", got)
	}
	if got := Disordered(events, told, map[uint32]Row{1: {2, 20}}); len(got) != 1 {
		t.Errorf("a deleted row is there: %q", got)
	}
	if got := Disordered(events, told[:2], map[uint32]Row{1: {1, 10}}); len(got) != 1 {
		t.Errorf("an older row is there: %q", got)
	}
	if got := Disordered(events, told[:2], nil); len(got) != 1 {
		t.Errorf("a row is missing: %q", got)
	}
	turned := []Told{{1, 1, 20, false}, {1, 2, 10, false}}
	if got := Disordered(events, turned, map[uint32]Row{1: {1, 20}}); len(got) != 1 {
		t.Errorf("versions against the order of time: %q", got)
	}
	again := append(turned, Told{1, 2, 30, false}) //nolint:gocritic // another list
	if got := Disordered(events, again, map[uint32]Row{1: {2, 30}}); len(got) != 0 {
		t.Errorf("stamped again: %q", got)
	}
}

func TestWentBack(t *testing.T) {
	for _, test := range []struct {
		name  string
		made  []Told
		wrong int
	}{
		{"forwards", []Told{{1, 1, 10, false}, {1, 2, 20, false}, {1, 2, 20, true}, {1, 4, 40, false}}, 0},
		{"backwards", []Told{{1, 2, 20, false}, {1, 1, 10, false}}, 1},
		{"the same after a delete", []Told{{1, 2, 20, false}, {1, 2, 20, true}, {1, 2, 20, false}}, 1},
		{"older than the delete", []Told{{1, 1, 10, false}, {1, 1, 10, true}, {1, 2, 20, false}}, 1},
		{"another key", []Told{{1, 2, 20, false}, {2, 1, 10, false}}, 0},
	} {
		if got := WentBack(test.made, []Told{{1, 3, 30, true}}); len(got) != test.wrong {
			t.Errorf("%s: %q", test.name, got)
		}
	}
	if n := Again([]Told{{1, 1, 10, false}, {1, 1, 10, false}, {2, 1, 10, false}, {1, 1, 11, false}}); n != 1 {
		t.Errorf("%d told again, want 1", n)
	}
}

func TestConserved(t *testing.T) {
	one, none := map[uint32]bool{1: true}, map[uint32]bool{}
	row := map[uint32]Row{1: {Write: 1}}
	for _, test := range []struct {
		name          string
		events        []Event
		rows          map[uint32]Row
		dead, pending map[uint32]bool
		wrong         int
	}{
		{"applied", put(1, 1, 2), row, none, none, 0},
		{"dead", put(1, 1, 2), nil, one, none, 0},
		{"pending", put(1, 1, 2), nil, none, one, 0},
		{"nowhere", put(1, 1, 2), nil, none, none, 1},
		{"twice", put(1, 1, 2), row, one, none, 1},
		{"nowhere without an answer", unsure(1, 1, 0), nil, none, none, 0},
		{"refused and there", untaken(1, 1, 2), row, none, none, 1},
	} {
		if got := Conserved(test.events, test.rows, test.dead, test.pending); len(got) != test.wrong {
			t.Errorf("%s: %q", test.name, got)
		}
	}
}
