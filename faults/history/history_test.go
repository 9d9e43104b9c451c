package history

import (
	"slices"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func read(version, begin, end uint64) Event {
	return Event{Kind: Read, Key: 1, Version: version, Begin: begin, End: end}
}

func invalidated(version, begin, end uint64) Event {
	return Event{Kind: Invalidated, Key: 1, Version: version, Begin: begin, End: end}
}

func TestStaleCatches(t *testing.T) {
	other := read(1, 30, 31)
	other.Key = 2
	failed := invalidated(2, 10, 20)
	failed.Kind = InvalidateFailed
	for _, test := range []struct {
		name   string
		events []Event
		want   int
	}{
		{"nothing", nil, 0},
		{"newer", []Event{invalidated(2, 10, 20), read(2, 30, 31), read(3, 30, 31)}, 0},
		{"older", []Event{invalidated(2, 10, 20), read(1, 30, 31)}, 1},
		{"begun before it returned", []Event{invalidated(2, 10, 20), read(1, 19, 31)}, 0},
		{"another key", []Event{invalidated(2, 10, 20), other}, 0},
		{"the invalidation failed", []Event{failed, read(1, 30, 31)}, 0},
		{"a lower floor came later", []Event{invalidated(5, 10, 20), invalidated(4, 10, 25), read(4, 30, 31)}, 1},
		{"a higher floor came later", []Event{invalidated(4, 10, 20), invalidated(5, 10, 25), read(4, 22, 31)}, 0},
		{"before any floor", []Event{invalidated(4, 10, 20), read(1, 5, 6)}, 0},
	} {
		if got := Stale(test.events); len(got) != test.want {
			t.Errorf("%s: %v, want %d violations", test.name, got, test.want)
		}
	}
}

func TestInventedCatches(t *testing.T) {
	committed := Event{Kind: Committed, Key: 1, Version: 2, Begin: 10, End: 11}
	for _, test := range []struct {
		name   string
		events []Event
		want   int
	}{
		{"the first version", []Event{read(1, 1, 2)}, 0},
		{"committed", []Event{committed, read(2, 5, 12)}, 0},
		{"before its commit", []Event{committed, read(2, 5, 9)}, 1},
		{"never committed", []Event{committed, read(3, 20, 21)}, 1},
	} {
		if got := Invented(test.events); len(got) != test.want {
			t.Errorf("%s: %v, want %d violations", test.name, got, test.want)
		}
	}
}

// TestStaleAgreesWithPorcupine is a second opinion on the checker: a cache
// without stale reads is a linearizable object whose write raises a floor and
// whose read gives anything that is not below it.
func TestStaleAgreesWithPorcupine(t *testing.T) {
	model := porcupine.Model{
		Init: func() any { return uint64(0) },
		Step: func(state, input, _ any) (bool, any) {
			e, floor := input.(Event), state.(uint64)
			if e.Kind == Invalidated {
				return true, max(floor, e.Version)
			}
			return e.Version >= floor, floor
		},
	}
	found := map[bool]int{}
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 10).Draw(t, "events")
		ticks := rapid.Permutation(sequence(2*n)).Draw(t, "ticks")
		var events []Event
		var ops []porcupine.Operation
		for i := range n {
			e := read(rapid.Uint64Range(1, 4).Draw(t, "version"), min(ticks[2*i], ticks[2*i+1]), max(ticks[2*i], ticks[2*i+1]))
			if rapid.Bool().Draw(t, "invalidates") {
				e.Kind = Invalidated
			}
			events = append(events, e)
			ops = append(ops, porcupine.Operation{ClientId: i, Input: e, Call: int64(e.Begin), Return: int64(e.End)})
		}
		good := porcupine.CheckOperationsTimeout(model, ops, time.Minute) == porcupine.Ok
		stale := Stale(events)
		found[good]++
		if good != (len(stale) == 0) {
			t.Fatalf("porcupine says %v, the checker %v, of %v", good, stale, events)
		}
	})
	if found[true] == 0 || found[false] == 0 {
		t.Errorf("%d good and %d bad histories: want some of both", found[true], found[false])
	}
}

func sequence(n int) []uint64 {
	all := make([]uint64, n)
	for i := range all {
		all[i] = uint64(i + 1)
	}
	return all
}

func TestLoadedOnceCatches(t *testing.T) {
	if wrong := LoadedOnce(map[string]int{"a": 1, "b": 1}); wrong != nil {
		t.Errorf("a good run: %q", wrong)
	}
	if wrong := LoadedOnce(map[string]int{"a": 1, "b": 2, "c": 0}); len(wrong) != 2 {
		t.Errorf("a bad run: %q, want 2", wrong)
	}
}

func TestSharedCatches(t *testing.T) {
	if wrong := Shared(map[string]string{"x": "k1", "y": "k2"}); wrong != nil {
		t.Errorf("a good set: %q", wrong)
	}
	if wrong := Shared(map[string]string{"x": "k1", "y": "k1", "z": "k2"}); len(wrong) != 1 {
		t.Errorf("a bad set: %q, want 1", wrong)
	}
}

func TestLogsAreReadBack(t *testing.T) {
	dir := t.TempDir()
	var want []Event
	for _, name := range []string{"1", "2"} {
		l, err := Create(dir, name)
		if err != nil {
			t.Fatal(err)
		}
		e := Event{Kind: Read, Process: 3, Key: 4, Version: 5, Begin: 6, End: 7}
		want = append(want, e)
		if err := l.Add(e); err != nil {
			t.Fatal(err)
		}
		if name == "2" { // killed in the middle of a write
			if _, err := l.f.Write([]byte("half")); err != nil {
				t.Fatal(err)
			}
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	got, err := ReadDir(dir)
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("ReadDir = %v, %v, want %v", got, err, want)
	}
	if n, size := Count(got, Read), Size(dir); n != 2 || size != 2 {
		t.Errorf("Count = %d, Size = %d, want 2", n, size)
	}
}
