package history

import "testing"

func held(number, begin, end uint64, mark uint8) Event {
	return Event{Kind: Held, Version: number, Begin: begin, End: end, Mark: mark}
}

func TestOverlaps(t *testing.T) {
	for _, test := range []struct {
		name    string
		events  []Event
		permits int
		wrong   int
	}{
		{"one after the other", []Event{held(1, 1, 5, 0), held(2, 5, 9, 0), held(3, 9, 12, 0)}, 0, 0},
		{"two at once", []Event{held(2, 4, 9, 0), held(1, 1, 5, 0)}, 0, 1},
		{"one within", []Event{held(1, 1, 9, 0), held(2, 3, 4, 0), held(3, 5, 6, 0)}, 0, 2},
		{"of other locks", []Event{held(1, 1, 9, 0), {Kind: Held, Key: 1, Version: 2, Begin: 3, End: 4}}, 0, 0},
		{"readers", []Event{held(1, 1, 9, Together), held(2, 2, 8, Together)}, 0, 0},
		{"a writer among readers", []Event{held(1, 1, 9, Together), held(2, 2, 8, Together), held(3, 8, 10, 0)}, 0, 1},
		{"a reader beside a writer", []Event{held(1, 1, 9, 0), held(2, 2, 8, Together)}, 0, 1},
		{"permits", []Event{held(1, 1, 9, Together), held(2, 2, 8, Together), held(3, 8, 10, Together)}, 2, 0},
		{"one permit too many", []Event{held(1, 1, 9, Together), held(2, 2, 8, Together), held(3, 7, 10, Together)}, 2, 1},
	} {
		if got := Overlaps(test.events, test.permits); len(got) != test.wrong {
			t.Errorf("%s: %q", test.name, got)
		}
	}
}

func TestMixed(t *testing.T) {
	var sure []Event
	for _, m := range []Mark{{5, 1}, {5, 2}, {7, 1}, {7, 2}, {9, 1}} {
		sure = append(sure, Event{Kind: Marked, Version: m.Holder, Begin: m.Number})
	}
	for _, test := range []struct {
		name   string
		order  []Mark
		tokens bool
		wrong  int
	}{
		{"in turn", []Mark{{5, 1}, {5, 2}, {7, 1}, {7, 2}, {9, 1}}, true, 0},
		{"back again", []Mark{{5, 1}, {7, 1}, {5, 2}, {7, 2}}, false, 2},
		{"a late one that its holder does not believe in", []Mark{{5, 1}, {7, 1}, {5, 3}, {7, 2}}, true, 0},
		{"an older token", []Mark{{7, 1}, {5, 1}, {9, 1}}, true, 1},
		{"numbers that are no tokens", []Mark{{7, 1}, {5, 1}, {9, 1}}, false, 0},
	} {
		if got := Mixed(sure, 0, test.order, test.tokens); len(got) != test.wrong {
			t.Errorf("%s: %q", test.name, got)
		}
	}
}

func TestUnfenced(t *testing.T) {
	for _, test := range []struct {
		name  string
		took  []Write
		wrong int
	}{
		{"growing", []Write{{1, "a"}, {1, "a"}, {2, "b"}, {5, "a"}}, 0},
		{"an older one", []Write{{1, "a"}, {2, "b"}, {1, "a"}}, 1},
		{"the same of two", []Write{{2, "a"}, {2, "b"}, {2, "a"}}, 1},
		{"the first is taken whatever it is", []Write{{-1, "a"}}, 0},
	} {
		if got := Unfenced("r", test.took); len(got) != test.wrong {
			t.Errorf("%s: %q", test.name, got)
		}
	}
}
