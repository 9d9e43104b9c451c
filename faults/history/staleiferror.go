package history

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// Aging is what a cache may serve past its end, and how often it may try a
// source that fails.
type Aging struct {
	TTL, StaleFor, ErrorTTL time.Duration
	Slack                   time.Duration // the server counts in milliseconds
}

// Check is the checker of C8's flags, bounds and pauses, on events with times
// in nanoseconds and loads that give a version of their own each. It names every
// read of a value past its TTL that was not flagged, every flagged one that is
// not past it, every one beyond StaleFor, and every load within ErrorTTL after one
// of the same key that failed, unless the key was written or deleted between the
// beginnings of the two, or what stood there came to its end, with which the pause
// ends too: such loads are counted. A value's time begins after its load ended,
// and before the first read of it ended.
func (a Aging) Check(events []Event) (wrong []string, atEnd int) {
	type of struct {
		key     uint32
		version uint64
	}
	loaded, seen := map[of]uint64{}, map[of]uint64{}
	loads, writes := map[uint32][]Event{}, map[uint32][]Event{}
	for _, e := range events {
		at := of{e.Key, e.Version}
		switch e.Kind {
		case Loaded:
			loaded[at] = e.End
			loads[e.Key] = append(loads[e.Key], e)
		case LoadFailed:
			loads[e.Key] = append(loads[e.Key], e)
		case Invalidated, InvalidateFailed, SetFailed:
			writes[e.Key] = append(writes[e.Key], e)
		case Read:
			if first, ok := seen[at]; e.Mark&Redis != 0 && (!ok || e.End < first) {
				seen[at] = e.End
			}
		}
	}
	ttl, staleFor, slack := uint64(a.TTL), uint64(a.StaleFor), uint64(a.Slack)
	for _, e := range events {
		if e.Kind != Read || e.Mark&Redis == 0 {
			continue
		}
		at := of{e.Key, e.Version}
		old := e.Mark&Old != 0
		switch {
		case !old && e.Begin > seen[at]+ttl+slack:
			wrong = append(wrong, fmt.Sprintf("not flagged: %+v, %v after it was there", e, time.Duration(e.Begin-seen[at])))
		case old && loaded[at] != 0 && e.End+slack < loaded[at]+ttl:
			wrong = append(wrong, fmt.Sprintf("flagged too early: %+v, %v after it was loaded", e, time.Duration(e.End-loaded[at])))
		case old && e.Begin > seen[at]+ttl+staleFor+slack:
			wrong = append(wrong, fmt.Sprintf("beyond StaleFor: %+v, %v after it was there", e, time.Duration(e.Begin-seen[at])))
		}
	}
	for key, all := range loads {
		slices.SortFunc(all, func(x, y Event) int { return cmp.Compare(x.Begin, y.Begin) })
		var from, to uint64 // between them the last value ended
		for i := 1; i < len(all); i++ {
			failed, next := all[i-1], all[i]
			if failed.Kind == Loaded {
				from = failed.End + ttl + staleFor
				to = max(from, seen[of{key, failed.Version}]+ttl+staleFor)
			}
			if failed.Kind != LoadFailed || next.Begin+slack >= failed.End+uint64(a.ErrorTTL) {
				continue
			}
			switch {
			case slices.ContainsFunc(writes[key], func(w Event) bool { return w.End >= failed.Begin && w.Begin <= next.Begin }):
			case failed.Begin <= to+slack && from <= next.Begin+slack:
				atEnd++
			default:
				since := func(at uint64) time.Duration { return time.Duration(int64(failed.Begin) - int64(at)) }
				var written uint64
				for _, w := range writes[key] {
					if w.End <= failed.Begin {
						written = max(written, w.End)
					}
				}
				wrong = append(wrong, fmt.Sprintf("no peace: key %d is loaded %v after a load that failed, which began %v after the last write, and %v to %v after the old value's end",
					key, time.Duration(int64(next.Begin)-int64(failed.End)), since(written), since(to), since(from)))
			}
		}
	}
	slices.Sort(wrong)
	return wrong, atEnd
}
