package sqlsink

import (
	"context"
	"database/sql"
	"errors"

	"github.com/redstart-go/redstart/cache/journal"
)

// sqlite writes row by row with statements prepared once a batch: there is no round
// trip to save, each row tells whether the guard let it through, and an error is its
// row's. The transaction's first statement writes (the fence), so SQLite takes its
// write lock there, and a busy timeout holds. One transaction of this process's is
// under way at a time: who finds the file locked sleeps for longer than another's
// takes.
type sqlite struct {
	table
	turn           chan struct{}
	put, del, held string
	known          string // asks for the columns
}

func newSQLite(t table) *sqlite {
	target := quoteTable(t.name, ansi)
	keys := list(t.columns[:t.keys], "", ansi)
	version := "held." + ansi(t.version())
	where := each(t.columns[:t.keys], " AND ", func(_ int, name string) string { return ansi(name) + " = ?" })
	return &sqlite{
		table: t,
		turn:  make(chan struct{}, 1),
		put: "INSERT INTO " + target + " AS held (" + list(t.columns, "", ansi) + ") VALUES (" +
			each(t.columns, ", ", func(int, string) string { return "?" }) + ") ON CONFLICT (" + keys + ") DO UPDATE SET " +
			each(t.columns[t.keys:], ", ", func(_ int, name string) string { return ansi(name) + " = excluded." + ansi(name) }) +
			" WHERE " + version + " IS NULL OR " + version + " < excluded." + ansi(t.version()),
		del:  "DELETE FROM " + target + " AS held WHERE " + where + " AND (" + version + " IS NULL OR " + version + " < ?)",
		held: "SELECT " + version + " FROM " + target + " AS held WHERE " + where,
		// Qualified: a double-quoted name that is no column would be taken for a text.
		known: "SELECT " + list(t.columns, "held.", ansi) + " FROM " + target + " AS held WHERE 0",
	}
}

// begin waits for its turn. SQLite has one level of isolation.
func (s *sqlite) begin(ctx context.Context, db *sql.DB) (*sql.Tx, func(), error) {
	select {
	case s.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		<-s.turn
	}
	return tx, func() { <-s.turn }, err
}

func (*sqlite) gaveUp(err error) bool {
	const busy, locked = 5, 6 // the upper bytes say more
	code := number(err) & 0xff
	return code == busy || code == locked
}

func (*sqlite) prepare(record) error { return nil }

// check has SQLite compile the statements: it says when a column is not there, or
// when no unique index is on the Key.
func (s *sqlite) check(ctx context.Context, db *sql.DB) error {
	for _, text := range []string{s.known, "EXPLAIN " + s.put} {
		args := make([]any, 0, len(s.columns))
		if text != s.known {
			args = args[:cap(args)] // NULLs
		}
		if err := ask(ctx, db, text, args...); err != nil {
			return err
		}
	}
	return nil
}

func (s *sqlite) upsert(ctx context.Context, tx *sql.Tx, records []record) ([]journal.Refused, error) {
	return s.each(ctx, tx, s.put, records)
}

func (s *sqlite) remove(ctx context.Context, tx *sql.Tx, records []record) ([]journal.Refused, error) {
	return s.each(ctx, tx, s.del, records)
}

// each runs a statement for every record, and asks for the version that stands where
// it changed nothing.
func (s *sqlite) each(ctx context.Context, tx *sql.Tx, text string, records []record) (refused []journal.Refused, err error) {
	stmt, err := tx.PrepareContext(ctx, text)
	if err != nil {
		return nil, err
	}
	defer stmt.Close()
	for _, r := range records {
		n, err := affected(stmt.ExecContext(ctx, r.values...))
		if err != nil {
			return nil, s.blame(r, err)
		}
		if n > 0 {
			continue
		}
		var stored int64
		err = tx.QueryRowContext(ctx, s.held, r.values[:s.keys]...).Scan(&stored)
		switch {
		case errors.Is(err, sql.ErrNoRows) && text == s.del:
		case errors.Is(err, sql.ErrNoRows):
			return nil, errors.New("a row was neither written nor refused; does a trigger drop it?")
		case err != nil:
			return nil, err
		default:
			refused = append(refused, journal.Refused{Index: r.index, Stored: stored})
		}
	}
	return refused, nil
}

// blame says that the record is what SQLite will not take, where that is the error's
// kind; a full disk or a lost file is nobody's fault.
func (s *sqlite) blame(r record, err error) error {
	const tooBig, constraint, mismatch = 18, 19, 20
	const check, notNull = constraint | 1<<8, constraint | 5<<8
	switch code := number(err); {
	case code&0xff == tooBig, code&0xff == mismatch, code == check, code == notNull:
		return &journal.RecordError{Index: r.index, Err: journal.Permanent(err)}
	case code&0xff == constraint:
		return &journal.RecordError{Index: r.index, Err: err}
	}
	return err
}
