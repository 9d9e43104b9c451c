// Package journal writes behind: a value is stored in the cache and noted in a
// journal by one step at the server, and brought to the database later, so that
// nothing acknowledged is lost.
//
// # What
//
// A [Journal] takes changes by [Journal.Put], [Journal.PutMany] and
// [Journal.Delete], in one round trip, and gives the newest value by
// [Journal.Get], also when it is no longer cached and not yet in the database.
// [Journal.Run], in as many processes as there are, brings the changes to a
// [Sink]: in batches, of each key the last one, with a version that grows.
// [Journal.Flush] waits until all is there, [Journal.Lag] tells what is not.
// What the sink will not take goes to the [DeadLetter]s, which can be listed,
// replayed and dropped. Package sqlsink has sinks for SQL databases.
//
// # When not
//
// Where a write must be in the database when it is acknowledged, be it only
// because others read it there: write through (package cache). Where the
// database must refuse writes that break its rules: behind the writer's back it
// can only refuse them into the dead letters. Where the writes are no more than
// the database takes anyway. What is acknowledged is as durable as the server
// holds it: see [Durability].
//
// # Guarantees
//
//   - What was acknowledged reaches the sink, or the dead letters, whatever
//     process dies at whatever step, as long as the server keeps what it
//     acknowledged (W2). The recipe (a queue in the process, a bulk insert)
//     loses its queue with the process and its batch with the first error; here
//     the value and the record are written by one script, and a record leaves
//     the journal in a step that comes after the sink's answer.
//   - It is applied at least once, and of a key never an older change after a
//     newer: each change has a version, and the sink writes only over a smaller
//     one. The last that is applied is the last that was acknowledged; what is
//     set and then deleted ends absent (W3). A partition has one flusher at a
//     time, by a lease that is renewed, and a token by which the sink refuses
//     whoever had it before: a process that was frozen brings nothing back.
//   - A Put whose reply was lost is sent again, and is one record: as long as no
//     more than five others of the key came between, and for 10 seconds. Beyond
//     that it says that it does not know (Outcome Unknown).
//   - A change that fails alone, while others succeed, delays only those of its
//     key, and goes to the dead letters after Config.Attempts, with its reason
//     (W4). Later changes of the key are tried for themselves. A database that
//     takes nothing at all is waited for, however long, and nothing is held
//     against its records; a record that is the only one to be tried is judged
//     by what a [Prober] says, or by others that come.
//   - Pending records, their bytes and the age of the oldest are bounded, in the
//     script that would exceed them: a write then waits, is refused, or waits for
//     the sink ([AtBound], W5).
//   - Of the records that were acknowledged, each is applied, superseded by a
//     later one of its key, dead, dropped by Drop, or pending: the counts that
//     Lag gives are kept by the scripts that move them.
//   - New refuses a server that may evict the journal, and names the setting (W7).
//
// A failover that loses the server's last writes loses what they acknowledged,
// unless Durability waits for replicas. When the sink has such a change already,
// what the server holds of the key, or is given later, gets a version above the
// sink's and is written, not refused: nothing that is acknowledged after the
// failover is lost. So an older change that was pending can follow one that the
// server lost: the database ends as the server has it. Versions are the server's
// clock in microseconds, or the last one plus 1: a clock that is set back does
// not matter.
//
// It does not promise that a change is applied once, nor an order between keys,
// nor that every version of a key is written: only the last of a batch is.
//
// While the server is away writes fail after the client's Timeout, and Get too:
// only the server knows what is pending.
//
// # Keys and cost
//
// The keys of a partition have one hash tag ("{orders:7}:…", after the client's
// Namespace), and so one slot: the entries of its ids, under the template of
// Config.Cache, and beside them the log (a stream), what is newest in it (a
// hash), the state and counts (a hash), the dead letters (a stream, and a hash of
// their ids), and what left the log in the last 20 seconds (a stream of 16 bytes
// a record, so that a repeated Put is recognised). One more key
// ("{orders:members}:%members") has those who flush. None of them has a TTL but
// the last and the entries. A pending record is its entry twice (once in the
// cache) and some 150 bytes.
//
// Put and Delete are one script in one round trip; PutMany one for up to 64
// records of a partition, which costs the server far less for each. Get is that of
// the cache: a hit one GET, a miss one script more. A flusher reads 100 records in
// a round trip and settles a batch by one script; with nothing to do it asks each of
// its partitions every tenth of BatchWait, at most every 100 ms, and renews its
// lease three times in its time. With Replicated and WaitAOF the writes of a
// partition that come together share one wait on a connection of their own.
//
// # Example
//
// See [Journal.Put], [Journal.DeadLetters], [Config], [Durability], [Sink].
package journal
