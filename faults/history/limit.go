package history

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// What a limiter's callers got. Begin and End are the machine's monotonic time
// before the call and after it, Version is how many units.
const (
	// Granted: Version units of Key were taken.
	Granted Kind = iota + 32
	// Unanswered: a call for Version units got no answer: they may be taken.
	Unanswered
)

// Allowance says how many units at most may be granted in a span of time.
type Allowance struct {
	Burst   int64
	Rate    int64 // units each Per
	Per     time.Duration
	Windows int64 // above 0: not Burst and Rate evenly, but Rate in each window that a span touches, one more than this at most for each Per
}

// slew is by how much the server's clock may go faster than the monotonic one
// while it is being set right: more the kernel does not allow.
const slew = 500e-6

// in is the allowance for a span.
func (a Allowance) in(span uint64) float64 {
	spans := float64(span) * (1 + slew) / float64(a.Per)
	if a.Windows > 0 {
		return float64(a.Rate) * float64(int64(spans)+a.Windows)
	}
	return float64(a.Burst) + float64(a.Rate)*spans
}

// OverLimit is the checker of L1: it names each key of which more units were
// granted in some span of time than allowed. Which moment a unit was granted at
// is known to lie between its call's begin and end alone, so those count that
// lie in the span as a whole: what is named has surely happened. fullest is the
// largest part of an allowance that was used, granted the number of units.
func OverLimit(events []Event, allowed map[uint32]Allowance) (wrong []string, fullest float64, granted uint64) {
	keys := map[uint32][]Event{}
	for _, e := range events {
		if e.Kind == Granted {
			keys[e.Key] = append(keys[e.Key], e)
			granted += e.Version
		}
	}
	for key, all := range keys {
		a := allowed[key]
		slices.SortFunc(all, func(x, y Event) int { return cmp.Compare(x.End, y.End) })
		worst, over, from, span := 0.0, 0.0, uint64(0), uint64(0)
		for i, first := range all {
			units := uint64(0)
			// Whatever began later also ended later than this one began.
			start, _ := slices.BinarySearchFunc(all[:i], first.Begin, func(e Event, t uint64) int { return cmp.Compare(e.End, t) })
			for _, e := range all[start:] {
				if e.Begin < first.Begin {
					continue
				}
				units += e.Version
				limit := a.in(e.End - first.Begin)
				worst = max(worst, float64(units)/limit)
				if float64(units)-limit > over {
					over, from, span = float64(units)-limit, first.Begin, e.End-first.Begin
				}
			}
		}
		fullest = max(fullest, worst)
		if over > 0 {
			wrong = append(wrong, fmt.Sprintf("key %d: %.1f units too many in %v from %d on", key, over, time.Duration(span), from))
		}
	}
	slices.Sort(wrong)
	return wrong, fullest, granted
}

// Left is a key, how long it lives on (below 0: for ever), and how long it may.
type Left struct {
	Key        string
	Lives, May time.Duration
}

// Endless is the checker of L3: it names the keys that do not expire in time.
func Endless(keys []Left) (wrong []string) {
	for _, k := range keys {
		if k.Lives < 0 || k.Lives > k.May {
			wrong = append(wrong, fmt.Sprintf("%s lives for %v, and may for %v", k.Key, k.Lives, k.May))
		}
	}
	return wrong
}

// Charged is what several limits of an id have counted, at one moment.
type Charged struct {
	ID    string
	Units []int64
}

// Torn is the checker of L4: it names the ids of which one limit was charged
// without another.
func Torn(all []Charged) (wrong []string) {
	for _, c := range all {
		if len(c.Units) > 0 && slices.Min(c.Units) != slices.Max(c.Units) {
			wrong = append(wrong, fmt.Sprintf("%s: charged %v", c.ID, c.Units))
		}
	}
	return wrong
}
