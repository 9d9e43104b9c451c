// Package batch sends many commands, of any number, in few round trips, and
// says of each what became of it.
//
// # What
//
// [Get], [Set], [Del] and [Do] take an iterator of any length and give one
// [Result] an item, in the input's order:
//
//	for r := range batch.Get(ctx, client, keys, batch.Config{}) {
//		…
//	}
//
// They cut the input into batches bounded by count and by bytes, keep several
// on their way, in a cluster one for each range of slots, and repeat the items
// that may be repeated while the server is away. [Atomic] runs a few commands
// as one step, [AtomicWatch] such a step that depends on what it reads. [Scan]
// is an iterator over the keys of all nodes.
//
// # When not
//
// Not for a trickle: a batch goes when it is full, when the input ends or when
// nothing more may be taken, so an input that waits holds up what it has given.
// Single calls need no help, for the client puts those of all goroutines into
// one pipeline. Not where a command needs the reply to another: that is a
// script (redstart.Script), or AtomicWatch. Not where all or nothing must
// happen: a pipeline is no transaction, others' commands run in between, and
// some items may fail while others stand. That is Atomic. Not KEYS, at all:
// Scan.
//
// # Guarantees
//
//   - A result is that of its own item, whatever is cut or lost meanwhile (T1),
//     and comes in the input's order. A failure
//     is that of one item alone.
//   - An item is repeated only if it surely did not run, or is idempotent (Get,
//     Set, Del, and what says so of itself). All others run at most once, and
//     one of which it is not known says so: redstart.OutcomeOf of its Err is
//     Unknown (K1).
//   - Items on one Key run in the input's order, also when some are repeated;
//     one that cannot be repeated without overtaking a later one fails
//     instead, as NotApplied. There is no order between keys, and none at all
//     with Config.Unordered. (Scripts that the server has
//     forgotten in the midst of a batch run after the others of that batch. A
//     command on a connection that was lost may run late, as on any network.)
//   - What means "later" (LOADING, TRYAGAIN, CLUSTERDOWN, OOM, a refused or lost
//     connection) is waited out for Config.Wait, within the deadline, and what
//     means "elsewhere" or "say it in full" (MOVED, ASK, NOSCRIPT) never
//     reaches the caller (K2; but for the ordered item above, as
//     a script on two keys of a slot on its way may be). A server that serves nobody is asked by one item
//     at a time; the items behind it fail as NotApplied, not as Unknown.
//   - The input is read in the loop's own goroutine and never more than
//     2·InFlight·Size items ahead: a million keys take no more memory than a
//     thousand. A loop that is slow, or left by break, stops the reading.
//   - When the context ends, items under way are Unknown and all others that
//     were taken NotApplied; if the input had not ended, one more result, with
//     no Key, says so.
//   - Scan gives each key that stays at least once.
//
// This differs from the recipe (collect a hundred, execute, collect again)
// because there a batch has one error for all its items, so that the whole of
// it is sent again, INCRs included, or lost; and because it waits for each batch
// before it sends the next.
//
// How much faster: the recipe claims a factor of 1,000 for 1,000 SETs over 1 ms
// of network, as if commands themselves took no time. Measured through a proxy
// that adds that delay (bench_test.go, two busy cores): 235 with the defaults,
// 460 with a Size of 500, 540 as one batch.
//
// # Keys and cost
//
// No keys of its own. A batch is one round trip; the time of N items is about
// N/(Size·InFlight) round trips, plus what they take on the server; an item
// costs two allocations and some 2 µs on this side. Keys are used as they are:
// the client's namespace is not put in front.
//
// # Example
//
// See [Get], [Set] (which loads CSV), [Do] (which loads JSON lines), [Atomic],
// [AtomicWatch] and [Scan].
package batch
