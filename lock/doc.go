// Package lock gives one of many processes the right to do something, for as
// long as it lives, and a number by which others can tell when it has lost it.
//
// # What
//
// A [Lock] is a family of locks, one for each id. [Lock.Do] runs a function
// under one, [Lock.Acquire] and [Lock.TryAcquire] give a [Lease], which is
// renewed in the background until it is released or lost. [Lock.AcquireShared]
// is for readers beside a writer, Config.Permits makes a counting semaphore,
// [Lock.Election] elects a leader. Every lease has a fencing token, which
// [Guard] and [SQLCondition] check where something is written. [Quorum] is a
// lock over independent servers.
//
// # When not
//
// Where the resource can decide by itself: a unique constraint, a compare-and-set
// on a version, one script. Where two at once would be harmful and the resource
// knows no token: no lock with a lease can prevent it. For jobs that must each be
// done, take a queue; to load a value once, the cache.
//
// # Guarantees
//
//   - No two hold a lock at once by the server's order, as long as it keeps what
//     it acknowledged: without a failover, an eviction or a DEL (M1). With one,
//     two may, and a resource that checks tokens never takes an older one after
//     a newer (M2): a token is the greater of the last one plus 1 and the server's
//     clock in microseconds, so that it grows also when the counter is lost. What
//     it then rests on is that the clock is not behind the last token. A counter
//     lives for an hour at least after the last lease, so that a clock that is set
//     back by less does not matter.
//   - A lease's context ends before the lease can, whatever the server and the
//     network do (M3): its time is counted from before it was asked for, on the
//     monotonic clock, less 1 % and 2 ms. A grant that comes by message is counted
//     from when the server gave it, by the server's clock since its last answer.
//     What a process sends in the moment that it is frozen, the token is for.
//   - Whoever waits is granted the lock by the release itself, in the order of
//     arrival at the server, and told by a message (M4). Behind it is a look about
//     every second, and one when the lease that stands runs out. Without channels
//     (an ACL) the first in the queue looks every 10 ms.
//   - A lost reply leaves no orphan for the time of a lease (M5): asked again the
//     server gives the same lease and token, who gives up gives back what he may
//     have got, and a lease lasts a second at most until its first renewal. This
//     differs from the recipe (SET NX PX, and DEL by a script), where a lost reply
//     blocks the lock for its whole TTL, even for its owner.
//   - A release touches nobody else's lease. A lease that anyone deleted, or that
//     ran out, is told as [ErrLost] by its context, at the latest when it is to be
//     renewed, and by Release.
//   - A dead holder costs the rest of its lease, one that died before its first
//     renewal, or a dead waiter that was granted the lock, a second at most. Of a
//     waiter that is not heard of for 4 seconds nothing is waited for.
//
// It promises nothing against a server that forgets: with a maxmemory policy that
// evicts keys with a TTL a lock may vanish under its holder, who then learns of it
// at the next renewal; take noeviction. While the server is away nothing is
// granted, and leases that cannot be renewed are lost.
//
// A semaphore's tokens grow too, but several of its holders are right at the same
// time: a resource that fenced them would refuse all but the newest.
//
// # Keys and cost
//
// One string for each id ("lock:{<id>}"): token, end of the lease, holder. While
// more than one has or wants the lock, up to three keys beside it, in its slot
// (":%shared", ":%queue", ":%about"; a template without a hash tag is the tag of
// these). All keys live for two hours and the lease at most after the last change.
//
// A free lock costs two scripts, a renewal one for each third of Config.Lease, the
// first after a quarter of a second. A contended lock costs two scripts too: the
// one that queues, the one that releases; and one more for each second of
// waiting. Each client has one subscription, on a connection that it has anyway,
// to its own channel ("redstart:lock:…"), from when first it has to wait.
//
// # Example
//
// See [Lock.Do], [Lock.Acquire], [Lock.AcquireShared], [Config], [Election], [Guard],
// [SQLCondition], [Quorum].
package lock
