package history

import (
	"fmt"
	"maps"
	"slices"
)

// What is noted of calls on many keys. A call is known by its process and its
// Caller, which no two calls of a process share.
const (
	// Asked: the call wants Key.
	Asked Kind = iota + 100
	// LoadBegan: the loader was asked for Key, by its call number Version.
	LoadBegan
	// Absence: the call was told that Key does not exist.
	Absence
	// Alien: what the call was given for Key is the value of Version, another
	// key.
	Alien
)

// Truth is what the source has for a key.
type Truth uint8

// Of some keys the source says that they do not exist, of some it cannot say.
const (
	Present Truth = iota
	Missing
	Failing
)

// ManyLoads is the checker of C9's loads: every key that was asked for is loaded
// exactly once, and once more for each load of it that died; a call has one
// loader call at most, and one that asks for nothing but what the call wants.
func ManyLoads(events []Event, died func(key uint32) int) []string {
	type call struct{ process, caller uint16 }
	wants := map[call]map[uint32]bool{}
	loaders := map[call]map[uint64]bool{}
	loads := map[uint32]int{}
	for _, e := range events {
		if e.Kind == Asked {
			c := call{e.Process, e.Caller}
			if wants[c] == nil {
				wants[c], loaders[c] = map[uint32]bool{}, map[uint64]bool{}
			}
			wants[c][e.Key] = true
			loads[e.Key] += 0
		}
	}
	var wrong []string
	for _, e := range events {
		if e.Kind != LoadBegan {
			continue
		}
		c := call{e.Process, e.Caller}
		loads[e.Key]++
		if !wants[c][e.Key] {
			wrong = append(wrong, fmt.Sprintf("call %d of process %d loads %d, for which it was not asked", c.caller, c.process, e.Key))
			continue
		}
		if died(e.Key) == 0 { // what is taken over comes as the leases end
			loaders[c][e.Version] = true
		}
	}
	for c, all := range loaders {
		if len(all) > 1 {
			wrong = append(wrong, fmt.Sprintf("call %d of process %d calls the loader %d times", c.caller, c.process, len(all)))
		}
	}
	for _, key := range slices.Sorted(maps.Keys(loads)) {
		if want := 1 + died(key); loads[key] != want {
			wrong = append(wrong, fmt.Sprintf("%d was loaded %d times, want %d", key, loads[key], want))
		}
	}
	slices.Sort(wrong)
	return wrong
}

// ManyAnswers is the checker of C9's answers: each key's is its own, a failure
// is never an absence, and only what fails in the source fails; unless the
// server was away, when any may.
func ManyAnswers(events []Event, truth func(key uint32) Truth, away bool) []string {
	var wrong []string
	for _, e := range events {
		var what string
		switch is := truth(e.Key); {
		case e.Kind == Alien:
			what = fmt.Sprintf("the value of %d", e.Version)
		case e.Kind == Absence && is == Failing:
			what = "an absence for a failure"
		case e.Kind == Absence && is == Present:
			what = "an absence for a value"
		case e.Kind == Read && is != Present:
			what = "a value of what has none"
		case e.Kind == ReadFailed && is != Failing && !away:
			what = "an error for nothing"
		default:
			continue
		}
		wrong = append(wrong, fmt.Sprintf("call %d of process %d got %s at key %d", e.Caller, e.Process, what, e.Key))
	}
	return wrong
}

// Ignored counts what calls have asked for and got nothing for, not even an
// error, but for those of a process that died.
func Ignored(events []Event, died func(process uint16) bool) (n int) {
	type want struct {
		process, caller uint16
		key             uint32
	}
	open := map[want]int{}
	for _, e := range events {
		w := want{e.Process, e.Caller, e.Key}
		switch e.Kind {
		case Asked:
			open[w]++
		case Read, ReadFailed, Absence, Alien:
			open[w]--
		}
	}
	for w, left := range open {
		if left != 0 && !died(w.process) {
			n++
		}
	}
	return n
}
