package limit

import (
	"slices"
	"time"
)

// denial is the server's word that units cannot be there before some time,
// unless somebody gives some back.
type denial struct {
	units    int64         // as many, or more
	at       time.Duration // when it was asked, on the limiter's clock
	policies []*policy     // the limits that were asked
	decision Decision
}

// denied gives a denial that still holds for units, and the generation with
// which a new one is remembered.
func (l *Limiter) denied(id string, p plan, units int64) (Decision, uint64, bool) {
	if l.denials == nil {
		return Decision{}, 0, false
	}
	n, gen, ok := l.denials.get(id)
	if !ok || units < n.units {
		return Decision{}, gen, false
	}
	past := l.clock() - n.at
	if past >= n.decision.RetryAfter || !slices.Equal(n.policies, p.policies) {
		return Decision{}, gen, false
	}
	d := n.decision
	d.Source = SourceDenied
	d.RetryAfter -= past
	d.ResetAfter = max(d.ResetAfter-past, 0)
	d.NextAfter = max(d.NextAfter-past, 0)
	if d.Each != nil {
		d.Each = slices.Clone(d.Each)
		for i := range d.Each {
			s := &d.Each[i]
			s.RetryAfter, s.ResetAfter, s.NextAfter = max(s.RetryAfter-past, 0), max(s.ResetAfter-past, 0), max(s.NextAfter-past, 0)
		}
	}
	return d, gen, true
}

// remember keeps a denial that was asked for at a time.
func (l *Limiter) remember(id string, p plan, units int64, at time.Duration, d Decision, gen uint64) {
	if l.denials != nil && !d.Allowed && d.RetryAfter > 0 {
		l.denials.put(id, &denial{units: units, at: at, policies: p.policies, decision: d}, gen)
	}
}

// forget ends what this process remembers of an id.
func (l *Limiter) forget(id string) {
	if l.denials != nil {
		l.denials.end(id)
	}
}
