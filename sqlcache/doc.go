// Package sqlcache caches results of SQL in Redis, in front of any database that
// has a database/sql driver.
//
// # What
//
// [Cache.Open] and [Cache.OpenDB] give a *sql.DB whose connections pass the cache.
// A statement asks for it by a comment, and so says for how long its result may
// live and which tags it carries:
//
//	/* cache ttl=30s tags=track,album */ SELECT …
//
// or its context does ([With]), for ORMs and code generators that cannot comment.
// Everything else passes through untouched, with every optional interface of the
// driver: it costs a look into a table of known texts. Without tags a result
// carries the names of the tables in FROM and JOIN, without schemas, in lower
// case.
//
// A write ends the results that carry its tables' names, and the tags in its
// comment (/* cache invalidates=charts */) or context ([Invalidating]): INSERT,
// UPDATE, DELETE, REPLACE, MERGE, TRUNCATE, COPY, also in a WITH. A statement that
// may change anything (DDL, CALL, what is not understood) ends all results of the
// database, unless its comment or context says what it ends. So prepared
// statements, and BEGIN, COMMIT and the rest as text.
//
// It works under what stands on database/sql: GORM and sqlx (see examples), ent
// (open its driver with entsql.OpenDB) and sqlc's code for database/sql, where
// With(ctx, …) asks. A comment that is misspelled (ttl=30) is an error of the
// statement; one that merely begins with the word is a comment.
//
// # When not
//
// pgx's own pool (pgxpool) is no database/sql: use pgx/v5/stdlib. Not for reads
// that a lagging replica of the database answers, for the invalidation comes
// before the replica's news. Not where others write the tables: what does not
// pass a wrapping must call [Cache.Invalidate]. Not for row-level security by
// settings of the session: such a session is noticed where it sets them, and not
// cached. [Unwrap] gives the driver's connection in sql.Conn.Raw.
//
// # Guarantees
//
//   - Opt-in for each statement; what did not opt in, and what is loaded, is as
//     without: rows, types of columns, errors (Q1).
//   - A transaction sees its own writes: after its first one it reads past the
//     cache. Nothing uncommitted is ever cached, for nothing is stored from inside
//     a transaction: one that reads what is committed (PostgreSQL's default, and
//     an explicit read committed) is served what is cached until it writes; any
//     stricter level sees a snapshot, which a cache does not know, and reads past
//     it. What a commit changes is held in Redis from before the commit is sent
//     until after it has returned, so that no reader between commit and
//     invalidation is served, or stores, the old value. Death between the two
//     costs readers Config.Lease of reads past the cache, and leaves nothing
//     stale. A commit whose outcome is unknown counts as one. A rollback touches
//     nothing (MySQL, which commits in between and has tables that cannot: it ends
//     what was written), nor does a statement that PostgreSQL refused (Q2).
//   - Results are kept apart by statement, arguments with their types, the
//     database's name, and what the connection is asked: database, user, search
//     path, time zone. After SET of one of these it is asked again; a session that
//     has something else of its own (a temporary table, another setting, ATTACH) is
//     never cached. A key is a SHA-256 of that, each part with its length and type
//     in front (Q3).
//   - Never cached: errors, results read by half, several result sets, FOR UPDATE,
//     FOR SHARE and LOCK IN SHARE MODE, functions that give another result each
//     time (now, random, nextval, CURRENT_DATE, last_insert_id, SQLite's
//     date('now') and their like, a list in words.go), SELECT INTO, user variables,
//     results beyond MaxRows and MaxBytes (they stream to who asked), columns or
//     arguments of types that cannot be written exactly.
//
// What the text does not tell, Config.Also or tags must: views, triggers,
// cascading keys, partitions, functions of one's own that read or write tables.
// Until then the TTL bounds what they leave. In a held tag's stead Redis must not
// be evicting what was just written. A database that takes longer than the Lease
// to finish the commit of a client that is dead, and a failover of Redis that
// loses its last writes, are outside the promise.
//
// While Redis is away reads go to the database, at most
// redstart.Config.OutageLoads at once, and fail with redstart.ErrUnavailable
// beyond; a write fails before the database is touched (a transaction's commit
// rolls back), for it could not be told to anybody: a cache that came back would
// serve what it changed. Config.InOutage chooses otherwise.
//
// # Keys and cost
//
// "sql:shop:<hash>" for a result of the Database "shop": 43 characters, the rows
// in a binary form of their own. Beside them the tags of package cache. A hit is
// its GET and one for each tag in one round trip, and asks the database nothing; a
// miss adds four commands to the query. A connection is asked once who it is. A
// write costs two round trips to Redis, so does a commit; reads that did not ask
// cost none. A load runs on the caller's own connection, with his context; only
// a refresh ahead, or a load whose caller has gone while others wait, opens one of
// at most Config.Connections that belong to the cache. MySQL's driver prepares
// writes with arguments unless interpolateParams is set: the first on each
// connection is held twice.
//
// # Example
//
// See [Cache.OpenDB], [Cache.Open], [With], [Cache.Invalidate].
package sqlcache
