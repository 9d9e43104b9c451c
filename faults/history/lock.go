package history

import (
	"cmp"
	"fmt"
	"slices"
)

// Events of locks.
const (
	// Held: a holder had lock Key from Begin to End at least: at both moments he
	// had seen that his lease was not over. Version is his own number, and where
	// there are fencing tokens it is the token.
	Held Kind = iota + 64
	// Marked: the holder with the number Version left his mark Begin at the server
	// of lock Key, and had not lost his lease when he knew of that.
	Marked
)

// Together marks a Held beside which there may be others of its kind.
const Together uint8 = 1 << 7

// Overlaps is the checker of M1 by the machine's clock: it names every Held of a
// key that began while there were others already with whom it cannot be: any, or
// for those together a number of permits (0: any number).
func Overlaps(events []Event, permits int) (wrong []string) {
	byKey := map[uint32][]Event{}
	for _, e := range events {
		if e.Kind == Held {
			byKey[e.Key] = append(byKey[e.Key], e)
		}
	}
	for _, all := range byKey {
		slices.SortFunc(all, func(a, b Event) int { return cmp.Compare(a.Begin, b.Begin) })
		var now []Event
		for _, e := range all {
			now = slices.DeleteFunc(now, func(o Event) bool { return o.End <= e.Begin })
			together := 0
			for _, o := range now {
				if o.Mark&e.Mark&Together == 0 {
					wrong = append(wrong, fmt.Sprintf("%s while %s", holding(e), holding(o)))
					break
				}
				together++
			}
			if permits > 0 && together >= permits {
				wrong = append(wrong, fmt.Sprintf("%s while %d others do", holding(e), together))
			}
			now = append(now, e)
		}
	}
	slices.Sort(wrong)
	return wrong
}

func holding(e Event) string {
	return fmt.Sprintf("process %d (number %d) holds lock %d in [%d, %d]", e.Process, e.Version, e.Key, e.Begin, e.End)
}

// Mark is what a holder wrote into a list at his lock's server.
type Mark struct{ Holder, Number uint64 }

// Mixed is the checker of M1 by the server's order: of the marks of one lock in
// the order in which the server took them it names every holder's that comes
// after another's who came after him, and with tokens every holder whose number
// is not above all before. Marks that were not confirmed by Marked do not count.
func Mixed(events []Event, key uint32, order []Mark, tokens bool) (wrong []string) {
	confirmed := map[Mark]bool{}
	for _, e := range events {
		if e.Kind == Marked && e.Key == key {
			confirmed[Mark{e.Version, e.Begin}] = true
		}
	}
	gone := map[uint64]bool{}
	var last, highest uint64
	for i, m := range order {
		switch {
		case !confirmed[m] || m.Holder == last:
			continue
		case gone[m.Holder]:
			wrong = append(wrong, fmt.Sprintf("lock %d: mark %d is of holder %d, after one of %d who came later", key, i, m.Holder, last))
		case tokens && m.Holder <= highest:
			wrong = append(wrong, fmt.Sprintf("lock %d: mark %d has the token %d, after %d", key, i, m.Holder, highest))
		}
		if last != 0 {
			gone[last] = true
		}
		last, highest = m.Holder, max(highest, m.Holder)
	}
	return wrong
}

// Write is one that a fenced resource took.
type Write struct {
	Token  int64
	Holder string
}

// Unfenced is the checker of M2: of the writes that a resource took, in its
// order, it names every one with a token that is not above that of another
// holder before.
func Unfenced(key string, took []Write) (wrong []string) {
	var highest Write
	for i, w := range took {
		switch {
		case w.Holder == highest.Holder && w.Token == highest.Token:
		case i > 0 && w.Token <= highest.Token:
			wrong = append(wrong, fmt.Sprintf("%s took token %d of %s after %d of %s", key, w.Token, w.Holder, highest.Token, highest.Holder))
		default:
			highest = w
		}
	}
	return wrong
}
