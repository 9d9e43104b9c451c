// Package limit says how much of something each id may have, across all
// processes, and how many may be at work for it at once.
//
// # What
//
// A [Limiter] has one or more [Limit] and decides on them as one: all let a call
// pass, or none counts it. [Limiter.Take] takes units of an id,
// [Limiter.TakeUpTo] as many as there are, [Limiter.Wait] waits for them,
// [Limiter.Peek] looks, [Limiter.Refund] gives back and [Limiter.Reset] forgets.
// A [Decision] says what passed, what is left and when to come back. Units may be
// requests, bytes, or what a call costs. The algorithms:
//
//   - [GCRA], the default: a burst at once, then an even rate.
//   - [SlidingLog]: exact in any period; remembers each unit.
//   - [SlidingCounter]: close to it, in three numbers.
//   - [FixedWindow]: for compatibility with what promised just that.
//
// Config.LimitsOf gives an id limits of its own at every call; a shadow limit is
// counted and never denies; Config.Batch takes units of hot ids in batches;
// Config.OnOutage says what passes without the server. A [Concurrency] counts
// those at work: each holds a [Slot] on a lease.
//
// # When not
//
// Not to bound one process (golang.org/x/time/rate, resilience.Bulkhead), and not
// for money: a failover may lose the last units taken, an outage is decided by
// policy. A key that the server evicts is a limit that begins anew: use
// noeviction or a memory limit that holds. A slot is no lock: a holder frozen past
// its lease may be one too many.
//
// # Guarantees
//
//   - Over any span of time t at most Burst + Rate·t/Per units pass by GCRA, and
//     Rate in any Per by SlidingLog, whatever the processes' clocks say: all
//     times are the server's (L1). SlidingCounter lets less than twice Rate pass
//     in any Per, about Rate when units come evenly; FixedWindow twice Rate
//     around an edge.
//   - A denial costs nothing, and no fraction of a unit is lost: what is granted
//     is what there was (L2). This differs from the recipe (GET, compare, INCR),
//     which races, counts denials and doubles at the edge.
//   - Every key has a TTL, of what it is good for (L3).
//   - Several limits are decided in one step (L4). Each shadow limit is decided
//     for itself, and counts what would have passed.
//   - A decision is there within Config.Timeout, whatever the server does, but for
//     the scheduler (L5): by the policy Allow, Deny or Local. After one that came
//     too late all are decided by policy at once, until the server answers, or the
//     client knows that it is away.
//   - A lost reply may cost units and never gives any; with Allow and Local what
//     the policy then lets pass comes on top.
//   - When the server's clock steps back, or a limit is lowered, what is stored
//     is cut to what the limit can hold: nobody is denied for longer than that.
//   - Units that can never be there at once are [ErrNever], not a time to wait.
//   - Any id has a key of its own, in the slot of its own tag. One too long for
//     a key is hashed (SHA-256), since refusing it would be a way past the limit.
//
// With Batch at most Batch more units pass for each process. A denial is
// remembered in the process until its units can be there: what other processes
// give back meanwhile is not seen before; what this one does is.
//
// Local is GCRA in the process at the same rate and burst divided by
// Config.Processes, a burst of 1 at least: all processes together stay near the
// limit, each beginning with a whole part. Larger calls pass when its part is
// whole. No two processes know of each other: fewer than Processes let less pass,
// more let more.
//
// # Keys and cost
//
// One key for each limit and id, from the template in Config.Key
// ("limit:{<id>}"), with ":name" behind it unless the limit is GCRA and called
// "default". GCRA keeps one number, FixedWindow two, SlidingCounter three,
// SlidingLog a list of times (some 10 bytes a unit).
//
// Take is one script and one round trip; one GCRA limit whose unit takes whole
// microseconds is the fastest (some 7 µs of the server), each further limit, and
// other kinds, some 8 µs. A denial that is remembered costs some 150 ns and no
// command; a unit in hand some 300 ns. Peek and Refund are one script, Reset one
// DEL. Nothing runs in the background but, after a decision that came too late,
// one question until it is answered.
//
// A Concurrency has one sorted set for each id ("slots:{<id>}"). Enter is one
// script, Leave one ZREM, and each third of the lease one script extends it.
//
// # Example
//
// See [Limiter.Take], [Limiter.TakeUpTo], [Limiter.Wait], [Limiter.Refund],
// [Limit], [Config], [Outage] and [Concurrency.Enter].
package limit
