package guarantees

// area is a table of the page.
type area struct {
	title    string
	promises []promise
}

// promise is a row: what is promised, and why it has no figure until a test
// writes one.
type promise struct{ id, text, why string }

const byBench = "written by make bench"

// areas is the page, in its order.
var areas = []area{
	{"Client", []promise{
		{"K1", "no command that is not idempotent runs twice without `Outcome` Unknown being reported", "comes with retries"},
		{"K2", "NOSCRIPT, MOVED, ASK, TRYAGAIN, LOADING, READONLY never reach a caller inside its deadline when the deployment recovers (raw `Dedicated` connections excepted: there they carry Outcome NotApplied)", "written by make guarantees"},
		{"K3", "after a Sentinel failover the first good write comes within detection + 2.5 s, and a client that reaches a Sentinel or the new primary writes to the demoted one for at most 1 s", "comes with Sentinel"},
		{"K4", "breaker, retry and classification add at most 100 ns and 0 allocations to a call (metrics hooks apart)", byBench + ", once breaker and retry are there"},
		{"K5", "in an outage retries add at most 10 % load, and to a node known to be away only probes go", "comes with retries"},
		{"K6", "a sticky read is never older than one's own write, a lag-bounded one never beyond its lag", "comes with reads from replicas"},
	}},
	{"Many commands, many servers", []promise{
		{"N1", "an item of a batch that is not idempotent runs at most once, or says `Outcome` Unknown", notRun},
		{"N2", "a batch's results come in the input's order, each its own item's; a failure is that of one item alone, and a read has none while connections are cut", notRun},
		{"N3", "a batch of 1,000,000 keys keeps the heap below 64 MiB", notRun},
		{"N4", "1,000 SETs over a round trip of 1 ms take a 250th of the time in batches (the recipe says a 1,000th; a figure, never asserted)", notRun},
		{"H1", "adding one shard to N moves at most 1/N + 2 % of the keys, all to the new one; every process agrees on every key's owner", notRun},
		{"H2", "a `Copy` between shards that is killed at any point and run again loses no key, no TTL and no byte", notRun},
	}},
	{"Cache", []promise{
		{"C1", "a cold key is loaded once across all processes", notRun},
		{"C2", "after `Invalidate` returns (or anyone's `DEL`), no later read returns a value loaded before it (read from the primary, no failover between; in other processes with a near tier: within the push, at most `MaxStale`)", notRun},
		{"C3", "a holder's panic, kill or hang costs waiters at most the lease (a load that hangs: `LoadTimeout`), an error is shared by all that waited", notRun},
		{"C4", "one caller's cancelled context fails no other", notRun},
		{"C5", "waiters wake within 5 ms (p99) of the fill where the server has tracking, elsewhere within the poll's interval", notRun},
		{"C6", "near tier: typed hit at most twice a raw one and 0 allocations; values never go back; staleness bounded by `MaxStale` under any fault but a failover, own writes read back at once, others' by push", notRun},
		{"C7", "refresh-ahead: at most one refresh per key and period across all processes, no miss for a key read at least once per window", notRun},
		{"C8", "stale-if-error: flagged, bounded, never after an invalidation", notRun},
		{"C9", "many keys: one loader call with exactly the missing ids, one round trip per node", notRun},
		{"C10", "keys are injective, frames versioned: a changed struct or a corrupt value is a miss", notRun},
		{"C11", "outage: loads to the source bounded", notRun},
		{"C12", "tags: invalidating one is O(1) and safe when the tag itself is evicted", notRun},
	}},
	{"Write-through and write-behind", []promise{
		{"W1", "a refused or failed database write leaves the cache as it was", "comes with write-through"},
		{"W2", "no acknowledged write is lost by the death of any process at any step (of the server: with AOF on)", notRun},
		{"W3", "per key, the last applied is the last acknowledged; set then delete ends absent", notRun},
		{"W4", "a poison record goes to the dead letters and blocks nothing", notRun},
		{"W5", "the backlog is bounded: block, refuse or write synchronously, as configured", notRun},
		{"W6", "on PostgreSQL with fsync on, rows of 1 KiB: a backlog drains at least 15 times as fast as one direct writer and 3 times as sixteen", byBench + ", once write-behind is there"},
		{"W7", "`New` refuses a server that may evict the journal", notRun},
		{"W8", "after a failover that lost a tail of the journal, nothing acknowledged later is refused or lost", notRun},
	}},
	{"SQL cache", []promise{
		{"Q1", "opt-in per statement, works under database/sql (so GORM, sqlx, sqlc, ent)", notRun},
		{"Q2", "a transaction sees its own writes; nothing uncommitted is cached; commit invalidates without a stale fill", notRun},
		{"Q3", "distinct (statement, arguments, user, database) never share a key", notRun},
	}},
	{"Limits", []promise{
		{"L1", "over any trailing window at most burst + rate × t admitted, whatever the clients' clocks (in batches: and Batch for each process; sliding counter and fixed window: at most twice the rate)", notRun},
		{"L2", "a denial costs nothing: no unit, no byte of a key", notRun},
		{"L3", "every key expires", notRun},
		{"L4", "several limits decided as one", notRun},
		{"L5", "a frozen server: a decision within the timeout, by policy (allow, deny, local)", notRun},
	}},
	{"Locks", []promise{
		{"M1", "no two holders overlap by the server's order, without a failover", notRun},
		{"M2", "with one, or a holder frozen past its lease, a fenced resource never takes an older token", notRun},
		{"M3", "the holder's context ends before its lease can", notRun},
		{"M4", "a waiter gets a released lock within 50 ms (p99) without polling", notRun},
		{"M5", "a lost reply never leaves an orphan for the whole TTL", notRun},
	}},
	{"Queues and topics", []promise{
		{"J1", "at least once, 0 jobs lost, 0 in no state or two, 0 acks from an expired lease", "comes with queue"},
		{"J2", "delayed, retried with backoff, dead-lettered, unique by id; no unbounded key", "comes with queue"},
		{"J3", "a topic tells its subscriber of every gap", "comes with topic"},
	}},
	{"Sessions, boards, unique counts", []promise{
		{"S1", "concurrent requests setting different fields all survive", "comes with session"},
		{"S2", "a destroyed session never comes back", "comes with session"},
		{"B1", "order equals a big-integer model, ties first-come", "comes with board"},
		{"B2", "a sharded board answers the same as one board", "comes with board"},
		{"U1", "the union of HyperLogLogs in Go equals PFCOUNT, across slots", "comes with unique"},
	}},
	{"Documents, indexes, vectors", []promise{
		{"D1", "one script writes document and index; after any crash one sweep leaves nothing wrong", "comes with index"},
		{"D2", "a stale save never wins or resurrects", "comes with document"},
		{"D3", "expiry leaks no index entry", "comes with index"},
		{"D4", "the same query gives the same answer on the portable engine and on the server's search engine, or ErrUnsupported", "comes with index"},
		{"D5", "no value can break out of a query", "comes with index"},
		{"D6", "a migration to a new index under load loses no document", "comes with index"},
	}},
	{"Series", []promise{
		{"T1", "for any order of arrival within the lateness window every tier equals a recomputation from all samples", "comes with series"},
		{"T2", "the planner counts each sample once and reads at most maxPoints + 1 buckets", "comes with series"},
		{"T3", "a repeated sample changes nothing, one too late is refused and changes nothing", "comes with series"},
	}},
	{"Doctor and lint", []promise{
		{"O1", "read-only by an allow-list, added p99 at most 2 ms on a server with million-element keys", "comes with doctor"},
		{"O2", "every rule has a fixture that fires and one that nearly does; a clean server of each role gives 0 warnings", "comes with doctor"},
		{"O3", "a check that could not run is a SKIP with a reason, never green", "comes with doctor"},
		{"O4", "lint at least 90 % precise on code no one here wrote", "comes with lint"},
	}},
}

const notRun = "its test has not been run here; run make guarantees"

const intro = `# Guarantees

What Redstart promises, the test that holds each promise, and the figure that the test printed. Nobody writes the rows
by hand: ` + "`make guarantees`" + ` runs the fault matrix (module ` + "`faults`" + `: real processes, SIGKILL, SIGSTOP, servers killed and
restarted, a proxy that delays, holds, swallows and cuts), and each test writes its own row. ` + "`make bench PAGE=GUARANTEES.md`" + ` writes
those about speed, of which only allocations are asserted. A row without a figure says ` + "`not yet`" + ` and why.

- **Counts** (0 stale, 1 load) are asserted strictly, in every run. Each checker is seen to fail on the recipe that
  tutorials print, which stands in ` + "`faults/naive`" + `; the figure says how badly.
- **Bounds in time** are promised for a machine that is otherwise idle. The figure stands beside a control of the same
  run without the library, and beside the naive recipe.
- Not promised: exactly once; mutual exclusion across a failover; no loss with asynchronous replication; anything
  measured by clients' clocks.
`

const outro = `## Bugs found, and the test that keeps them away

| bug | fault that shows it | test |
|---|---|---|
`
