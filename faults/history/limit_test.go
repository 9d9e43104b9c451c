package history

import (
	"testing"
	"time"
)

func TestOverLimit(t *testing.T) {
	const ms = uint64(time.Millisecond)
	g := func(units, begin, end uint64) Event {
		return Event{Kind: Granted, Key: 1, Version: units, Begin: begin * ms, End: end * ms}
	}
	even := Allowance{Burst: 10, Rate: 100, Per: time.Second}
	window := Allowance{Rate: 10, Per: 100 * time.Millisecond, Windows: 1}
	for _, test := range []struct {
		name   string
		a      Allowance
		events []Event
		wrong  int
	}{
		{"the burst", even, []Event{g(4, 0, 0), g(6, 0, 0)}, 0},
		{"more than the burst", even, []Event{g(4, 0, 0), g(7, 0, 0)}, 1},
		{"the burst and what came since", even, []Event{g(10, 0, 0), g(1, 9, 10), g(4, 50, 50)}, 0},
		{"too soon", even, []Event{g(10, 0, 0), g(1, 8, 9)}, 1},
		{"too soon, much later", even, []Event{g(1, 0, 0), g(10, 5000, 5000), g(1, 5004, 5005)}, 1},
		{"perhaps long before", even, []Event{g(10, 500, 500), g(5, 0, 501)}, 0},
		{"perhaps long after", even, []Event{g(5, 500, 900), g(10, 500, 501)}, 0},
		{"a long call around others", even, []Event{g(1, 0, 9000), g(10, 500, 500), g(2, 505, 510)}, 1},
		{"nobody got it", even, []Event{g(10, 0, 0), {Kind: Unanswered, Key: 1, Version: 10}}, 0},
		{"a window", window, []Event{g(10, 0, 1), g(10, 101, 102)}, 0},
		{"twice in a window", window, []Event{g(10, 0, 1), g(10, 98, 99)}, 1},
		{"around an edge", Allowance{Rate: 10, Per: 100 * time.Millisecond, Windows: 2}, []Event{g(10, 98, 98), g(10, 101, 102)}, 0},
		{"around two edges", Allowance{Rate: 10, Per: 100 * time.Millisecond, Windows: 2}, []Event{g(10, 98, 98), g(10, 101, 102), g(1, 150, 150)}, 1},
	} {
		if wrong, _, _ := OverLimit(test.events, map[uint32]Allowance{1: test.a}); len(wrong) != test.wrong {
			t.Errorf("%s: %v", test.name, wrong)
		}
	}
}

func TestEndlessAndTorn(t *testing.T) {
	if wrong := Endless([]Left{{"a", time.Second, time.Second}, {"b", -1, time.Second}, {"c", 2 * time.Second, time.Second}}); len(wrong) != 2 {
		t.Error(wrong)
	}
	if wrong := Torn([]Charged{{"a", []int64{2, 2}}, {"b", []int64{2, 3}}, {"c", nil}}); len(wrong) != 1 {
		t.Error(wrong)
	}
}
