package limit

import "sync/atomic"

// Stats are counts of calls of Take, TakeUpTo and Wait since the limiter was
// made, in this process.
type Stats struct {
	Taken    uint64 // allowed, whoever decided, but for those of Outage
	Denied   uint64 // denied, whoever decided, but for those of Outage
	Outage   uint64 // decided without the server, for want of it
	Shadowed uint64 // that a shadow limit would have denied
}

type counters struct {
	taken, denied, outage, shadowed atomic.Uint64
}

// Stats gives the counts so far.
func (l *Limiter) Stats() Stats {
	s := &l.stats
	return Stats{Taken: s.taken.Load(), Denied: s.denied.Load(), Outage: s.outage.Load(), Shadowed: s.shadowed.Load()}
}
