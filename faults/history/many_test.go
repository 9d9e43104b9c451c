package history

import "testing"

func TestManyLoadsCatches(t *testing.T) {
	asked := func(caller uint16, key uint32) Event { return Event{Kind: Asked, Caller: caller, Key: key} }
	load := func(caller uint16, number uint64, key uint32) Event {
		return Event{Kind: LoadBegan, Caller: caller, Version: number, Key: key}
	}
	for _, test := range []struct {
		name   string
		events []Event
		died   int
		want   int
	}{
		{"two callers share", []Event{asked(1, 1), asked(1, 2), asked(2, 2), asked(2, 3), load(1, 1, 1), load(1, 1, 2), load(2, 2, 3)}, 0, 0},
		{"twice", []Event{asked(1, 1), asked(2, 1), load(1, 1, 1), load(2, 2, 1)}, 0, 1},
		{"twice, for one died", []Event{asked(1, 1), asked(2, 1), load(1, 1, 1), load(2, 2, 1)}, 1, 0},
		{"never", []Event{asked(1, 1)}, 0, 1},
		{"by two loader calls", []Event{asked(1, 1), asked(1, 2), load(1, 1, 1), load(1, 2, 2)}, 0, 1},
		{"what another caller wants", []Event{asked(1, 1), asked(2, 2), load(1, 1, 1), load(1, 1, 2)}, 0, 1},
		{"what nobody wants", []Event{asked(1, 1), load(1, 1, 1), load(1, 1, 9)}, 0, 1},
	} {
		if got := ManyLoads(test.events, func(uint32) int { return test.died }); len(got) != test.want {
			t.Errorf("%s: %q, want %d", test.name, got, test.want)
		}
	}
}

func TestManyAnswersCatches(t *testing.T) {
	truth := func(key uint32) Truth { return Truth(key) } // 0 is there, 1 is not, 2 fails
	for _, test := range []struct {
		kind                   Kind
		key                    uint32
		wrong, wrongInAnOutage bool
	}{
		{Read, 0, false, false},
		{Absence, 1, false, false},
		{ReadFailed, 2, false, false},
		{Alien, 0, true, true},
		{Absence, 0, true, true},
		{Absence, 2, true, true},
		{Read, 1, true, true},
		{Read, 2, true, true},
		{ReadFailed, 0, true, false},
		{ReadFailed, 1, true, false},
	} {
		e := []Event{{Kind: test.kind, Key: test.key}}
		if got := len(ManyAnswers(e, truth, false)) > 0; got != test.wrong {
			t.Errorf("kind %d at key %d: wrong is %v", test.kind, test.key, got)
		}
		if got := len(ManyAnswers(e, truth, true)) > 0; got != test.wrongInAnOutage {
			t.Errorf("kind %d at key %d, in an outage: wrong is %v", test.kind, test.key, got)
		}
	}
}

func TestIgnoredCatches(t *testing.T) {
	events := []Event{{Kind: Asked, Key: 1}, {Kind: Asked, Key: 2}, {Kind: Read, Key: 1}, {Kind: Asked, Process: 1, Key: 1}}
	if n := Ignored(events, func(p uint16) bool { return p == 1 }); n != 1 {
		t.Errorf("%d, want 1", n)
	}
	if n := Ignored(append(events, Event{Kind: ReadFailed, Key: 2}), func(p uint16) bool { return p == 1 }); n != 0 {
		t.Errorf("all answered: %d", n)
	}
}
