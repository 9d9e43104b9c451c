package cache

import "sync/atomic"

// Stats are counts since the cache was made, in this process.
type Stats struct {
	Hits        uint64 // answered by what is cached, "not found" included
	Misses      uint64 // nothing usable was cached
	Loads       uint64 // calls of Load, LoadResult and LoadMany
	LoadErrors  uint64 // callers who got a load's failure, this process's or another's
	Joined      uint64 // callers who shared another's load or wait in this process
	Waits       uint64 // waits for another process's load
	Refused     uint64 // loaded values not stored: invalidated or taken over meanwhile
	LeasesLost  uint64 // leases found lost while the load still ran
	Corrupt     uint64 // entries that could not be read, and were taken for misses
	OtherSchema uint64 // entries of another shape, codec or version: misses
	Adopted     uint64 // values decoded by Config.Adopt
	TooLarge    uint64 // loaded values beyond Config.MaxBytes
	Uncached    uint64 // loads without the server, during an outage
	Rejected    uint64 // calls failed with ErrUnavailable during an outage
	Refreshes   uint64 // loads of this process ahead of an entry's end
	Stale       uint64 // answered by a value past its TTL
	Dead        uint64 // entries found whose tag was invalidated: misses

	NearHits    uint64 // answered by the near tier
	NearItems   int    // what it keeps now
	NearPushed  uint64 // removed from it because the server, or another writer, told of the key
	NearRefused uint64 // not kept in it, since the key changed while it was read
	NearFlushed uint64 // times that all of it was given up: a lost connection, FLUSHALL
}

type counters struct {
	// hits changes on every call and has a cache line of its own.
	hits atomic.Uint64
	_    [56]byte
	near atomic.Uint64
	_    [56]byte

	misses, loadErrors, joined, waits, refused, leasesLost, tooLarge, uncached, rejected, refreshes, stale atomic.Uint64
}

// Stats gives the counts so far.
func (c *Cache[K, V]) Stats() Stats {
	s, found := &c.stats, &c.form.Counts
	out := Stats{
		Hits: s.hits.Load(), Misses: s.misses.Load(), Loads: c.source.Calls(), LoadErrors: s.loadErrors.Load(),
		Joined: s.joined.Load(), Waits: s.waits.Load(), Refused: s.refused.Load(), LeasesLost: s.leasesLost.Load(),
		Corrupt: found.Corrupt.Load(), OtherSchema: found.OtherSchema.Load(), Adopted: found.Adopted.Load(),
		TooLarge: s.tooLarge.Load(), Uncached: s.uncached.Load(), Rejected: s.rejected.Load(),
		Refreshes: s.refreshes.Load(), Stale: s.stale.Load(), Dead: found.Dead.Load(),
		NearHits: s.near.Load(),
	}
	if c.near != nil {
		n := c.near.Stats()
		out.NearItems, out.NearPushed, out.NearRefused, out.NearFlushed = n.Items, n.Pushed, n.Refused, n.Flushed
	}
	return out
}
