// Package resilience has what stands between a call and a thing that fails:
// retry, budget, circuit breaker, bulkhead and hedged reads, for any function.
//
// # What
//
// Each is a small thing of its own, and they nest. From the outside in:
//
//		bulkhead → retry → breaker → hedge → the call, with a deadline of its own
//
//	  - [Bulkhead] outermost: a caller holds one place for all its attempts and
//	    the pauses between them, so it bounds callers, which is what runs out.
//	  - [Retry] around the breaker: every attempt asks the breaker, so a breaker
//	    that opens ends the retries: its error says when to come back, and
//	    beyond the cap Retry does not wait for it. The other way round the
//	    breaker would see one failure where the server saw three.
//	  - [Breaker] around the hedge: two attempts at one read are one call to it,
//	    and the loser's cancelled context is not among its results.
//	  - [Hedge] inside, for reads only. Where each replica has a breaker of its
//	    own, those stand inside the hedge.
//	  - A deadline for each attempt innermost, shorter than the caller's:
//	    against a server that is frozen it is what counts as a failure, since
//	    the end of the caller's own context does not.
//
// [Retry.Do], [Breaker.Do] and [Bulkhead.Do] take a function, [Get] one that
// gives a value, [Hedged] a read. [Retry.Begin] with [Attempts.Again], and
// [Breaker.Allow] with [Breaker.Record], do without a function, for hot paths.
//
// # When not
//
// Not around a *redstart.Client to repeat what it repeats already: it retries
// what surely did not run. Not to repeat what is not idempotent: the default
// of [RetryConfig].Retryable repeats only what says that nothing happened, and
// a wider one is the caller's promise. Not as a rate limit, which is for the
// good days and shared by a fleet. A breaker is local to the process: a fleet
// sends one probe a process.
//
// # Guarantees
//
//   - A pause is uniform in [0, min(cap, base·2^n)], plus what the server asked
//     for, and never longer than the cap; none begins that would end past the
//     context's deadline. This differs from the recipe (the doubled delay and
//     up to 10 %) because that exceeds its cap and sends those who failed
//     together back together.
//   - Retries are at most Ratio·calls + Burst over any span of calls (K5). The
//     recipe has no such bound, and triples the load of a server that is down.
//   - Which errors are retried: those that say that nothing was applied. This
//     differs from the recipe (every RedisError) because a command whose reply
//     was lost would run twice (K1).
//   - While a breaker is half open exactly Probes calls pass, whatever the
//     number of callers; the others are refused at once. A probe that never
//     reports blocks for ProbeTimeout. What began before the last change of
//     state counts for nothing. This differs from the recipe because there
//     every caller probes at once, and its counter is not safe for threads.
//   - Cancelled calls, and callers' own deadlines, are no failures; which
//     errors are is yours to say. A panic is one, and passes on.
//   - OnChange is called in order, outside of any lock: it may call the breaker.
//   - At most Ratio of all reads so far are started twice (K6), whatever their
//     latency.
//   - Refusals ([ErrOpen], [ErrFull]) carry the Outcome NotApplied.
//
// # Keys and cost
//
// Nothing here talks to a server, and nothing runs in the background but the
// attempts of a hedged read and, for a breaker by rate, a timer that stops by
// itself one Window after the last call. When all is well a retry, its budget
// and a breaker together add some 30 ns and no allocation to a call (K4), a
// bulkhead as much; a refusal by an open breaker costs one reading of the
// clock. A hedged read costs about two microseconds.
//
// # Example
//
// See the examples of [Retry.Do], [Breaker.Do], [Breaker.Allow],
// [Bulkhead.Do], [Hedged] and the package's, which nests them.
package resilience
