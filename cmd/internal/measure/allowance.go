package measure

import (
	"slices"
	"time"
)

// Grant is one request that was let through. Its decision was made at some time between the two.
type Grant struct{ Sent, Got time.Time }

// Allowance is what one client may be granted: over any span of time t at most Burst + t/Every.
type Allowance struct {
	Burst int
	Every time.Duration // one more
}

// drift is how much faster than ours a server's clock may run before that is taken for its fault.
const drift = 0.001

// Excess returns how many of the grants must be taken away until no trailing window holds more than allowed, and which they
// are, in the order of their replies; and the most that any window held beyond
// t/Every, rounded: Burst at most where none is over.
//
// Only what no times of the decisions within their grants excuse is counted: every window is taken to be as long as it can
// have been, from before its first request was sent to the last one's reply. Cost: one sort, which reorders grants.
func (a Allowance) Excess(grants []Grant) (over []bool, n, most int) {
	slices.SortFunc(grants, func(x, y Grant) int { return x.Got.Compare(y.Got) })
	// A grant was sent before those that were replied to later, or it could have been: then the times are in one order.
	from := make([]time.Time, len(grants))
	for i := len(grants) - 1; i >= 0; i-- {
		from[i] = grants[i].Sent
		if i+1 < len(grants) && from[i+1].Before(from[i]) {
			from[i] = from[i+1]
		}
	}
	every := time.Duration(float64(a.Every) * (1 - drift))
	burst := time.Duration(a.Burst) * a.Every
	over = make([]bool, len(grants))
	var kept, all time.Time // when the allowance is whole again, for those within it and for all of them
	for i, g := range grants {
		all = later(all, from[i]).Add(every)
		most = max(most, int((all.Sub(g.Got)+every/2)/every))
		if whole := later(kept, from[i]).Add(every); whole.Sub(g.Got) > burst {
			over[i] = true
			n++
		} else {
			kept = whole
		}
	}
	return over, n, most
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
