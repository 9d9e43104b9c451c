package faults

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	_ "modernc.org/sqlite"             // the driver "sqlite"

	"github.com/redstart-go/redstart/cache/journal"
	"github.com/redstart-go/redstart/cache/journal/sqlsink"
	"github.com/redstart-go/redstart/faults/history"
	"github.com/redstart-go/redstart/faults/naive"
)

// note is what is written: the number of its write, and whatever else.
type note struct {
	Write uint64
	Text  string
}

// poisonText is what the table takes in no row.
const poisonText = "poison"

// notesAt is where notes go: a table, and beside it another in which the
// database notes every change that it makes to the first.
type notesAt struct {
	Dialect sqlsink.Dialect
	DSN     string
	Table   string
}

func (n notesAt) open() (*sql.DB, error) {
	driver := "pgx"
	if n.Dialect == sqlsink.SQLite {
		driver = "sqlite"
	}
	db, err := sql.Open(driver, n.DSN)
	if err == nil && n.Dialect == sqlsink.SQLite {
		db.SetMaxOpenConns(2)
	}
	return db, err
}

// sqliteIn is a file in a folder, for several processes.
func sqliteIn(dir, table string) notesAt {
	return notesAt{
		Dialect: sqlsink.SQLite, Table: table,
		DSN: "file:" + dir + "/" + table + ".sqlite?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_txlock=immediate",
	}
}

func (n notesAt) sink(db *sql.DB) (*sqlsink.Sink[int64, note], error) {
	return sqlsink.New(db, sqlsink.Config[int64, note]{
		Dialect: n.Dialect, Table: n.Table, Key: []string{"id"}, Columns: []string{"number", "body"}, Fence: n.Table + "_fence",
		Row: func(_ int64, v note) ([]any, error) { return []any{int64(v.Write), v.Text}, nil }, //nolint:gosec // below 2^63
	})
}

// bare is a sink without versions to compare and without a fence.
func (n notesAt) bare(db *sql.DB) journal.Sink[int64, note] {
	return journal.SinkFunc[int64, note](func(ctx context.Context, b journal.Batch[int64, note]) ([]journal.Refused, error) {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return nil, err
		}
		for _, c := range b.Changes {
			if c.Deleted {
				_, err = tx.ExecContext(ctx, "DELETE FROM "+n.Table+" WHERE id = $1", c.ID)
			} else {
				_, err = tx.ExecContext(ctx, "INSERT INTO "+n.Table+" (id, number, body, version) VALUES ($1, $2, '', $3) ON CONFLICT (id) DO UPDATE SET number = excluded.number, version = excluded.version",
					c.ID, int64(c.Value.Write), c.Version) //nolint:gosec // below 2^63
			}
			if err != nil {
				return nil, errors.Join(err, tx.Rollback())
			}
		}
		return nil, tx.Commit()
	})
}

// bulk is what the naive recipe inserts with.
func (n notesAt) bulk(db *sql.DB) func(context.Context, []naive.Item) error {
	return func(ctx context.Context, batch []naive.Item) error {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		for _, item := range batch {
			var id, number int64
			if _, err := fmt.Sscan(item.Key, &id); err != nil {
				return errors.Join(err, tx.Rollback())
			}
			if item.Deleted {
				_, err = tx.ExecContext(ctx, "DELETE FROM "+n.Table+" WHERE id = $1", id)
			} else if _, err = fmt.Sscan(item.Data, &number); err == nil {
				_, err = tx.ExecContext(ctx, "INSERT INTO "+n.Table+" (id, number, body) VALUES ($1, $2, '') ON CONFLICT (id) DO UPDATE SET number = excluded.number", id, number)
			}
			if err != nil {
				return errors.Join(err, tx.Rollback())
			}
		}
		return tx.Commit()
	}
}

// notes is the table as the test sees it.
type notesTable struct {
	notesAt

	t  *testing.T
	db *sql.DB
}

// prepare makes the tables.
func (n notesAt) prepare(t *testing.T) *notesTable {
	t.Helper()
	db, err := n.open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	table := &notesTable{notesAt: n, t: t, db: db}
	table.exec(fmt.Sprintf(`CREATE TABLE %s (id bigint PRIMARY KEY, number bigint NOT NULL, body text NOT NULL,
		version bigint NOT NULL DEFAULT 0, CONSTRAINT %s_fine CHECK (body <> '%s'))`, n.Table, n.Table, poisonText))
	if n.Dialect == sqlsink.SQLite {
		table.exec("CREATE TABLE " + n.Table + "_made (n INTEGER PRIMARY KEY AUTOINCREMENT, id bigint, number bigint, version bigint, deleted boolean)")
		for op, row := range map[string]string{"INSERT": "NEW", "UPDATE": "NEW", "DELETE": "OLD"} {
			table.exec(fmt.Sprintf(`CREATE TRIGGER %[1]s_%[2]s AFTER %[2]s ON %[1]s BEGIN
				INSERT INTO %[1]s_made (id, number, version, deleted) VALUES (%[3]s.id, %[3]s.number, %[3]s.version, '%[2]s' = 'DELETE'); END`, n.Table, op, row))
		}
	} else {
		table.exec("CREATE TABLE " + n.Table + "_made (n bigserial PRIMARY KEY, id bigint, number bigint, version bigint, deleted boolean)")
		table.exec(fmt.Sprintf(`CREATE FUNCTION %[1]s_note() RETURNS trigger AS $$ BEGIN
			IF TG_OP = 'DELETE' THEN
				INSERT INTO %[1]s_made (id, number, version, deleted) VALUES (OLD.id, OLD.number, OLD.version, true);
			ELSE
				INSERT INTO %[1]s_made (id, number, version, deleted) VALUES (NEW.id, NEW.number, NEW.version, false);
			END IF;
			RETURN NULL; END $$ LANGUAGE plpgsql`, n.Table))
		table.exec(fmt.Sprintf("CREATE TRIGGER %[1]s_noted AFTER INSERT OR UPDATE OR DELETE ON %[1]s FOR EACH ROW EXECUTE FUNCTION %[1]s_note()", n.Table))
	}
	sink, err := n.sink(db)
	if err == nil {
		err = sink.Prepare(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func (n *notesTable) exec(query string, args ...any) {
	n.t.Helper()
	if _, err := n.db.ExecContext(n.t.Context(), query, args...); err != nil {
		n.t.Fatalf("%s: %v", query, err)
	}
}

// query reads all rows of a query; a database that was killed may need a moment.
func (n *notesTable) query(query string, scan func(*sql.Rows) error) {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(n.t.Context(), time.Minute)
	defer cancel()
	rows, err := n.db.QueryContext(ctx, query)
	for err != nil && ctx.Err() == nil {
		rest(ctx, 50*time.Millisecond)
		rows, err = n.db.QueryContext(ctx, query)
	}
	if err != nil {
		n.t.Fatalf("%s: %v", query, err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows); err != nil {
			n.t.Fatalf("%s: %v", query, err)
		}
	}
	if err := rows.Err(); err != nil {
		n.t.Fatalf("%s: %v", query, err)
	}
}

// rows is what the table holds.
func (n *notesTable) rows() map[uint32]history.Row {
	n.t.Helper()
	all := map[uint32]history.Row{}
	n.query("SELECT id, number, version FROM "+n.Table, func(rows *sql.Rows) error {
		var id, number, version int64
		err := rows.Scan(&id, &number, &version)
		all[uint32(id)] = history.Row{Write: uint64(number), Version: version} //nolint:gosec // as they were written
		return err
	})
	return all
}

// made is every change that the database made, in its order.
func (n *notesTable) made() (all []history.Told) {
	n.t.Helper()
	n.query("SELECT id, number, version, deleted FROM "+n.Table+"_made ORDER BY n", func(rows *sql.Rows) error {
		var id, number, version int64
		var deleted bool
		err := rows.Scan(&id, &number, &version, &deleted)
		all = append(all, history.Told{Key: uint32(id), Write: uint64(number), Version: version, Deleted: deleted}) //nolint:gosec // as they were written
		return err
	})
	return all
}
