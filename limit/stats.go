package limit

import "sync/atomic"

// Stats are counts of calls of Take, TakeUpTo and Wait since the limiter was
// made, in this process.
type Stats struct {
	Taken    uint64 // allowed, whoever decided
	Denied   uint64 // denied, whoever decided
	Shadowed uint64 // allowed, and a shadow limit would have denied

	FromDenials uint64 // of Denied: because a denial was remembered
	FromBatch   uint64 // of Taken: from units in hand
	Outage      uint64 // of all: decided without the server, for want of it
}

type counters struct {
	taken, denied, shadowed, fromDenials, fromBatch, outage atomic.Uint64
}

func (c *counters) count(d Decision) {
	if d.Allowed {
		c.taken.Add(1)
	} else {
		c.denied.Add(1)
	}
	switch d.Source {
	case SourceDenied:
		c.fromDenials.Add(1)
	case SourceBatch:
		c.fromBatch.Add(1)
	case SourceLocal, SourceOutage:
		c.outage.Add(1)
	case SourceServer:
	}
	if d.Shadowed && d.Allowed && d.Source == SourceServer {
		c.shadowed.Add(1)
	}
}

// Stats gives the counts so far.
func (l *Limiter) Stats() Stats {
	s := &l.stats
	return Stats{
		Taken: s.taken.Load(), Denied: s.denied.Load(), Shadowed: s.shadowed.Load(),
		FromDenials: s.fromDenials.Load(), FromBatch: s.fromBatch.Load(), Outage: s.outage.Load(),
	}
}
