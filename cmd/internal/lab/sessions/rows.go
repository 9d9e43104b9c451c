package sessions

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/redstart-go/redstart/cmd/internal/chart"
	"github.com/redstart-go/redstart/cmd/internal/database"
)

// The table of sessions, and behind it what its triggers note: every row that was written, by the number of the write.
const (
	tableName = "lab_session"
	notesName = "lab_session_notes"
	keyColumn = "id"
)

// columns are the others; versionColumn guards a row for those who can.
var columns = []string{"owner", "seq", "expires_at", "document"}

const versionColumn = "version"

// values are those of the columns.
func (s Session) values() ([]any, error) {
	text, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	return []any{s.User, s.Seq, s.Expires.UnixMilli(), string(text)}, nil
}

var sqliteTable = []string{
	`CREATE TABLE lab_session (id TEXT PRIMARY KEY, owner TEXT NOT NULL, seq INTEGER NOT NULL, expires_at INTEGER NOT NULL,
		document TEXT NOT NULL, version INTEGER)`,
	`CREATE TABLE lab_session_notes (id TEXT NOT NULL, seq INTEGER NOT NULL, gone INTEGER NOT NULL)`,
	`CREATE TRIGGER lab_noted_1 AFTER INSERT ON lab_session BEGIN INSERT INTO lab_session_notes VALUES (NEW.id, NEW.seq, 0); END`,
	`CREATE TRIGGER lab_noted_2 AFTER UPDATE ON lab_session BEGIN INSERT INTO lab_session_notes VALUES (NEW.id, NEW.seq, 0); END`,
	`CREATE TRIGGER lab_noted_3 AFTER DELETE ON lab_session BEGIN INSERT INTO lab_session_notes VALUES (OLD.id, OLD.seq, 1); END`,
}

var sqliteUnnoted = []string{"DROP TRIGGER lab_noted_1", "DROP TRIGGER lab_noted_2", "DROP TRIGGER lab_noted_3"}

var postgresTable = []string{
	`CREATE TABLE lab_session (id text PRIMARY KEY, owner text NOT NULL, seq bigint NOT NULL, expires_at bigint NOT NULL,
		document text NOT NULL, version bigint)`,
	`CREATE TABLE lab_session_notes (id text NOT NULL, seq bigint NOT NULL, gone integer NOT NULL)`,
	`CREATE FUNCTION lab_note() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		IF TG_OP = 'DELETE' THEN
			INSERT INTO lab_session_notes VALUES (OLD.id, OLD.seq, 1);
		ELSE
			INSERT INTO lab_session_notes VALUES (NEW.id, NEW.seq, 0);
		END IF;
		RETURN NULL;
	END $$`,
	`CREATE TRIGGER lab_noted AFTER INSERT OR UPDATE OR DELETE ON lab_session FOR EACH ROW EXECUTE FUNCTION lab_note()`,
}

var postgresUnnoted = []string{"DROP TRIGGER lab_noted ON lab_session"}

// makeTable makes the table, and has what is written noted.
func makeTable(ctx context.Context, db *sql.DB, kind database.Kind) error {
	if kind == database.Postgres {
		return run(ctx, db, postgresTable)
	}
	return run(ctx, db, sqliteTable)
}

// stopNoting has the table written as fast as it can be.
func stopNoting(ctx context.Context, db *sql.DB, kind database.Kind) error {
	if kind == database.Postgres {
		return run(ctx, db, postgresUnnoted)
	}
	return run(ctx, db, sqliteUnnoted)
}

func run(ctx context.Context, db *sql.DB, statements []string) error {
	for _, s := range statements {
		if _, err := db.ExecContext(ctx, s); err != nil {
			return fmt.Errorf("%.40s…: %w", s, err)
		}
	}
	return nil
}

// readRows gives the number of the write that left each row.
func readRows(ctx context.Context, db *sql.DB) (map[string]int64, error) {
	rows, err := db.QueryContext(ctx, "SELECT id, seq FROM "+tableName)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	out := map[string]int64{}
	for rows.Next() {
		var id string
		var seq int64
		if err := rows.Scan(&id, &seq); err != nil {
			return nil, err
		}
		out[id] = seq
	}
	return out, rows.Err()
}

// noted is what the database wrote.
type noted struct {
	puts map[int64]int // how often the write of a number
	gone map[string]bool
	rows int
}

func readNotes(ctx context.Context, db *sql.DB) (*noted, error) {
	rows, err := db.QueryContext(ctx, "SELECT id, seq, gone FROM "+notesName)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	n := &noted{puts: map[int64]int{}, gone: map[string]bool{}}
	for rows.Next() {
		var id string
		var seq int64
		var gone int
		if err := rows.Scan(&id, &seq, &gone); err != nil {
			return nil, err
		}
		n.rows++
		if gone != 0 {
			n.gone[id] = true
		} else {
			n.puts[seq]++
		}
	}
	return n, rows.Err()
}

// duplicates counts the writes that were written again, each time.
func (n *noted) duplicates() int {
	sum := 0
	for _, times := range n.puts {
		sum += times - 1
	}
	return sum
}

// wrote tells whether a write has been a row of its own, or has removed one.
func (n *noted) wrote(a acked) bool {
	if a.out {
		return n.gone[a.id]
	}
	return n.puts[a.n] > 0
}

// spared counts the acknowledged writes that cost no row of their own, since a later one of the session went in their place.
func (n *noted) spared(l *ledger, lost map[int64]bool) int {
	sum := 0
	for id, acks := range l.acked {
		for _, a := range acks {
			if !n.wrote(acked{id, a}) && !lost[a.n] {
				sum++
			}
		}
	}
	return sum
}

// table writes sessions into the table as anyone would who keeps no versions: several in a statement, over what is there.
type table struct {
	db    *sql.DB
	place database.Place
}

func openTable(p database.Place) (*table, error) {
	db, err := p.Open()
	return &table{db, p}, err
}

// change is a session as it is to be; without a document: gone.
type change struct {
	id  string
	doc *Session
}

// write writes changes in one transaction, of each session the last.
func (t *table) write(ctx context.Context, changes []change) (err error) {
	last := map[string]int{}
	for i, c := range changes {
		last[c.id] = i
	}
	var gone, put []any
	for i, c := range changes {
		switch {
		case last[c.id] != i:
		case c.doc == nil:
			gone = append(gone, c.id)
		default:
			v, err := c.doc.values()
			if err != nil {
				return err
			}
			put = append(append(put, c.id), v...)
		}
	}
	tx, err := t.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, tx.Rollback())
		}
	}()
	if n := len(put) / (len(columns) + 1); n > 0 {
		if _, err := tx.ExecContext(ctx, t.place.Bind(upsert(n)), put...); err != nil {
			return err
		}
	}
	if len(gone) > 0 {
		in := strings.Repeat(", ?", len(gone))[2:]
		if _, err := tx.ExecContext(ctx, t.place.Bind("DELETE FROM "+tableName+" WHERE id IN ("+in+")"), gone...); err != nil {
			return err
		}
	}
	return tx.Commit()
}

// upsert writes n rows over what is there.
func upsert(n int) string {
	row := "(" + strings.Repeat(", ?", len(columns)+1)[2:] + ")"
	set := make([]string, len(columns))
	for i, c := range columns {
		set[i] = c + " = excluded." + c
	}
	return "INSERT INTO " + tableName + " (" + keyColumn + ", " + strings.Join(columns, ", ") + ") VALUES " +
		strings.Repeat(", "+row, n)[2:] + " ON CONFLICT (id) DO UPDATE SET " + strings.Join(set, ", ")
}

// directRecipe is what write-behind is measured against: every write goes to the database before it is acknowledged.
func directRecipe() recipe {
	return recipe{
		name: "direct", tone: chart.Calm,
		open: func(_ context.Context, s stand) (keeper, error) {
			t, err := openTable(s.Place)
			return &direct{t}, err
		},
	}
}

type direct struct{ *table }

func (d *direct) Save(ctx context.Context, s Session) error {
	return d.write(ctx, []change{{s.ID, &s}})
}

func (d *direct) End(ctx context.Context, id string) error { return d.write(ctx, []change{{id, nil}}) }

func (d *direct) Drain(context.Context) error { return nil }

func (d *direct) Close() { d.db.Close() }
