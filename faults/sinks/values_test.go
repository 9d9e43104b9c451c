package sinks

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/redstart-go/redstart/cache/journal"
	"github.com/redstart-go/redstart/cache/journal/sqlsink"
)

// nasty are texts that break out of a literal, an array, a row or an encoding where
// one of these is put together carelessly.
func nasty() []string {
	all := []string{
		"", " ", "NULL", "null", `"`, `""`, `'`, `''`, `\`, `\\`, `\'`, `\"`, "{", "}", "{}", `{"a",NULL}`, ",", ";", "--", "/*", "*/", "$1", "?", ":a", "%s", "`",
		"a\nb", "\r\n", "\t", "\x01", "\x7f", "\u0080", "é", "e\u0301", "日本語", "😀", "\U0010ffff", "\ufeff", "\u200b", "ÀÉ", "ſ", "ß",
		`\x00`, `\x6869`, `\N`, `\.`, `E'\\'`, "'); DROP TABLE t; --", `"); DROP TABLE t; --`, `\"); DROP TABLE t; --`, "a,b", "(a,b)", "0", "1e309", "NaN", "t", "f",
		strings.Repeat(`"\`, 5_000), strings.Repeat("x", 100_000), strings.Repeat("é", 3_000), " a", "a ", "A", "a",
	}
	r := rand.New(rand.NewPCG(7, 7))
	const signs = `"\{},' NULab` + "\n\t$?;é😀`"
	runes := []rune(signs)
	for range 300 {
		text := make([]rune, r.IntN(12))
		for i := range text {
			text[i] = runes[r.IntN(len(runes))]
		}
		all = append(all, string(text))
	}
	return all
}

// Every text goes in as a value and, where it fits, as a key, and comes out the same.
func TestTextsAndBytes(t *testing.T) {
	each(t, func(t *testing.T, d dialect) {
		db, name := d.open(t), fresh("texts")
		exec(t, db, "CREATE TABLE "+name+" (id "+d.key+" NOT NULL PRIMARY KEY, body "+d.text+", raw "+d.bytes+", version "+d.big+" NOT NULL)")
		type row struct {
			text *string
			raw  []byte
		}
		s, err := sqlsink.New(db, sqlsink.Config[string, row]{
			Dialect: d.dialect, Table: name, Key: []string{"id"}, Columns: []string{"body", "raw"}, Fence: fresh("fence"),
			Row: func(_ string, v row) ([]any, error) { return []any{v.text, v.raw}, nil },
		})
		must(t, err)
		b := journal.Batch[string, row]{Journal: `j"'\`, Token: 1}
		want := map[string]row{}
		for i, text := range nasty() {
			id := text
			if len(id) > 250 {
				id = fmt.Sprint(i)
			}
			if _, twice := want[id]; twice {
				continue
			}
			v := row{&text, append([]byte{0, 1, 0xff, '\\', '"'}, text...)}
			switch i {
			case 3:
				v.text = nil
			case 4:
				v.raw = nil
			case 5:
				v.raw = []byte{}
			}
			want[id] = v
			b.Changes = append(b.Changes, journal.Change[string, row]{ID: id, Value: v, Version: int64(i + 1)})
		}
		must(t, s.Prepare(t.Context()))
		for range 2 { // inserted, then updated
			if _, err := s.Apply(t.Context(), b); err != nil {
				t.Fatal(err)
			}
			rows, err := db.QueryContext(t.Context(), "SELECT id, body, raw, raw IS NULL FROM "+name)
			must(t, err)
			defer rows.Close()
			n := 0
			for rows.Next() {
				var id string
				var got row
				var null bool // drivers differ in how they give an empty one
				must(t, rows.Scan(&id, &got.text, &got.raw, &null))
				w, ok := want[id]
				switch {
				case !ok:
					t.Errorf("a row %q", id)
				case (got.text == nil) != (w.text == nil) || got.text != nil && *got.text != *w.text:
					t.Errorf("%q holds another text", id)
				case null != (w.raw == nil) || !bytes.Equal(got.raw, w.raw):
					t.Errorf("%q holds %q, want %q", id, got.raw, w.raw)
				}
				n++
			}
			must(t, rows.Err())
			if n != len(want) {
				t.Errorf("%d rows, want %d", n, len(want))
			}
			for i := range b.Changes {
				b.Changes[i].Version += 1000
			}
		}
		for i := range b.Changes {
			b.Changes[i].Deleted = true
		}
		_, err = s.Apply(t.Context(), b)
		must(t, err)
		var left int
		must(t, db.QueryRowContext(t.Context(), "SELECT count(*) FROM "+name).Scan(&left))
		if left != 0 {
			t.Errorf("%d rows left", left)
		}
	})
}

// What PostgreSQL's text cannot hold is told before anything is sent.
func TestNULAndEncoding(t *testing.T) {
	each(t, func(t *testing.T, d dialect) {
		p := newPlain(t, d)
		for _, body := range []string{"a\x00b", "\xff", "a\xc3"} {
			refused, err := p.sink.Apply(t.Context(), batch{Journal: "j", Token: 1, Changes: []change{set(1, "good", 1), set(2, body, 2), set(0, "good", 3)}})
			var record *journal.RecordError
			switch {
			case d.dialect == sqlsink.SQLite || d.dialect == sqlsink.MySQL && body[0] == 'a' && body[1] == 0:
				if err != nil || refused != nil {
					t.Errorf("%q: %v %v", body, refused, err)
				}
				exec(t, p.db, "DELETE FROM "+p.name)
			case !errors.As(err, &record) || record.Index != 1:
				t.Errorf("%q: %v", body, err)
			default:
				p.holds(t, "")
			}
		}
	})
}

// A value that is too long is an error, not cut.
func TestTooLong(t *testing.T) {
	each(t, func(t *testing.T, d dialect) {
		if d.dialect == sqlsink.SQLite {
			t.Skip("SQLite knows no lengths")
		}
		db, name := d.open(t), fresh("short")
		exec(t, db, "CREATE TABLE "+name+" (id bigint PRIMARY KEY, body varchar(3), cents numeric(4,2), fixed char(2), version bigint NOT NULL)")
		s, err := sqlsink.New(db, sqlsink.Config[int64, []any]{
			Dialect: d.dialect, Table: name, Key: []string{"id"}, Columns: []string{"body", "cents", "fixed"}, Fence: fresh("fence"),
			Row: func(_ int64, v []any) ([]any, error) { return v, nil },
		})
		must(t, err)
		must(t, s.Prepare(t.Context()))
		apply := func(v ...any) error {
			_, err := s.Apply(t.Context(), journal.Batch[int64, []any]{Journal: "j", Token: 1, Changes: []journal.Change[int64, []any]{
				{ID: 1, Value: []any{"abc", "12.34", "ab"}, Version: 1}, {ID: 2, Value: v, Version: 2}, {ID: 3, Value: []any{"é日😀", 9, "a"}, Version: 1},
			}})
			return err
		}
		for _, v := range [][]any{{"abcd", 1, "a"}, {"abc", 100, "a"}, {"abc", 1, "abc"}, {"abc", "x", "ab"}} {
			err := apply(v...)
			var record *journal.RecordError
			if err == nil || d.dialect == sqlsink.MySQL && (!errors.As(err, &record) || record.Index != 1) {
				t.Errorf("%v: %v", v, err)
			}
			var n int
			must(t, db.QueryRowContext(t.Context(), "SELECT count(*) FROM "+name).Scan(&n))
			if n != 0 {
				t.Fatalf("%v: %d rows", v, n)
			}
		}
		must(t, apply("x", -99.99, nil))
	})
}

// named types, Valuers and pointers are what they stand for.
type (
	status string
	cents  int
)

// Every common type of column, on PostgreSQL: what is stored, as the server prints it.
func TestPostgresTypes(t *testing.T) {
	each(t, func(t *testing.T, d dialect) {
		if d.dialect == sqlsink.Postgres {
			postgresTypes(t, d)
		}
	})
}

func postgresTypes(t *testing.T, d dialect) {
	t.Helper()
	db, name := d.open(t), fresh("types")
	zone := time.FixedZone("", 2*3600+1800)
	seven := 7
	type column struct {
		kind string
		in   any
		want string // of ::text; "" for NULL
	}
	columns := []column{
		{"smallint", int8(-7), "-7"},
		{"integer", cents(-2147483648), "-2147483648"},
		{"bigint", int64(math.MaxInt64), "9223372036854775807"},
		{"bigint", &seven, "7"},
		{"bigint", (*int)(nil), ""},
		{"numeric", uint64(math.MaxUint64), "18446744073709551615"},
		{"numeric(30,10)", "12345678901234567890.0123456789", "12345678901234567890.0123456789"},
		{"numeric", "NaN", "NaN"},
		{"real", float32(0.1), "0.1"},
		{"double precision", 0.1, "0.1"},
		{"double precision", math.Inf(-1), "-Infinity"},
		{"double precision", math.NaN(), "NaN"},
		{"double precision", math.SmallestNonzeroFloat64, "5e-324"},
		{"numeric", 1e21, "1000000000000000000000"},
		{"boolean", true, "true"},
		{"boolean", false, "false"},
		{"boolean", sql.NullBool{}, ""},
		{"text", status("ok"), "ok"},
		{"varchar(5)", "12345", "12345"},
		{"char(4)", "ab", "ab"},
		{"text", []byte("bytes"), "bytes"},
		{"text", nil, ""},
		{"bytea", []byte{0, 1, 255}, `\x0001ff`},
		{"bytea", "text\x00", `\x7465787400`},
		{"bytea", []byte{}, `\x`},
		{"bytea", []byte(nil), ""},
		{"timestamptz", time.Date(2024, 2, 29, 23, 59, 59, 123456000, zone), "2024-02-29 21:29:59.123456+00"},
		{"timestamptz", time.Date(-43, 3, 15, 12, 0, 0, 0, time.UTC), "0044-03-15 12:00:00+00 BC"},
		{"timestamptz", time.Date(12345, 1, 1, 0, 0, 0, 0, time.UTC), "12345-01-01 00:00:00+00"},
		{"timestamptz", "infinity", "infinity"},
		{"timestamptz", time.Time{}, "0001-01-01 00:00:00+00"},
		{"timestamp", time.Date(2024, 2, 29, 23, 59, 59, 0, zone), "2024-02-29 23:59:59"},
		{"date", time.Date(2024, 2, 29, 23, 0, 0, 0, zone), "2024-02-29"},
		{"time", "12:34:56.5", "12:34:56.5"},
		{"interval", "1 day 2 hours", "1 day 02:00:00"},
		{"jsonb", json.RawMessage(`{"b": "\"\\ é", "a": [1, null]}`), `{"a": [1, null], "b": "\"\\ é"}`},
		{"json", `{"a":  1}`, `{"a":  1}`},
		{"jsonb", "null", "null"},
		{"uuid", "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"},
		{"text[]", `{a,"b c",NULL,"\"{}\\"}`, `{a,"b c",NULL,"\"{}\\"}`},
		{"integer[]", `{{1,2},{3,4}}`, `{{1,2},{3,4}}`},
		{"integer[]", "{}", "{}"},
		{"text[]", nil, ""},
		{"inet", "::1/64", "::1/64"},
		{"int4range", "[1,5)", "[1,5)"},
		{"point", "(1,2)", "(1,2)"},
		{"xml", "<a>&lt;</a>", "<a>&lt;</a>"},
		{"bit(3)", "101", "101"},
		{"varbit", "10101", "10101"},
		{"money", "12.34", "$12.34"},
		{"tsvector", "a b", "'a' 'b'"},
		{`"char"`, "x", "x"},
		{"name", "n", "n"},
		{name + "_mood", "so so", "so so"},
		{name + "_raw", []byte{0, 255}, `\x00ff`},
		{name + "_pair", `(1,"a,b")`, `(1,"a,b")`},
		{name + "_list", "{1,2}", "{1,2}"},
	}
	exec(t, db, "CREATE TYPE "+name+"_mood AS ENUM ('so so', 'well')")
	exec(t, db, "CREATE DOMAIN "+name+"_raw AS bytea CHECK (length(value) < 10)")
	exec(t, db, "CREATE DOMAIN "+name+"_list AS integer[]")
	exec(t, db, "CREATE TYPE "+name+"_pair AS (a integer, b text)")
	ddl := "CREATE TABLE " + name + " (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, version bigint"
	names, selects := make([]string, len(columns)), make([]string, len(columns))
	for i, c := range columns {
		names[i] = fmt.Sprintf("Col %d", i)
		selects[i] = fmt.Sprintf(`"Col %d"::text`, i)
		ddl += fmt.Sprintf(`, "Col %d" %s`, i, c.kind)
	}
	exec(t, db, ddl+")")
	s, err := sqlsink.New(db, sqlsink.Config[int, bool]{
		Dialect: d.dialect, Table: "public." + name, Key: []string{"id"}, Columns: names, Fence: "public." + fresh("fence"),
		Row: func(_ int, full bool) ([]any, error) {
			row := make([]any, len(columns))
			for i := range row {
				if full {
					row[i] = columns[i].in
				}
			}
			return row, nil
		},
	})
	must(t, err)
	must(t, s.Prepare(t.Context()))
	changes := []journal.Change[int, bool]{{ID: 1, Value: true, Version: 1}, {ID: 2, Version: 2}, {ID: 3, Value: true, Version: 3}}
	for range 7 { // beyond the server's custom plans
		for i := range changes {
			changes[i].Version += 10
		}
		_, err = s.Apply(t.Context(), journal.Batch[int, bool]{Journal: "j", Token: 1, Changes: changes})
		must(t, err)
	}
	for id, full := range map[int]bool{1: true, 2: false, 3: true} {
		got := make([]sql.NullString, len(columns))
		targets := make([]any, len(columns))
		for i := range got {
			targets[i] = &got[i]
		}
		tx, err := db.BeginTx(t.Context(), nil)
		must(t, err)
		_, err = tx.Exec("SET LOCAL timezone = 'UTC'")
		must(t, err)
		must(t, tx.QueryRowContext(t.Context(), "SELECT "+strings.Join(selects, ", ")+" FROM "+name+" WHERE id = $1", id).Scan(targets...))
		must(t, tx.Rollback())
		for i, c := range columns {
			want := sql.NullString{String: c.want, Valid: full && c.want != ""}
			if !want.Valid {
				want.String = ""
			}
			if got[i] != want {
				t.Errorf("%s of %v holds %v; want %v", c.kind, c.in, got[i], want)
			}
		}
	}
	// A value that is no element of the type is an error, and changes nothing.
	_, err = s.Apply(t.Context(), journal.Batch[int, bool]{Journal: "j", Token: 1, Changes: []journal.Change[int, bool]{{ID: 9, Value: true, Version: 1}}})
	must(t, err)
}

// The common types on the other two, compared by what the driver reads back.
func TestOtherTypes(t *testing.T) {
	for _, d := range dialects()[2:] {
		t.Run(d.name, func(t *testing.T) {
			db, name := d.open(t), fresh("types")
			at := time.Date(2024, 2, 29, 21, 29, 59, 0, time.UTC)
			kinds := []string{"bigint", "double", "boolean", "datetime", "varchar(40)", "decimal(20,4)", d.bytes, d.text}
			in := []any{int64(math.MaxInt64), 0.1, true, at, status("ok"), "1234567890123456.7891", []byte{0, 255}, json.RawMessage(`{"a":"\""}`)}
			want := []string{"9223372036854775807", "0.1", "1", "2024-02-29T21:29:59Z", "ok", "1234567890123456.7891", "\x00\xff", `{"a":"\""}`}
			if d.dialect == sqlsink.SQLite {
				kinds[5] = "text" // its decimals are floats
			}
			ddl, names := "CREATE TABLE "+name+" (id bigint PRIMARY KEY, version bigint", []string{}
			for i, kind := range kinds {
				ddl += fmt.Sprintf(", c%d %s", i, kind)
				names = append(names, fmt.Sprintf("c%d", i))
			}
			exec(t, db, ddl+")")
			s, err := sqlsink.New(db, sqlsink.Config[int, bool]{
				Dialect: d.dialect, Table: name, Key: []string{"id"}, Columns: names, Fence: fresh("fence"),
				Row: func(_ int, full bool) ([]any, error) {
					if full {
						return in, nil
					}
					return make([]any, len(in)), nil
				},
			})
			must(t, err)
			must(t, s.Prepare(t.Context()))
			for version := range int64(2) {
				_, err = s.Apply(t.Context(), journal.Batch[int, bool]{Journal: "j", Token: 1, Changes: []journal.Change[int, bool]{
					{ID: 1, Value: true, Version: version + 1}, {ID: 2, Version: version + 1},
				}})
				must(t, err)
			}
			got := make([]sql.NullString, len(kinds))
			targets := make([]any, len(kinds))
			for i := range got {
				targets[i] = &got[i]
			}
			must(t, db.QueryRowContext(t.Context(), "SELECT "+strings.Join(names, ", ")+" FROM "+name+" WHERE id = 1").Scan(targets...))
			for i, w := range want {
				if got[i].String != w {
					t.Errorf("%s of %v holds %q", kinds[i], in[i], got[i].String)
				}
			}
			must(t, db.QueryRowContext(t.Context(), "SELECT "+strings.Join(names, ", ")+" FROM "+name+" WHERE id = 2").Scan(targets...))
			for i := range got {
				if got[i].Valid {
					t.Errorf("%s of NULL holds %q", kinds[i], got[i].String)
				}
			}
		})
	}
}
