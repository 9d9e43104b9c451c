package sinks

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/cache/journal"
	"github.com/redstart-go/redstart/cache/journal/sqlsink"
)

type (
	change = journal.Change[int64, string]
	batch  = journal.Batch[int64, string]
)

// plain is a sink on a plain table: an id, a body, an unrelated column with a
// default, and the version.
type plain struct {
	d     dialect
	db    *sql.DB
	name  string
	fence string
	sink  *sqlsink.Sink[int64, string]
}

func newPlain(t *testing.T, d dialect) *plain {
	t.Helper()
	p := &plain{d: d, db: d.open(t), name: fresh("plain"), fence: fresh("fence")}
	exec(t, p.db, "CREATE TABLE "+p.name+" (id bigint PRIMARY KEY, body "+d.text+" NOT NULL, seen integer NOT NULL DEFAULT 7, version "+d.big+")")
	p.sink = p.another(t, p.db)
	must(t, p.sink.Prepare(t.Context()))
	must(t, p.sink.Prepare(t.Context())) // again: no error
	return p
}

func (p *plain) another(t *testing.T, db *sql.DB) *sqlsink.Sink[int64, string] {
	t.Helper()
	s, err := sqlsink.New(db, sqlsink.Config[int64, string]{
		Dialect: p.d.dialect, Table: p.name, Key: []string{"id"}, Columns: []string{"body"}, Fence: p.fence,
		Row: func(_ int64, v string) ([]any, error) {
			if v == "no row" {
				return nil, errors.New("not writable")
			}
			return []any{v}, nil
		},
	})
	must(t, err)
	return s
}

// rows gives what the table holds as "id=body@version".
func (p *plain) rows(t *testing.T) string {
	t.Helper()
	rows, err := p.db.QueryContext(t.Context(), "SELECT id, body, COALESCE(version, -1) FROM "+p.name+" ORDER BY id")
	must(t, err)
	defer rows.Close()
	var all []string
	for rows.Next() {
		var id, version int64
		var body string
		must(t, rows.Scan(&id, &body, &version))
		all = append(all, fmt.Sprintf("%d=%s@%d", id, body, version))
	}
	must(t, rows.Err())
	return strings.Join(all, " ")
}

func (p *plain) apply(t *testing.T, token int64, changes ...change) []journal.Refused {
	t.Helper()
	refused, err := p.sink.Apply(t.Context(), batch{Journal: "j", Partition: 3, Token: token, Changes: changes})
	if err != nil {
		t.Fatalf("Apply: %v", err)
	}
	return refused
}

func set(id int64, body string, version int64) change {
	return change{ID: id, Value: body, Version: version}
}

func del(id, version int64) change { return change{ID: id, Deleted: true, Version: version} }

func (p *plain) holds(t *testing.T, want string) {
	t.Helper()
	if got := p.rows(t); got != want {
		t.Errorf("the table holds %q\nwant %q", got, want)
	}
}

func refusedAre(t *testing.T, got []journal.Refused, want ...journal.Refused) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("refused: %v; want %v", got, want)
	}
}

// each runs a test on every database.
func each(t *testing.T, test func(t *testing.T, d dialect)) {
	for _, d := range dialects() {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			test(t, d)
		})
	}
}

func TestGuard(t *testing.T) {
	each(t, func(t *testing.T, d dialect) {
		p := newPlain(t, d)
		// Not in the order of the ids, and versions beyond 2^53.
		const base = 1 << 60
		refusedAre(t, p.apply(t, 1, set(2, "b", base+1), set(1, "a", base+2), set(3, "c", base+3)))
		p.holds(t, fmt.Sprintf("1=a@%d 2=b@%d 3=c@%d", base+2, base+1, base+3))

		// The same batch again changes nothing and says so.
		refusedAre(t, p.apply(t, 1, set(2, "b", base+1), set(1, "a", base+2), set(3, "c", base+3)),
			journal.Refused{Index: 0, Stored: base + 1}, journal.Refused{Index: 1, Stored: base + 2}, journal.Refused{Index: 2, Stored: base + 3})
		// One newer, one older, one equal, one new; the further column keeps what it has.
		exec(t, p.db, "UPDATE "+p.name+" SET seen = 9 WHERE id = 1")
		refusedAre(t, p.apply(t, 1, set(1, "A", base+9), set(2, "old", base), set(3, "same", base+3), set(4, "d", base+4)),
			journal.Refused{Index: 1, Stored: base + 1}, journal.Refused{Index: 2, Stored: base + 3})
		p.holds(t, fmt.Sprintf("1=A@%d 2=b@%d 3=c@%d 4=d@%d", base+9, base+1, base+3, base+4))
		var sum int
		must(t, p.db.QueryRowContext(t.Context(), "SELECT SUM(seen) FROM "+p.name).Scan(&sum))
		if sum != 9+7+7+7 {
			t.Errorf("the further column adds up to %d", sum)
		}
	})
}

func TestDeletes(t *testing.T) {
	each(t, func(t *testing.T, d dialect) {
		p := newPlain(t, d)
		p.apply(t, 1, set(1, "a", 10), set(2, "b", 20), set(3, "c", 30), set(4, "d", 40), set(5, "e", 50))
		// Newer, older, equal, not there; among writes.
		refusedAre(t, p.apply(t, 1, del(1, 11), set(6, "f", 12), del(2, 19), del(3, 30), del(9, 35), set(4, "D", 41), set(5, "late", 49)),
			journal.Refused{Index: 2, Stored: 20}, journal.Refused{Index: 3, Stored: 30}, journal.Refused{Index: 6, Stored: 50})
		p.holds(t, "2=b@20 3=c@30 4=D@41 5=e@50 6=f@12")
		refusedAre(t, p.apply(t, 1, del(1, 11), del(9, 35)))
		refusedAre(t, p.apply(t, 1, del(2, 21), del(3, 31), del(4, 42), del(5, 51), del(6, 13)))
		p.holds(t, "")
	})
}

// The guard's column may be added to a table that has rows.
func TestRowsFromBefore(t *testing.T) {
	each(t, func(t *testing.T, d dialect) {
		p := newPlain(t, d)
		exec(t, p.db, "INSERT INTO "+p.name+" (id, body) VALUES (1, 'x'), (2, 'y'), (3, 'z')")
		refusedAre(t, p.apply(t, 1, set(1, "a", 1), del(2, 2)))
		p.holds(t, "1=a@1 3=z@-1")
	})
}

func TestFence(t *testing.T) {
	each(t, func(t *testing.T, d dialect) {
		p := newPlain(t, d)
		p.apply(t, 5, set(1, "a", 1))
		p.apply(t, 5, set(1, "b", 2))
		p.apply(t, 7, del(1, 3))
		refused, err := p.sink.Apply(t.Context(), batch{Journal: "j", Partition: 3, Token: 5, Changes: []change{set(1, "zombie", 2), set(2, "z", 9)}})
		if !errors.Is(err, journal.ErrFenced) || refused != nil || redstart.OutcomeOf(err) != redstart.NotApplied {
			t.Errorf("an old token: %v, %v", refused, err)
		}
		p.holds(t, "")
		// Another partition and another journal have tokens of their own.
		for _, b := range []batch{{Journal: "j", Partition: 2}, {Journal: "k", Partition: 3}, {Journal: "J", Partition: 3}} {
			b.Token, b.Changes = 1, []change{set(int64(b.Partition), b.Journal, 9)}
			if _, err := p.sink.Apply(t.Context(), b); err != nil {
				t.Errorf("%s/%d: %v", b.Journal, b.Partition, err)
			}
		}
		p.apply(t, 7, set(8, "h", 8))
	})
}

// A zombie is in the middle of its transaction when the new owner writes: one of the
// two comes first by the fence's row, and after the new one nothing old is written.
func TestFenceUnderConcurrency(t *testing.T) {
	each(t, func(t *testing.T, d dialect) {
		p := newPlain(t, d)
		zombie := p.another(t, p.d.open2(t, p.db))
		const rounds = 60
		for round := range int64(rounds) {
			id, token := round, 10+2*round
			p.apply(t, token, set(id, "first", 1)) // the zombie's last good write
			done := make(chan error, 4)
			for range 3 {
				go func() {
					_, err := zombie.Apply(context.Background(), batch{
						Journal: "j", Partition: 3, Token: token,
						Changes: []change{set(id, "zombie", 2), set(id+10_000, "zombie", 2)},
					})
					done <- err
				}()
			}
			go func() {
				// The new owner has read the journal to its end: the row is deleted for good.
				_, err := p.sink.Apply(context.Background(), batch{
					Journal: "j", Partition: 3, Token: token + 1,
					Changes: []change{del(id, 3), del(id+10_000, 3)},
				})
				done <- err
			}()
			for range 4 {
				if err := <-done; err != nil && !errors.Is(err, journal.ErrFenced) {
					t.Fatalf("round %d: %v", round, err)
				}
			}
			if got := p.rows(t); got != "" {
				t.Fatalf("round %d: a deleted row is back: %s", round, got)
			}
			if _, err := zombie.Apply(t.Context(), batch{Journal: "j", Partition: 3, Token: token, Changes: []change{set(id, "late", 9)}}); !errors.Is(err, journal.ErrFenced) {
				t.Fatalf("round %d: the zombie's last word: %v", round, err)
			}
		}
	})
}

// open2 gives the zombie a pool of its own, where the database is a server.
func (d dialect) open2(t *testing.T, db *sql.DB) *sql.DB {
	t.Helper()
	if d.dialect == sqlsink.SQLite {
		return db
	}
	return d.open(t)
}

// Without a fence the same schedule brings deleted rows back: the checker of the
// test above can fail.
func TestWithoutAFenceRowsComeBack(t *testing.T) {
	each(t, func(t *testing.T, d dialect) {
		p := newPlain(t, d)
		back := false
		for round := range int64(50) {
			p.apply(t, 1, set(round, "first", 1))
			p.apply(t, 1, del(round, 3))
			p.apply(t, 1, set(round, "zombie", 2)) // with the owner's token
			back = back || strings.Contains(p.rows(t), "zombie")
		}
		if !back {
			t.Error("a zombie that the fence does not know of brought nothing back")
		}
	})
}

// A batch that the database refuses changes nothing, and says whose fault it is
// where that is known.
func TestPoison(t *testing.T) {
	each(t, func(t *testing.T, d dialect) {
		p := newPlain(t, d)
		p.apply(t, 1, set(1, "a", 1))
		must(t, addCheck(t, p))
		for name, tc := range map[string]struct {
			body string
			at   bool // every database tells whose it is
		}{
			"check": {"forbidden", d.dialect == sqlsink.SQLite},
			"row":   {"no row", true},
		} {
			for place := range 5 {
				changes := []change{set(10, "k", 5), set(1, "b", 6), del(7, 7), set(3, "m", 8)}
				changes = slices.Insert(changes, place%len(changes), set(5, tc.body, 9))
				refused, err := p.sink.Apply(t.Context(), batch{Journal: "j", Partition: 3, Token: 2, Changes: changes})
				if err == nil || refused != nil || redstart.OutcomeOf(err) != redstart.NotApplied {
					t.Fatalf("%s: %v, %v (%v)", name, refused, err, redstart.OutcomeOf(err))
				}
				var record *journal.RecordError
				if errors.As(err, &record) != tc.at || tc.at && record.Index != place%4 {
					t.Errorf("%s at %d: %v", name, place%4, err)
				}
				p.holds(t, "1=a@1")
			}
		}
	})
}

// addCheck forbids one body.
func addCheck(t *testing.T, p *plain) error {
	t.Helper()
	if p.d.dialect != sqlsink.SQLite {
		_, err := p.db.ExecContext(t.Context(), "ALTER TABLE "+p.name+" ADD CHECK (body <> 'forbidden')")
		return err
	}
	_, err := p.db.ExecContext(t.Context(), "CREATE TRIGGER "+p.name+"_check BEFORE INSERT ON "+p.name+
		" WHEN NEW.body = 'forbidden' BEGIN SELECT RAISE(ABORT, 'forbidden'); END")
	return err
}

// A column's unique index that is not the key's: the change must hit no other row.
func TestAnotherRowsUniqueValue(t *testing.T) {
	each(t, func(t *testing.T, d dialect) {
		db, name := d.open(t), fresh("uniq")
		exec(t, db, "CREATE TABLE "+name+" (mail "+d.key+" UNIQUE, id "+d.key+" NOT NULL, version "+d.big+" NOT NULL, UNIQUE (id))")
		s, err := sqlsink.New(db, sqlsink.Config[string, string]{
			Dialect: d.dialect, Table: name, Key: []string{"id"}, Columns: []string{"mail"}, Fence: fresh("fence"),
			Row: func(_, v string) ([]any, error) { return []any{v}, nil },
		})
		must(t, err)
		must(t, s.Prepare(t.Context()))
		apply := func(version int64, pairs ...string) error {
			b := journal.Batch[string, string]{Journal: "j", Token: 1}
			for i := 0; i < len(pairs); i += 2 {
				b.Changes = append(b.Changes, journal.Change[string, string]{ID: pairs[i], Value: pairs[i+1], Version: version + int64(i)})
			}
			_, err := s.Apply(t.Context(), b)
			return err
		}
		must(t, apply(1, "a", "a@x", "b", "b@x"))
		for i, tc := range [][]string{{"c", "a@x"}, {"b", "a@x"}, {"d", "d@x", "b", "a@x"}, {"c", "n@x", "d", "a@x"}} {
			err := apply(100, tc...)
			if err == nil {
				t.Errorf("case %d: no error", i)
			}
			var n int
			must(t, db.QueryRowContext(t.Context(), "SELECT count(*) FROM "+name+
				" WHERE id = 'a' AND mail = 'a@x' AND version = 1 OR id = 'b' AND mail = 'b@x' AND version = 3").Scan(&n))
			var all int
			must(t, db.QueryRowContext(t.Context(), "SELECT count(*) FROM "+name).Scan(&all))
			if n != 2 || all != 2 {
				t.Fatalf("case %d (%v): %d rows of 2 are as they were, %d in all", i, err, n, all)
			}
		}
	})
}

// pair is an id of two columns.
type pair struct {
	Shop string
	No   int64
}

func TestKeyOfTwoColumns(t *testing.T) {
	each(t, func(t *testing.T, d dialect) {
		db, name := d.open(t), fresh(`od"d`+"`"+` name`)
		exec(t, db, "CREATE TABLE "+d.quote(name)+" ("+d.quote("the shop")+" "+d.key+" NOT NULL, "+d.quote(`n"o`)+" bigint NOT NULL, "+
			d.quote("from")+" "+d.text+", "+d.quote("select")+" "+d.big+" NOT NULL DEFAULT 0, PRIMARY KEY ("+d.quote("the shop")+", "+d.quote(`n"o`)+"))")
		s, err := sqlsink.New(db, sqlsink.Config[pair, *string]{
			Dialect: d.dialect, Table: name, Key: []string{"the shop", `n"o`}, Columns: []string{"from"}, Version: "select", Fence: fresh(`fe"nce`),
			ID:  func(id pair) []any { return []any{id.Shop, id.No} },
			Row: func(_ pair, v *string) ([]any, error) { return []any{v}, nil },
		})
		must(t, err)
		must(t, s.Prepare(t.Context()))
		// Ids that collide when they are joined without care.
		ids := []pair{{"a", 11}, {"a1", 1}, {"a", 1}, {"", 1}, {"1:a", 1}, {"b", 2}, {"B", 2}, {"b ", 2}, {`"`, 2}, {`\`, 2}, {`{},NULL`, -2}}
		b := journal.Batch[pair, *string]{Journal: "j", Token: 1}
		for i, id := range ids {
			text := fmt.Sprint(id)
			b.Changes = append(b.Changes, journal.Change[pair, *string]{ID: id, Value: &text, Version: int64(i + 1)})
		}
		b.Changes[3].Value = nil // NULL
		refused, err := s.Apply(t.Context(), b)
		must(t, err)
		refusedAre(t, refused)
		got := map[pair]string{}
		rows, err := db.QueryContext(t.Context(), "SELECT "+d.quote("the shop")+", "+d.quote(`n"o`)+", COALESCE("+d.quote("from")+", 'null') FROM "+d.quote(name))
		must(t, err)
		defer rows.Close()
		for rows.Next() {
			var id pair
			var text string
			must(t, rows.Scan(&id.Shop, &id.No, &text))
			got[id] = text
		}
		must(t, rows.Err())
		for i, id := range ids {
			want := fmt.Sprint(id)
			if i == 3 {
				want = "null"
			}
			if got[id] != want {
				t.Errorf("%v holds %q", id, got[id])
			}
		}
		if len(got) != len(ids) {
			t.Errorf("%d rows for %d ids", len(got), len(ids))
		}
		for i := range b.Changes {
			b.Changes[i].Deleted, b.Changes[i].Version = true, 2
		}
		refused, err = s.Apply(t.Context(), b)
		must(t, err)
		// Those of version 1 are gone; that of version 2 stands, like the newer ones.
		if len(refused) != len(ids)-1 || refused[0] != (journal.Refused{Index: 1, Stored: 2}) || refused[9] != (journal.Refused{Index: 10, Stored: 11}) {
			t.Errorf("refused %v", refused)
		}
	})
}
