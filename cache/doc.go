// Package cache reads through Redis to the source of truth, so that it stays
// right when things fail.
//
// # What
//
// A [Cache] holds values of one type under keys of one shape. [Cache.Get]
// gives what is cached, else calls Load once for all who ask, in all
// processes, and caches what it gives. After writing to the source, call
// [Cache.Invalidate], or DEL the key from anywhere. [Cache.Set] caches a value
// that is at hand, [Cache.Peek] looks without loading. [Cache.GetMany],
// [Cache.SetMany] and [Cache.InvalidateMany] do the same for many ids at once,
// and [Cache.Warm] fills a cache before it is needed.
//
// Each of the following is off until Config asks for it:
//
//   - [Refresh] loads a value ahead of its end, in the background.
//   - StaleFor keeps a value past its TTL for when a load fails, or takes longer
//     than SoftTimeout; [Cache.GetEntry] says so.
//   - LoadResult gives a [Result]: a TTL and tags of its own, or "not modified".
//   - Tags and ResultTags give entries tags, whose entries one
//     [Cache.InvalidateTag] ends; [Cache.Clear] ends all.
//   - [Compression] packs large payloads.
//   - [Near] keeps values in the process, kept right by the server's messages.
//   - ReadFrom lets replicas answer.
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
//   - Many ids are loaded by one call for exactly those that are missing and
//     that nobody else loads, with one round trip a node for each step (C9).
//     All of the above and below holds for each of them.
//   - A value is refreshed by one process at a time, at most once as it nears its
//     end, and readers have the old one meanwhile: no miss for a key that is read
//     once in the last Fraction of its TTL, if it loads in the time then left
//     (C7). In the recipe every reader who sees the end coming starts a load.
//   - A value past its TTL is served only for StaleFor, only flagged, only while
//     no load succeeds, and never after an invalidation of any kind: who waited
//     for a load looks again whether it still stands there (C8). After a failed
//     load the source has peace for ErrorTTL, from all processes, or until the
//     old value ends, if that is sooner.
//   - InvalidateTag and Clear end any number of entries by one write, with the
//     guarantee of Invalidate (C12). An entry carries the random stamps that
//     stood at its tags' keys before it was loaded, and each read compares them:
//     a load under way leaves an entry that is dead already, and a stamp that
//     was evicted means a miss. Nothing rests on anyone's clock. The recipe (a
//     set of the tag's keys) leaks members and is overtaken by loads. HoldTags
//     lets nothing with a tag be served or become cached while the source
//     changes, so that no reader comes between the change and its invalidation.
//   - With Near, values never go back, one's own writes are read back at once,
//     others' as soon as the server's message arrives, and whatever fails, but
//     for a failover, no value is served MaxStale after it changed (C6). In
//     other processes C2 then holds from the message on; without Near, at once.
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
// Of many, hits cost an MGET for every 1,000 (in a cluster and over shards a GET
// each), misses the same commands as one does, in three pipelines; a tag's stamp
// is asked for once, however many of the entries have it. On this side a plain
// hit allocates the value; the keys are one piece of memory. What another process
// loads for one GetMany is waited for as one, with a look at all of it every
// 125 ms. Refreshes, and loads over values past their TTL, are one for each id.
//
// With Refresh, StaleFor or Ages an entry says when it was stored (some 20
// bytes more), and a read is PTTL and GET in one round trip. A load over a value
// that stays readable rides in front of it, in the same key, whose TTL stays:
// two scripts, and the value travels once, so that one DEL still ends
// everything. StaleFor is memory: an entry stands for its TTL and StaleFor.
//
// A tag has one key beside the entries' ("user:%:%tag:<tag>" for "user:<id>",
// which no entry can have), with 16 random bytes that live as long as what
// carries them. Tags that the id tells, and Clearable, cost a GET each in the
// round trip of the entry, and a load one more round trip. ResultTags cost a
// read of an entry that has some a second round trip, and a load three: one for
// the ledger at "user:%:%ledger" (a Hash of at most 1,026 fields), which tells
// what was invalidated while it loaded, one for the stamps and one to look.
// InvalidateTag and Clear are one script, with ResultTags InvalidateTag is two.
// HoldTags is one script a tag in one round trip, Release another.
//
// With Near a hit asks nobody and allocates nothing; one connection a node and a
// question for each quarter of MaxStale come with it, and a read of Redis asks
// for the PTTL too. What is read goes over that connection.
//
// # Example
//
// See [Near], [Cache.Get], [Refresh], [Cache.GetEntry], [Cache.InvalidateTag], [Result].
package cache
