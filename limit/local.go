package limit

import (
	"slices"
	"sync"
	"time"
)

// bucket is what an id had without the server, by GCRA.
type bucket struct {
	mu       sync.Mutex
	policies []*policy
	whole    []float64 // when each limit is whole again, in ns on the limiter's clock
}

// local decides in the process. A call for more units than its part of a limit
// has passes when that part is whole, and is paid for afterwards.
func (l *Limiter) local(id string, p plan, least, most int64) Decision {
	b := l.buckets.create(id, func() *bucket { return &bucket{} })
	b.mu.Lock()
	defer b.mu.Unlock()
	if !slices.Equal(b.policies, p.policies) {
		b.policies, b.whole = p.policies, make([]float64, len(p.policies))
	}
	now := float64(l.clock())
	granted := most
	d := Decision{Source: SourceLocal, Policy: p.policies[0].Name, Limit: p.policies[0].most(), Remaining: -1}
	for i, q := range p.policies {
		unit, burst := l.share(q)
		used := max(b.whole[i]-now, 0)
		room := int64((burst*unit - used) / unit)
		if used == 0 {
			room = max(room, least)
		}
		switch {
		case q.Shadow:
			continue
		case room < least:
			wait := min(used, used+float64(least)*unit-burst*unit)
			if after := time.Duration(wait) + 1; after > d.RetryAfter {
				d.RetryAfter, d.Policy, d.Limit = after, q.Name, q.most()
			}
		}
		granted = min(granted, room)
	}
	d.Allowed = granted >= least
	if d.Allowed {
		d.Granted, d.RetryAfter = granted, 0
	}
	for i, q := range p.policies {
		unit, burst := l.share(q)
		if d.Allowed {
			b.whole[i] = max(b.whole[i], now) + float64(granted)*unit
		}
		used := max(b.whole[i]-now, 0)
		if left := int64(max(burst*unit-used, 0) / unit); !q.Shadow && (d.Remaining < 0 || left < d.Remaining) {
			d.Remaining, d.ResetAfter = left, time.Duration(used)
			if d.Allowed {
				d.Policy, d.Limit = q.Name, q.most()
			}
		}
	}
	d.Remaining = max(d.Remaining, 0)
	return d
}

// share is this process's part of a limit: the time for a unit in ns, and how
// many it has at once.
func (l *Limiter) share(q *policy) (unit, burst float64) {
	n := int64(l.cfg.Processes)
	return float64(q.Per) / float64(q.Rate) * float64(n), float64(max(q.most()/n, 1))
}
