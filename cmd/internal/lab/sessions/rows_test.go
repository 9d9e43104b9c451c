package sessions

import (
	"maps"
	"testing"

	servers "github.com/redstart-go/redstart/redstarttest/database"

	"github.com/redstart-go/redstart/cmd/internal/database"
)

// TestNotes: what is written twice is seen, and what a later write replaced.
func TestNotes(t *testing.T) {
	for name, choice := range map[string]func(t *testing.T) string{
		"SQLite":     func(*testing.T) string { return "" },
		"PostgreSQL": func(t *testing.T) string { return servers.RunPostgres(t, servers.Config{NoSync: true}).DSN() },
	} {
		t.Run(name, func(t *testing.T) {
			p, err := database.Make(t.Context(), choice(t), false)
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			w, err := openTable(p.Place)
			if err != nil {
				t.Fatal(err)
			}
			defer w.db.Close()
			if err := makeTable(t.Context(), w.db, p.Kind); err != nil {
				t.Fatal(err)
			}
			session := func(n int64, id string) change {
				s := op{n: n, id: id}.document()
				return change{id, &s}
			}
			for _, batch := range [][]change{
				{session(1, "a"), session(2, "b"), session(3, "a")},
				{session(4, "c")},
				{session(4, "c"), {"b", nil}},
				{{"nobody", nil}},
			} {
				if err := w.write(t.Context(), batch); err != nil {
					t.Fatal(err)
				}
			}
			rows, err := readRows(t.Context(), w.db)
			if err != nil || !maps.Equal(rows, map[string]int64{"a": 3, "c": 4}) {
				t.Errorf("rows %v, %v", rows, err)
			}
			notes, err := readNotes(t.Context(), w.db)
			if err != nil {
				t.Fatal(err)
			}
			l := newLedger()
			for id, acks := range map[string][]ack{"a": {{n: 1}, {n: 3}}, "b": {{n: 2}, {n: 5, out: true}}, "c": {{n: 4}, {n: 6}}} {
				for _, a := range acks {
					l.ack(id, a)
				}
			}
			if n := notes.duplicates(); n != 1 || notes.rows != 5 {
				t.Errorf("%d duplicates in %d rows", n, notes.rows)
			}
			if n := notes.spared(l, map[int64]bool{6: true}); n != 1 { // write 1; 6 is lost
				t.Errorf("spared %d", n)
			}
			if err := stopNoting(t.Context(), w.db, p.Kind); err != nil {
				t.Error(err)
			}
			if err := w.write(t.Context(), []change{session(7, "d")}); err != nil {
				t.Error(err)
			}
			if again, err := readNotes(t.Context(), w.db); err != nil || again.rows != notes.rows {
				t.Errorf("it goes on noting: %v, %v", again, err)
			}
		})
	}
}
