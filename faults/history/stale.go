package history

import (
	"cmp"
	"fmt"
	"slices"
	"sort"
)

// Violation is a read that no promise allows.
type Violation struct {
	Read  Event
	Limit Event // the invalidation or the commit that it contradicts
	Why   string
}

func (v Violation) String() string {
	return fmt.Sprintf("%s: process %d read version %d of key %d in [%d, %d]; process %d: version %d in [%d, %d]",
		v.Why, v.Read.Process, v.Read.Version, v.Read.Key, v.Read.Begin, v.Read.End,
		v.Limit.Process, v.Limit.Version, v.Limit.Begin, v.Limit.End)
}

// Stale is the checker of C2: it gives every read of a version lower than the
// highest whose invalidation had returned before the read began.
func Stale(events []Event) []Violation {
	return judge(events, Invalidated, func(floors []Event, read Event) (Event, bool) {
		n := sort.Search(len(floors), func(i int) bool { return floors[i].End >= read.Begin })
		return highest(floors[:n]), n > 0 && floors[n-1].Version > read.Version
	}, "stale")
}

// Invented gives every read of a version that was committed after the read had
// ended, or never. Version 1 is there from the beginning.
func Invented(events []Event) []Violation {
	return judge(events, Committed, func(commits []Event, read Event) (Event, bool) {
		i, found := slices.BinarySearchFunc(commits, read.Version, func(c Event, v uint64) int { return cmp.Compare(c.Version, v) })
		switch {
		case read.Version == 1:
			return Event{}, false
		case !found:
			return highest(commits), true
		default:
			return commits[i], commits[i].Begin > read.End
		}
	}, "invented")
}

// judge looks at every read beside the other events of its key. Those of kind
// limit come in the order of their ends, and for Invalidated each with the
// highest version so far.
func judge(events []Event, limit Kind, wrong func([]Event, Event) (Event, bool), why string) []Violation {
	limits := map[uint32][]Event{}
	for _, e := range events {
		if e.Kind == limit {
			limits[e.Key] = append(limits[e.Key], e)
		}
	}
	for _, all := range limits {
		slices.SortFunc(all, func(a, b Event) int { return cmp.Compare(a.End, b.End) })
		if limit == Invalidated {
			for i := 1; i < len(all); i++ {
				if all[i].Version < all[i-1].Version {
					end := all[i].End
					all[i] = all[i-1]
					all[i].End = end
				}
			}
			continue
		}
		slices.SortFunc(all, func(a, b Event) int { return cmp.Compare(a.Version, b.Version) })
	}
	var found []Violation
	for _, e := range events {
		if e.Kind != Read {
			continue
		}
		if l, bad := wrong(limits[e.Key], e); bad {
			found = append(found, Violation{Read: e, Limit: l, Why: why})
		}
	}
	return found
}

func highest(floors []Event) Event {
	if len(floors) == 0 {
		return Event{}
	}
	return floors[len(floors)-1]
}
