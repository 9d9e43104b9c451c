package history

import "testing"

func TestAgingCatches(t *testing.T) {
	a := Aging{TTL: 100, StaleFor: 200, ErrorTTL: 50}
	load := Event{Kind: Loaded, Key: 1, Version: 2, Begin: 0, End: 10}
	first := Event{Kind: Read, Mark: Redis, Key: 1, Version: 2, Begin: 15, End: 20}
	read := func(mark uint8, begin uint64) Event {
		return Event{Kind: Read, Mark: mark, Key: 1, Version: 2, Begin: begin, End: begin + 1}
	}
	fails := func(begin uint64) Event { return Event{Kind: LoadFailed, Key: 1, Begin: begin, End: begin + 5} }
	for _, test := range []struct {
		name   string
		events []Event
		wrong  int
		atEnd  int
	}{
		{"fresh", []Event{load, first, read(Redis, 120)}, 0, 0},
		{"not flagged", []Event{load, first, read(Redis, 121)}, 1, 0},
		{"flagged", []Event{load, first, read(Redis|Old, 109), read(Redis|Old, 320)}, 0, 0},
		{"too early", []Event{load, first, read(Redis|Old, 108)}, 1, 0},
		{"beyond", []Event{load, first, read(Redis|Old, 321)}, 1, 0},
		{"loaded for the caller", []Event{load, first, read(Source, 900)}, 0, 0},
		{"peace", []Event{fails(100), fails(155)}, 0, 0},
		{"no peace", []Event{fails(100), fails(154)}, 1, 0},
		{"no peace long before the end", []Event{load, fails(200), fails(210)}, 1, 0},
		{"at the end", []Event{load, fails(300), fails(311)}, 0, 1},
		{"no peace after the end", []Event{load, fails(350), fails(360)}, 1, 0},
		{"written between", []Event{fails(100), {Kind: Invalidated, Key: 1, Begin: 110, End: 112}, fails(115)}, 0, 0},
	} {
		if wrong, atEnd := a.Check(test.events); len(wrong) != test.wrong || atEnd != test.atEnd {
			t.Errorf("%s: %v, %d at the end", test.name, wrong, atEnd)
		}
	}
}
