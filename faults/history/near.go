package history

import (
	"cmp"
	"slices"
	"sort"
	"time"
)

// NearFaults is what the checker of C6 finds.
type NearFaults struct {
	Back   []Violation   // a reader got an older version than he had before
	Beyond []Violation   // a read of what was overwritten longer than the bound ago
	Own    []Violation   // a read of what the process itself had overwritten before
	Oldest time.Duration // how long after it was overwritten a version was read at most
	Reads  int           // judged
}

// All are the violations of any kind.
func (n NearFaults) All() []Violation { return slices.Concat(n.Back, n.Beyond, n.Own) }

// NearTier is the checker of C6, on events with times in nanoseconds. A version
// whose write failed may come at any time, so its reads are not judged. One that
// the caller loaded himself may be ahead of what is cached until its writer
// invalidates, so nothing is behind it.
func NearTier(events []Event, maxStale time.Duration) (found NearFaults) {
	type versionOf struct {
		key     uint32
		version uint64
	}
	type reader struct {
		key             uint32
		process, caller uint16
	}
	type writer struct {
		key     uint32
		process uint16
	}
	loose := map[versionOf]bool{}
	floors, own := map[uint32][]Event{}, map[writer][]Event{}
	reads := map[reader][]Event{}
	for _, e := range events {
		switch e.Kind {
		case SetFailed:
			loose[versionOf{e.Key, e.Version}] = true
		case Invalidated:
			floors[e.Key] = append(floors[e.Key], e)
			if e.Mark == Own {
				w := writer{e.Key, e.Process}
				own[w] = append(own[w], e)
			}
		case Read:
			r := reader{e.Key, e.Process, e.Caller}
			reads[r] = append(reads[r], e)
		}
	}
	for key := range floors {
		rise(floors[key])
	}
	for w := range own {
		rise(own[w])
	}
	for r, all := range reads {
		slices.SortFunc(all, func(a, b Event) int { return cmp.Compare(a.Begin, b.Begin) })
		var last Event
		for _, e := range all {
			if loose[versionOf{e.Key, e.Version}] {
				continue
			}
			found.Reads++
			if e.Version < last.Version {
				found.Back = append(found.Back, Violation{Read: e, Limit: last, Why: "went back"})
			} else if e.Mark != Source {
				last = e
			}
			known := floors[r.key]
			if at, ok := before(known, int64(e.Begin)-int64(maxStale)); ok && at.Version > e.Version {
				found.Beyond = append(found.Beyond, Violation{Read: e, Limit: at, Why: "beyond the bound"})
			}
			if at, ok := before(own[writer{r.key, r.process}], int64(e.Begin)); ok && at.Version > e.Version {
				found.Own = append(found.Own, Violation{Read: e, Limit: at, Why: "an own write misread"})
			}
			if i := sort.Search(len(known), func(i int) bool { return known[i].Version > e.Version }); i < len(known) && known[i].End < e.Begin {
				found.Oldest = max(found.Oldest, time.Duration(e.Begin-known[i].End))
			}
		}
	}
	return found
}

// rise sorts floors by their ends, each with the highest version so far.
func rise(all []Event) {
	slices.SortFunc(all, func(a, b Event) int { return cmp.Compare(a.End, b.End) })
	for i := 1; i < len(all); i++ {
		if all[i].Version < all[i-1].Version {
			all[i].Version = all[i-1].Version
		}
	}
}

// before is the last floor whose end was before a time.
func before(all []Event, at int64) (Event, bool) {
	n := sort.Search(len(all), func(i int) bool { return int64(all[i].End) >= at })
	if n == 0 {
		return Event{}, false
	}
	return all[n-1], true
}
