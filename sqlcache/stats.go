package sqlcache

import (
	"sync/atomic"

	"github.com/redstart-go/redstart/cache"
)

// Stats are counts since the cache was made, in this process.
type Stats struct {
	// Cache's own: hits, misses, loads, refreshes and the rest.
	Cache cache.Stats

	InTx          uint64 // answered inside a transaction that had written nothing
	Bypassed      uint64 // asked for, but sent to the database: a transaction that had written or sees a snapshot, a session of its own
	Unfit         uint64 // asked for, but never cached: locks, volatile functions, no tables, types beyond the format
	TooLarge      uint64 // results beyond MaxRows or MaxBytes
	Invalidations uint64 // writes and commits that ended entries
	Withdrawn     uint64 // writes that the database refused, and that left the cache as it was
	Refused       uint64 // writes that failed because Redis was away (Refuse)
	Unheld        uint64 // writes that proceeded although it was (Proceed)
	Late          uint64 // entries that end by themselves because Redis went away between a write and its invalidation
}

type counters struct {
	inTx, bypassed, unfit, large, invalidations, withdrawn, refused, unheld, late atomic.Uint64
}

// Stats gives the counts so far.
func (c *Cache) Stats() Stats {
	s := &c.stats
	return Stats{
		Cache: c.cache.Stats(),
		InTx:  s.inTx.Load(), Bypassed: s.bypassed.Load(), Unfit: s.unfit.Load(), TooLarge: s.large.Load(),
		Invalidations: s.invalidations.Load(), Withdrawn: s.withdrawn.Load(), Refused: s.refused.Load(),
		Unheld: s.unheld.Load(), Late: s.late.Load(),
	}
}
