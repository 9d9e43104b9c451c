// Package sqlcache caches the results of SQL statements in front of any
// database/sql driver, and ends them when what they were read from is written.
//
// # What
//
// A [Cache] wraps a driver: [Cache.Open] and [Cache.OpenDB] give a *sql.DB, so
// that GORM, sqlx, sqlc and ent work on it unchanged. A read is cached if it asks
// for it, by a comment,
//
//	/* cache ttl=30s tags=track,album */ SELECT …
//
// or by its context, [With], where a library writes the statements. Everything
// else passes through. Without tags a result carries the tables that its statement
// names. A write ends what carries the tables that it names; a comment
// (/* cache invalidates=… */) or [Invalidating] adds tags; [Cache.Invalidate] and
// [Cache.Clear] are for writes that no wrapping sees. What a statement may change
// that cannot be told from its text (CALL, DDL, EXECUTE, a statement that cannot
// be read) ends everything, unless it says which tags.
//
// # When not
//
// Where others write past the wrapping and do not call Invalidate, or where each
// result is read once. pgx's own pool is not database/sql; use its stdlib
// package. What a driver scans by itself into types of its own (pgx: arrays into
// slices, ScanColumn) needs an uncached statement where no value of database/sql
// can be scanned so.
//
// A table's triggers, cascading keys, views, partitions and functions that read
// tables are not in a statement's text: name them in Config.Also, or by tags.
//
// # Guarantees
//
//   - What asks for nothing behaves as without the wrapping, optional interfaces of
//     the driver included, and costs at most 2 µs more. A cached result shows the
//     same columns, types and values (Q1).
//   - A write holds what it changes before it reaches the database (a transaction
//     before its COMMIT) and ends it after: no read that begins after a commit has
//     returned gives what was before it, from whatever process, and none is cached
//     that was read before (Q2). What holds is the server's; a process that dies
//     between the commit and the invalidation costs the readers loads of their
//     own for Config.Lease, and nothing stale. The recipe (DEL after the commit)
//     leaves the old result until its TTL ends then, and lets a slow reader bring
//     it back. This holds without a near tier; with one (NearBytes) from the
//     server's message on.
//   - A transaction sees its own writes: after its first one nothing is cached or
//     read from the cache. Before it, it reads what is cached at read committed
//     alone, and never fills. A rollback leaves the cache as it was; a commit whose
//     outcome is not known counts as one.
//   - Statement, arguments with their types, database, user, search path and what
//     else a session is asked for never share a key if they differ (Q3). After
//     something that nobody can ask for (SET of a setting of one's own, a
//     temporary table) the connection is not used for cached results.
//   - Never cached: errors, results that were not read to the end, several result
//     sets, more than MaxRows or MaxBytes, locking reads, functions that give
//     another value each time.
//   - While Redis is away reads go to the database, and a write fails before it has
//     touched it, or goes on (Config.InOutage).
//
// It does not promise anything across a failover of Redis that loses its last
// writes, nor of a process that is frozen for longer than Config.Lease between
// the hold and the commit and never wakes.
//
// # Keys and cost
//
// A result is one entry of package cache at "sql:<database>:<hash>", a tag one key
// of 16 bytes beside it. A hit is one GET, and one for each tag and for Clear, in
// one round trip; a miss adds what a load of package cache does. A write is one
// script a tag before it and one after it: two round trips. Identity is one
// question to the database for each connection. A load runs over the caller's own
// connection; for refreshes the cache opens up to Config.Connections of its own.
//
// # Example
//
// See [Cache.OpenDB], [With].
package sqlcache
