package sqlsink

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/redstart-go/redstart/cache/journal"
)

// Dialect is the database behind the *sql.DB. The zero value is none.
type Dialect int

// The databases that a sink can write to.
const (
	_        Dialect = iota
	Postgres         // PostgreSQL 13 and later
	SQLite           // SQLite 3.24 and later
	MySQL            // MySQL 5.7 and MariaDB 10.3 and later
)

// Config says where the rows go and how a change becomes one. Names are spelled as
// the database's catalogue has them, and are quoted.
type Config[K comparable, V any] struct {
	Dialect Dialect
	// Table is "table" or "schema.table".
	Table string
	// Key are the columns that hold the id. A unique index or the primary key must
	// be on exactly these.
	Key []string
	// ID gives the values of the Key columns. nil: the id itself, in one column.
	ID func(id K) []any
	// Columns are the others that a change writes. A row that is there keeps what it
	// has in any further column; one that is inserted gets the column's default.
	Columns []string
	// Row gives the values of Columns, in their order: whatever database/sql takes,
	// nil for NULL. An error says that this change cannot be written (it becomes a
	// dead letter).
	Row func(id K, value V) ([]any, error)
	// Version is the column of the guard, a bigint; "": "version". NULL is older than
	// any version, so the column may be added to a table that has rows.
	Version string
	// Fence is the table that holds the tokens, "table" or "schema.table"; "":
	// "redstart_fence". Journals may share it when their names differ.
	Fence string
	// IdleTimeout is how long PostgreSQL waits for a client that is silent in the middle
	// of a batch, before it gives the transaction up: what a process that freezes there
	// costs its partition, whose fence it holds. Rounded up to milliseconds. Negative: as
	// the server is set. Default: 5 s. On MariaDB it is set in the data source's name
	// (idle_write_transaction_timeout), MySQL and SQLite have none.
	IdleTimeout time.Duration
}

// Sink writes batches of a journal into one table. It is safe for concurrent use.
type Sink[K comparable, V any] struct {
	db      *sql.DB
	cfg     Config[K, V]
	columns []string // Key, Columns, Version
	keys    int
	dialect writer
	fences  statements
	checked atomic.Bool
}

// statements about the fence.
type statements struct {
	create string // makes the table if it is not there
	raise  string // journal, partition, token: changes no row when the token is too old
	stored string // journal, partition: the token that is stored
	says   bool   // raise gives the token that it stored
}

// record is a change as the database takes it.
type record struct {
	index   int   // in the batch
	values  []any // of Key, then of Columns, then the version; of a delete without Columns
	version int64
}

// writer is what the databases do differently.
type writer interface {
	// check asks once what must be known of the table, and says what is wrong with it.
	check(ctx context.Context, db *sql.DB) error
	// prepare says what is wrong with a record, without asking the database; after check.
	prepare(r record) error
	// upsert and remove write the records, sorted by key, and give those that the
	// guard refused.
	upsert(ctx context.Context, tx *sql.Tx, records []record) ([]journal.Refused, error)
	remove(ctx context.Context, tx *sql.Tx, records []record) ([]journal.Refused, error)
	// begin begins a transaction, at read committed where there is a choice; done is
	// called after its end.
	begin(ctx context.Context, db *sql.DB) (tx *sql.Tx, done func(), err error)
	// gaveUp says whether the database gave the transaction up for another's sake (a
	// deadlock, a lock that was not to be had in time): it may be tried again at once.
	gaveUp(err error) bool
}

// New makes a sink. It sends nothing; every invalid field is reported. See
// [Sink.Prepare] for the fence's table.
func New[K comparable, V any](db *sql.DB, cfg Config[K, V]) (*Sink[K, V], error) {
	if cfg.Version == "" {
		cfg.Version = "version"
	}
	if cfg.Fence == "" {
		cfg.Fence = "redstart_fence"
	}
	if cfg.IdleTimeout == 0 {
		cfg.IdleTimeout = 5 * time.Second
	}
	if err := errors.Join(cfg.wrong(db)...); err != nil {
		return nil, err
	}
	if cfg.ID == nil {
		cfg.ID = func(id K) []any { return []any{id} }
	}
	columns := make([]string, 0, len(cfg.Key)+len(cfg.Columns)+1)
	columns = append(append(append(columns, cfg.Key...), cfg.Columns...), cfg.Version)
	s := &Sink[K, V]{db: db, cfg: cfg, columns: columns, keys: len(cfg.Key)}
	t := table{name: cfg.Table, columns: columns, keys: s.keys}
	switch cfg.Dialect {
	case Postgres:
		s.dialect, s.fences = newPostgres(t), postgresFence(cfg.Fence, cfg.IdleTimeout)
	case SQLite:
		s.dialect, s.fences = newSQLite(t), sqliteFence(cfg.Fence)
	case MySQL:
		s.dialect, s.fences = newMySQL(t), mysqlFence(cfg.Fence)
	}
	return s, nil
}

func (cfg *Config[K, V]) wrong(db *sql.DB) []error {
	var wrong []error
	bad := func(field, format string, args ...any) {
		wrong = append(wrong, errors.New("redstart/cache/journal/sqlsink: config: "+field+": "+fmt.Sprintf(format, args...)))
	}
	if db == nil {
		wrong = append(wrong, errors.New("redstart/cache/journal/sqlsink: no database"))
	}
	if cfg.Dialect < Postgres || cfg.Dialect > MySQL {
		bad("Dialect", "want Postgres, SQLite or MySQL")
	}
	for field, name := range map[string]string{"Table": cfg.Table, "Fence": cfg.Fence} {
		if err := checkTable(name); err != nil {
			bad(field, "%v", err)
		}
	}
	if cfg.Table == cfg.Fence {
		bad("Fence", "the table of the rows itself")
	}
	if len(cfg.Key) == 0 {
		bad("Key", "no column")
	}
	if len(cfg.Key) > 1 && cfg.ID == nil {
		bad("ID", "an id in %d columns needs it", len(cfg.Key))
	}
	if (len(cfg.Columns) > 0) != (cfg.Row != nil) {
		bad("Row", "it goes with Columns")
	}
	seen := map[string]bool{}
	for _, column := range [][]string{cfg.Key, cfg.Columns, {cfg.Version}} {
		for _, name := range column {
			if err := checkName(name); err != nil {
				bad("Key, Columns, Version", "%v", err)
			}
			if seen[strings.ToLower(name)] {
				bad("Key, Columns, Version", "%q twice", name)
			}
			seen[strings.ToLower(name)] = true
		}
	}
	return wrong
}
