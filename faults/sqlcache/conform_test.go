package sqlcache

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/redstart-go/redstart/sqlcache"
)

// kinds fills a table with what a database can hold.
func (e engine) kinds(t *testing.T, db *sql.DB, table string) {
	t.Helper()
	switch e.driver {
	case "pgx":
		exec(t, db, "CREATE TABLE "+table+` (id int PRIMARY KEY, b boolean, s smallint, i int, l bigint, f real, d double precision, n numeric(12,4),
			t text, v varchar(20), c char(4), y bytea, da date, ts timestamp, tz timestamptz, j jsonb, u uuid, a int[], iv interval, ti time)`)
		exec(t, db, "INSERT INTO "+table+` VALUES
			(1, true, -3, 7, 9223372036854775807, 1.5, 0.1, 12345.6789, 'text', 'varchar', 'ch', '\x00ff', '2024-02-29', '2024-02-29 12:34:56.789012',
			 '2024-02-29 12:34:56.789+05:30', '{"a":[1,2]}', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '{1,2,3}', '1 day 2 hours', '12:34:56'),
			(2, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
			(3, false, 0, 0, -9223372036854775808, 'NaN', 'Infinity', 'NaN', '', '', '', '', '0001-01-01', '1970-01-01', '1970-01-01+00', 'null',
			 '00000000-0000-0000-0000-000000000000', '{}', '0', '00:00')`)
	case "mysql":
		exec(t, db, "CREATE TABLE "+table+` (id int PRIMARY KEY, b boolean, s smallint, i int unsigned, l bigint, ul bigint unsigned, f float, d double,
			n decimal(12,4), t text, v varchar(20), c char(4), y blob, da date, dt datetime(6), ts timestamp(3) NULL, ti time, j json, e enum('a','b'), bt bit(3))`)
		exec(t, db, "INSERT INTO "+table+` VALUES
			(1, true, -3, 7, 9223372036854775807, 18446744073709551615, 1.5, 0.1, 12345.6789, 'text', 'varchar', 'ch', x'00ff', '2024-02-29',
			 '2024-02-29 12:34:56.789012', '2024-02-29 12:34:56.789', '12:34:56', '{"a":[1,2]}', 'b', b'101'),
			(2, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
			(3, false, 0, 0, -9223372036854775808, 0, 0, 0, 0, '', '', '', '', '1000-01-01', '1970-01-01', '1970-01-02', '00:00', '1', 'a', b'0')`)
	default:
		exec(t, db, "CREATE TABLE "+table+` (id integer PRIMARY KEY, b boolean, i integer, f real, n numeric(12,4), t text, v varchar(20), y blob,
			da date, ts timestamp, dt datetime, untyped)`)
		exec(t, db, "INSERT INTO "+table+` VALUES
			(1, true, 9223372036854775807, 0.1, 12345.6789, 'text', 'varchar', x'00ff', '2024-02-29', '2024-02-29 12:34:56.789',
			 '2024-02-29 12:34:56+05:30', 7),
			(2, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
			(3, false, -9223372036854775808, 9e999, 'x', '', '', x'', '0001-01-01', '1970-01-01', 1700000000, 1.5)`)
	}
}

// seen is everything that a query gives, in words and values.
type seen struct {
	Columns []string
	Types   []string
	Rows    [][]any
	Texts   [][]sql.NullString
	Err     string
}

// all reads a query to its end, by any and by text.
func all(ctx context.Context, db queryer, text string, args ...any) (s seen) {
	rows, err := db.QueryContext(ctx, text, args...)
	if err != nil {
		s.Err = fmt.Sprintf("%T %v", root(err), err)
		return s
	}
	defer rows.Close()
	s.Columns, err = rows.Columns()
	if err != nil {
		s.Err = err.Error()
		return s
	}
	types, err := rows.ColumnTypes()
	if err != nil {
		s.Err = err.Error()
		return s
	}
	for _, c := range types {
		length, hasLength := c.Length()
		nullable, hasNullable := c.Nullable()
		p, sc, hasDecimal := c.DecimalSize()
		s.Types = append(s.Types, fmt.Sprintf("%s %s %v %v,%v %v,%v %v,%v,%v", c.Name(), c.DatabaseTypeName(), c.ScanType(),
			length, hasLength, nullable, hasNullable, p, sc, hasDecimal))
	}
	for {
		for rows.Next() {
			values, texts := make([]any, len(types)), make([]sql.NullString, len(types))
			to := make([]any, len(types))
			for i := range to {
				to[i] = &values[i]
			}
			if err := rows.Scan(to...); err != nil {
				s.Err = "scan: " + err.Error()
				return s
			}
			for i := range to {
				to[i] = &texts[i]
			}
			if err := rows.Scan(to...); err != nil {
				s.Err = "scan as text: " + err.Error()
				return s
			}
			s.Rows, s.Texts = append(s.Rows, values), append(s.Texts, texts)
		}
		if !rows.NextResultSet() {
			break
		}
		s.Columns = append(s.Columns, "another set")
	}
	if err := rows.Err(); err != nil {
		s.Err = fmt.Sprintf("%T %v", root(err), err)
	}
	return s
}

func root(err error) error {
	for {
		next := errors.Unwrap(err)
		if next == nil {
			return err
		}
		err = next
	}
}

// same compares what two gave, NaN with itself.
func same(t *testing.T, what string, got, want seen) {
	t.Helper()
	if g, w := fmt.Sprintf("%#v", got), fmt.Sprintf("%#v", want); g != w && !reflect.DeepEqual(got, want) {
		// Times hold pointers: they are compared by what they show.
		if g, w := shown(got), shown(want); g != w {
			t.Errorf("%s:\n got %s\nwant %s", what, g, w)
		}
	}
}

func shown(s seen) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%q %q %q\n", s.Columns, s.Types, s.Err)
	for i, row := range s.Rows {
		for j, v := range row {
			if at, ok := v.(time.Time); ok {
				zone, offset := at.Zone()
				v = fmt.Sprintf("%v %v %d %q", at.Format(time.RFC3339Nano), zone, offset, at.Location())
			}
			fmt.Fprintf(&b, "%T %#v %v; ", v, v, s.Texts[i][j])
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// Whatever is asked, through the cache it is as without: columns, types, values
// and errors, when it is loaded, when it is cached, and when it does not ask for
// the cache at all; as a statement, prepared, in a transaction, on a connection.
func TestConformance(t *testing.T) {
	onEngines(t, func(t *testing.T, e engine) {
		c := redis(t)
		cached, plain, cache := e.open(t, c)
		table := fresh("kinds")
		e.kinds(t, plain, table)
		missing := fresh("missing")
		type question struct {
			text string
			args []any
			hits bool // the second answer is the cache's
		}
		questions := []question{
			{"SELECT * FROM " + table + " ORDER BY id", nil, true},
			{"SELECT * FROM " + table + " WHERE id = " + e.one, []any{1}, true},
			{"SELECT * FROM " + table + " WHERE id = " + e.one, []any{99}, true},
			{"SELECT count(*), max(id) FROM " + table, nil, true},
			{"SELECT t, v FROM " + table + " WHERE t = " + e.one + " AND v = " + e.two, []any{"text", "varchar"}, true},
			{"SELECT * FROM " + missing, nil, false},
			{"SELECT nothing such FROM " + table + " WHERE", nil, false},
			{"SELECT * FROM " + table + " WHERE id = " + e.one, []any{"no number"}, e.driver != "pgx"},
			{"SELECT * FROM " + table + " WHERE id = " + e.one, nil, false},
			{"SELECT * FROM " + table + " WHERE id = " + e.one, []any{struct{ A int }{1}}, false},
			{"SELECT * FROM " + table + " WHERE id = " + e.one, []any{sql.NullInt64{Int64: 1, Valid: true}}, true},
			{"SELECT * FROM " + table + " WHERE id = " + e.one, []any{nil}, true},
			{"SELECT id FROM " + table + " WHERE t = " + e.one, []any{[]byte("text")}, true},
		}
		switch e.driver {
		case "pgx":
			questions = append(questions,
				question{"SELECT id FROM " + table + " WHERE id = ANY($1) ORDER BY id", []any{[]int32{1, 3}}, true},
				question{"SELECT 10 / (id - 2) FROM " + table + " ORDER BY id", nil, false}, // fails on the way
				question{"SELECT $1::timestamptz, t FROM " + table, []any{time.Date(2024, 1, 2, 3, 4, 5, 6000, time.FixedZone("X", 3600))}, true})
		case "sqlite":
			questions = append(questions,
				question{"SELECT 1 FROM " + table + "; SELECT 2 FROM " + table, nil, false},
				question{"SELECT * FROM " + table + " WHERE id = :n", []any{sql.Named("n", 1)}, true},
				question{"SELECT abs(CASE id WHEN 3 THEN -9223372036854775807 - 1 ELSE 1 END) FROM " + table + " ORDER BY id", nil, false})
		}
		for _, q := range questions {
			t.Run(q.text, func(t *testing.T) {
				asks := "/* cache ttl=1h */ " + q.text
				for way, run := range map[string]func(db *sql.DB, text string) seen{
					"statement": func(db *sql.DB, text string) seen { return all(t.Context(), db, text, q.args...) },
					"prepared": func(db *sql.DB, text string) seen {
						s, err := db.PrepareContext(t.Context(), text)
						if err != nil {
							return seen{Err: fmt.Sprintf("%T %v", root(err), err)}
						}
						defer s.Close()
						return all(t.Context(), preparedQuery{s}, "", q.args...)
					},
					"transaction": func(db *sql.DB, text string) seen {
						tx, err := db.BeginTx(t.Context(), nil)
						if err != nil {
							t.Fatal(err)
						}
						defer tx.Rollback() // nothing was written
						return all(t.Context(), tx, text, q.args...)
					},
					"connection": func(db *sql.DB, text string) seen {
						one, err := db.Conn(t.Context())
						if err != nil {
							t.Fatal(err)
						}
						defer one.Close()
						return all(t.Context(), one, text, q.args...)
					},
				} {
					want := run(plain, q.text)
					same(t, way+", passed through", run(cached, q.text), want)
					must(t, cache.Clear(t.Context()))
					if e.driver == "pgx" && strings.Contains(want.Err, "SQLSTATE") {
						// The position of an error counts the comment.
						want = run(plain, asks)
					}
					same(t, way+", loaded", run(cached, asks), want)
					before := cache.Stats().Cache.Hits + cache.Stats().InTx
					same(t, way+", again", run(cached, asks), want)
					if hit := cache.Stats().Cache.Hits+cache.Stats().InTx > before; hit != q.hits && way != "transaction" {
						t.Errorf("%s: by the cache: %v", way, hit)
					}
					same(t, way+", by the context", all(sqlcache.With(t.Context(), time.Hour), cached, q.text, q.args...), all(t.Context(), plain, q.text, q.args...))
				}
			})
		}
		t.Logf("%+v", cache.Stats())
	})
}

// preparedQuery is a prepared statement in the place of a database.
type preparedQuery struct{ *sql.Stmt }

func (p preparedQuery) QueryContext(ctx context.Context, _ string, args ...any) (*sql.Rows, error) {
	return p.Stmt.QueryContext(ctx, args...)
}
