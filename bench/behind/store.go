// Package behind is what the write-behind benchmark measures: a database that is written to directly, and the same
// rows by way of a journal.
package behind

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the drivers
	_ "modernc.org/sqlite"

	"github.com/redstart-go/redstart/cache/journal/sqlsink"
	"github.com/redstart-go/redstart/redstarttest/database"
)

// RowBytes is the size of a row's body, BatchRows what one transaction writes where it writes many.
const (
	RowBytes  = 1024
	BatchRows = 1000
)

// Store is a database with one table, row(id, body, version).
type Store struct {
	db      *sql.DB
	dialect sqlsink.Dialect
	clear   string
	remove  func() error
}

// body is a row's: letters that do not compress well.
var body = func() string {
	var b strings.Builder
	x := uint32(1)
	for b.Len() < RowBytes {
		x = x*1664525 + 1013904223
		b.WriteByte('a' + byte(x>>24)%26)
	}
	return b.String()
}()

// Postgres starts a private PostgreSQL that forces every commit to the disk.
func Postgres(ctx context.Context) (*Store, error) {
	server, err := database.StartPostgres(ctx, database.Config{Unix: true, Args: []string{"-c", "max_wal_size=4GB", "-c", "autovacuum=off"}})
	if err != nil {
		return nil, err
	}
	db, err := sql.Open("pgx", server.DSN())
	if err != nil {
		return nil, errors.Join(err, server.Close())
	}
	db.SetMaxIdleConns(32)
	s := &Store{db: db, dialect: sqlsink.Postgres, clear: "TRUNCATE row", remove: server.Close}
	return s.create(ctx, "CREATE TABLE row (id bigint PRIMARY KEY, body text NOT NULL, version bigint)")
}

// SQLite makes one in a file, as services set it up: a write-ahead log, forced to the disk at checkpoints.
func SQLite(ctx context.Context) (*Store, error) {
	dir, err := os.MkdirTemp("", "redstart-bench-")
	if err != nil {
		return nil, err
	}
	remove := func() error { return os.RemoveAll(dir) }
	path := "file:" + filepath.Join(dir, "rows.sqlite") + "?_pragma=busy_timeout(30000)&_pragma=journal_mode(wal)&_pragma=synchronous(normal)"
	db, err := sql.Open("sqlite", path)
	if err != nil {
		return nil, errors.Join(err, remove())
	}
	s := &Store{db: db, dialect: sqlsink.SQLite, clear: "DELETE FROM row", remove: remove}
	return s.create(ctx, "CREATE TABLE row (id integer PRIMARY KEY, body text NOT NULL, version integer)")
}

func (s *Store) create(ctx context.Context, ddl string) (*Store, error) {
	if _, err := s.db.ExecContext(ctx, ddl); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// Close ends the database and removes it.
func (s *Store) Close() error { return errors.Join(s.db.Close(), s.remove()) }

// Clear empties the table, and has PostgreSQL write out what it has, so that the next measurement begins like the last.
func (s *Store) Clear(ctx context.Context) error {
	if _, err := s.db.ExecContext(ctx, s.clear); err != nil {
		return err
	}
	if s.dialect == sqlsink.Postgres {
		_, err := s.db.ExecContext(ctx, "CHECKPOINT")
		return err
	}
	return nil
}

// Holds makes sure that the table has so many rows.
func (s *Store) Holds(ctx context.Context, want int) error {
	var got int
	if err := s.db.QueryRowContext(ctx, "SELECT count(*) FROM row").Scan(&got); err != nil {
		return err
	}
	if got != want {
		return fmt.Errorf("the table has %d rows of %d", got, want)
	}
	return nil
}

const directly = "INSERT INTO row (id, body) VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET body = excluded.body"

// Writers has so many writers write row by row, each commit awaited, for a while, and gives the rows a second.
func (s *Store) Writers(ctx context.Context, writers int, long time.Duration) (float64, error) {
	var (
		all    sync.WaitGroup
		next   atomic.Int64
		failed atomic.Pointer[error]
	)
	began := time.Now()
	for range writers {
		all.Go(func() {
			for time.Since(began) < long {
				if _, err := s.db.ExecContext(ctx, directly, next.Add(1), body); err != nil {
					failed.CompareAndSwap(nil, &err)
					return
				}
			}
		})
	}
	all.Wait()
	took := time.Since(began)
	if p := failed.Load(); p != nil {
		return 0, *p
	}
	return float64(next.Load()) / took.Seconds(), s.Holds(ctx, int(next.Load()))
}

// Batches writes rows in transactions of 1,000 on one connection, by the statement that the database likes best.
func (s *Store) Batches(ctx context.Context, rows int) (float64, error) {
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	write := s.unnest
	if s.dialect == sqlsink.SQLite {
		write = s.values
	}
	began := time.Now()
	for from := 0; from < rows; from += BatchRows {
		if err := write(ctx, conn, from, min(from+BatchRows, rows)); err != nil {
			return 0, err
		}
	}
	took := time.Since(began)
	return float64(rows) / took.Seconds(), s.Holds(ctx, rows)
}

// unnest is one statement with an array a column, which pgx sends in the binary form.
func (s *Store) unnest(ctx context.Context, conn *sql.Conn, from, to int) error {
	ids, bodies := make([]int64, 0, to-from), make([]string, 0, to-from)
	for id := from; id < to; id++ {
		ids, bodies = append(ids, int64(id)), append(bodies, body)
	}
	_, err := conn.ExecContext(ctx, "INSERT INTO row (id, body) SELECT new.id, new.body FROM unnest($1::bigint[], $2::text[]) AS new (id, body) "+
		"ON CONFLICT (id) DO UPDATE SET body = excluded.body", ids, bodies)
	return err
}

// values is statements of 100 rows, prepared once for the transaction.
func (s *Store) values(ctx context.Context, conn *sql.Conn, from, to int) error {
	const together = 100
	tx, err := conn.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // after a commit it does nothing
	stmt, err := tx.PrepareContext(ctx, "INSERT INTO row (id, body) VALUES (?, ?)"+strings.Repeat(", (?, ?)", together-1)+
		" ON CONFLICT (id) DO UPDATE SET body = excluded.body")
	if err != nil {
		return err
	}
	defer stmt.Close()
	for ; from+together <= to; from += together {
		args := make([]any, 0, 2*together)
		for id := from; id < from+together; id++ {
			args = append(args, int64(id), body)
		}
		if _, err := stmt.ExecContext(ctx, args...); err != nil {
			return err
		}
	}
	for ; from < to; from++ {
		if _, err := tx.ExecContext(ctx, directly, int64(from), body); err != nil {
			return err
		}
	}
	return tx.Commit()
}
