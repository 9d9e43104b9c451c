package history

import "testing"

func TestNearTierCatches(t *testing.T) {
	by := func(caller uint16, mark uint8, version, begin uint64) Event {
		return Event{Kind: Read, Mark: mark, Process: 1, Caller: caller, Key: 1, Version: version, Begin: begin, End: begin + 1}
	}
	foreign := Event{Kind: Invalidated, Process: 2, Key: 1, Version: 2, Begin: 10, End: 20}
	own := Event{Kind: Invalidated, Mark: Own, Process: 1, Key: 1, Version: 2, Begin: 10, End: 20}
	lost := Event{Kind: SetFailed, Process: 2, Key: 1, Version: 1, Begin: 5, End: 9}
	for _, test := range []struct {
		name              string
		events            []Event
		back, beyond, own int
		oldest            int64
	}{
		{"within the bound", []Event{foreign, by(1, Near, 1, 120)}, 0, 0, 0, 100},
		{"beyond it", []Event{foreign, by(1, Near, 1, 121)}, 0, 1, 0, 101},
		{"an own write", []Event{own, by(1, Near, 1, 21)}, 0, 0, 1, 1},
		{"an own write under way", []Event{own, by(1, Near, 1, 20)}, 0, 0, 0, 0},
		{"back", []Event{by(1, Near, 2, 5), by(1, Redis, 1, 7)}, 1, 0, 0, 0},
		{"two readers", []Event{by(1, Near, 2, 5), by(2, Redis, 1, 7)}, 0, 0, 0, 0},
		{"loaded ahead of the writer", []Event{by(1, Source, 2, 5), by(1, Redis, 1, 7)}, 0, 0, 0, 0},
		{"a write that failed", []Event{lost, by(1, Near, 2, 15), foreign, by(1, Redis, 1, 500)}, 0, 0, 0, 0},
	} {
		got := NearTier(test.events, 100)
		if len(got.Back) != test.back || len(got.Beyond) != test.beyond || len(got.Own) != test.own || int64(got.Oldest) != test.oldest {
			t.Errorf("%s: %+v", test.name, got)
		}
	}
}
