// Package cache reads through Redis to the source of truth, so that it stays
// right when things fail.
//
// # What
//
// A [Cache] holds values of one type under keys of one shape. [Cache.Get]
// gives what is cached, else calls Load once for all who ask, in all
// processes, and caches what it gives. After writing to the source, call
// [Cache.Invalidate], or DEL the key from anywhere. [Cache.Set] caches a value
// that is at hand, [Cache.Peek] looks without loading.
//
// # When not
//
// Where reads must see writes that nobody invalidates, where the source is as
// fast as Redis, or where values are read once. What must not be lost belongs
// elsewhere: any entry may be gone at any time.
//
// # Guarantees
//
//   - A cold key is loaded once, whatever the number of processes (C1).
//   - After Invalidate has returned nil, or anyone's DEL, no later read returns
//     a value loaded before it, read from the primary with no failover between
//     (C2). The recipe (GET, else query, SETEX) lets a slow load overwrite
//     what came after it; here a load fills by compare-and-set on a lease that
//     any DEL or SET ends. This differs from the recipe because a stale value
//     would live for its whole TTL.
//   - The death or the freeze of a loading process costs those who wait at
//     most Config.Lease, a hanging Load at most Config.LoadTimeout, a panic
//     nothing; a failure is shared by all who waited (C3).
//   - A caller's ended context fails no other (C4). A load that has begun goes
//     on and fills the cache.
//   - Who waits is woken by the server's message within 5 ms where it has
//     tracking, else looks again within 32 ms (C5).
//   - Keys are injective and entries versioned: a changed struct, a damaged or
//     a foreign value is a miss, never a wrong value (C10).
//
// It does not promise that a read sees a write before the Invalidate, nor
// anything across a failover that loses the primary's last writes. During a
// rollout two versions of a struct under one key take turns in replacing each
// other's entries: reads stay right, and miss more. GUARANTEES.md has the
// figures.
//
// While the server is away Get loads without it, at most
// redstart.Config.OutageLoads at once for the client, and fails with
// redstart.ErrUnavailable beyond; Set and Invalidate fail. A full or read-only
// server counts as away for what must be written.
//
// # Keys and cost
//
// One string key an entry, from the template in Config.Key: the value behind a
// header of 14 bytes, or for a moment a lease. A hit is one GET, and allocates
// no more than a raw one and the value. Beyond two at a time, GETs of
// one key in a process share the next one. A miss is GET, SET NX GET, the load
// and one script; a waiter in another process costs two reads and one SET NX
// GET. Invalidate is one DEL, Set one SET.
//
// # Example
//
// See [Cache.Get].
package cache
