// Package sqlsink writes what a journal holds into a table: PostgreSQL, SQLite,
// MySQL or MariaDB, over database/sql and whatever driver is at hand.
//
// # What
//
// [New] makes a [Sink] for cache/journal: a journal.Config's Sink that writes each
// batch in one transaction. The table is yours, as your ORM or migration made it,
// with one column more, for the version of the change that a row comes from:
//
//	ALTER TABLE album ADD COLUMN version bigint;
//
// and there is a small table beside it, the fence, which [Sink.Prepare] creates:
//
//	CREATE TABLE IF NOT EXISTS redstart_fence (
//		journal text NOT NULL,   -- MySQL: varchar(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
//		part    integer NOT NULL,
//		token   bigint NOT NULL,
//		PRIMARY KEY (journal, part)
//	);
//
// A user who may not create tables needs it made before, and SELECT, INSERT and UPDATE
// on it; on the table SELECT, INSERT, UPDATE and DELETE.
//
// # When not
//
// Where a change is not one row of one table, implement journal.Sink yourself: it has
// one method. A row that others write as well needs them to raise the version, or
// their writes and the journal's go their own ways. On MySQL the key's columns need a
// collation that tells apart what your ids tell apart: a binary one; on any database
// ids must be what the column stores (not 007 for a 7).
//
// # Guarantees
//
//   - A row's version only grows: a batch that comes twice, late or out of order puts
//     nothing old over anything new. What the guard did not let through is returned
//     with the version that stands, never dropped in silence.
//   - A batch is written whole or not at all, and with it the token of its flusher. An
//     older token's batch is refused with journal.ErrFenced before it writes a row, also
//     when both are at work at the same time: a row deletes its version with itself,
//     and only this keeps a flusher that lost its partition from bringing it back.
//   - No value is ever part of a statement, and names are quoted. Values arrive as
//     they were given or the batch fails: nothing is cut, no other row is changed that
//     happens to have one of the unique values.
//   - On PostgreSQL a process that freezes in the middle of a batch holds up its
//     partition for [Config.IdleTimeout].
//   - Rows are written in the order of their keys; a transaction that the database gave
//     up for a deadlock or the like is tried again.
//
// Durable is what the database calls committed: with synchronous_commit off, or
// innodb_flush_log_at_trx_commit other than 1, the journal gives up what a crash of the
// database may still lose.
//
// Not promised: that triggers, rules or row security let the write through. Where they
// drop it, the batch fails on PostgreSQL and SQLite.
//
// # Keys and cost
//
// No keys. A batch of any size costs PostgreSQL five round trips (begin, fence,
// upserts, deletes, commit), the columns' types being asked once. MySQL is asked
// for the rows' versions first, 500 a statement, and gets inserts and updates in
// statements of at most 4 MiB; SQLite gets a statement a row. A fence's row is updated
// once a batch.
//
// SQLite writes one transaction at a time: give the journal one or two Partitions, for
// keys that follow one another then lie in one batch and on few pages.
//
// # Example
//
//	sink, err := sqlsink.New(db, sqlsink.Config[int64, Album]{
//		Dialect: sqlsink.Postgres,
//		Table:   "album",
//		Key:     []string{"id"},
//		Columns: []string{"title", "artist_id"},
//		Row: func(_ int64, a Album) ([]any, error) {
//			return []any{a.Title, a.ArtistID}, nil
//		},
//	})
//	if err == nil {
//		err = sink.Prepare(ctx)
//	}
//
// The sink then goes into journal.Config.Sink.
package sqlsink
