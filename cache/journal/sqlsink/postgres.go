package sqlsink

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/redstart-go/redstart/cache/journal"
)

// postgres writes any number of rows by one statement. Its parameters are the same
// text for every driver: an array's literal for each of the keys and the columns of
// numbers and the like, which the server's own input functions read, and for all the
// others the bytes of all rows behind one another, with two arrays that say where a
// row's begin and how many they are. (A literal of long texts costs the server a look
// at each of their bytes, twice.) Nothing that a value holds is part of the statement.
type postgres struct {
	table
	known atomic.Pointer[pgTable] // after check
}

type pgTable struct {
	keys                          int
	columns                       []pgColumn
	upsert, refused, remove, kept string
}

// pgColumn is what is known of a column.
type pgColumn struct {
	kind  string // its type without a length, so that too long a value is an error
	list  bool   // an array or a row, which unnest would take apart: it travels as text
	bytes bool
	slice bool // sent among the bytes of all rows
}

// short are the types that are sent in arrays.
var short = map[string]bool{
	"bigint": true, "integer": true, "smallint": true, "numeric": true, "real": true, "double precision": true, "boolean": true,
	"timestamp with time zone": true, "timestamp without time zone": true, "date": true, "uuid": true,
}

func newPostgres(t table) *postgres { return &postgres{table: t} }

func (p *postgres) begin(ctx context.Context, db *sql.DB) (*sql.Tx, func(), error) {
	return readCommitted(ctx, db)
}

func (p *postgres) gaveUp(err error) bool {
	switch sqlState(err) {
	case "40001", "40P01", "55P03": // serialization, deadlock, lock timeout
		return true
	}
	return false
}

// Types are asked without the length (the modifier -1): a cast to varchar(3) would cut
// in silence, an assignment does not.
const askColumns = `SELECT a.attname, format_type(a.atttypid, -1), t.typcategory IN ('A', 'C'), 'bytea'::regtype IN (t.oid, t.typbasetype)
FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
WHERE a.attrelid = $1::text::regclass AND a.attnum > 0 AND NOT a.attisdropped`

func (p *postgres) check(ctx context.Context, db *sql.DB) error {
	rows, err := db.QueryContext(ctx, askColumns, quoteTable(p.name, ansi))
	if err != nil {
		return err
	}
	defer rows.Close()
	all := map[string]pgColumn{}
	for rows.Next() {
		var name string
		var c pgColumn
		if err := rows.Scan(&name, &c.kind, &c.list, &c.bytes); err != nil {
			return err
		}
		all[name] = c
	}
	if err := rows.Err(); err != nil {
		return err
	}
	columns := make([]pgColumn, len(p.columns))
	var wrong []error
	for i, name := range p.columns {
		c, ok := all[name]
		if !ok {
			wrong = append(wrong, fmt.Errorf("no column %q", name))
		}
		c.slice = i >= p.keys && !short[c.kind]
		columns[i] = c
	}
	if kind := columns[len(columns)-1].kind; len(wrong) == 0 && kind != "bigint" && kind != "numeric" {
		wrong = append(wrong, fmt.Errorf("column %q is %s: a version needs bigint", p.version(), kind))
	}
	if err := errors.Join(wrong...); err != nil {
		return err
	}
	t := p.write(columns)
	// The planner's own word on the Key's unique index and on what this user may do.
	if err := ask(ctx, db, "EXPLAIN "+t.upsert, t.every(nil)...); err != nil {
		return err
	}
	p.known.Store(t)
	return nil
}

// write writes the statements. The aliases are ours: "held" is the row that is
// there, "new" the one that comes; its columns are numbered, for a name of the
// table's might be anything.
func (p *postgres) write(columns []pgColumn) *pgTable {
	t := &pgTable{keys: p.keys, columns: columns}
	target, version := quoteTable(p.name, ansi), "held."+ansi(p.version())
	all := "$" + strconv.Itoa(t.arrays()+1) + "::bytea"
	sources, names, values := []string{}, []string{}, make([]string, len(columns))
	parameter := func(kind, name string) {
		sources = append(sources, "$"+strconv.Itoa(len(sources)+1)+"::text::"+kind+"[]")
		names = append(names, name)
	}
	array := func(place int) {
		c, name := columns[place], "c"+strconv.Itoa(place)
		values[place] = "new." + name
		if c.list {
			parameter("text", name)
			values[place] += "::" + c.kind
			return
		}
		parameter(c.kind, name)
	}
	// The guard's statements have the keys and the version; the upsert all.
	last := len(columns) - 1
	for place := range p.keys {
		array(place)
	}
	array(last)
	guard := "unnest(" + strings.Join(sources, ", ") + ") WITH ORDINALITY AS new (" + strings.Join(names, ", ") + ", at)"
	for place := p.keys; place < last; place++ {
		if !columns[place].slice {
			array(place)
			continue
		}
		from, count := "o"+strconv.Itoa(place), "n"+strconv.Itoa(place)
		parameter("integer", from)
		parameter("integer", count)
		values[place] = columns[place].cut(all, "new."+from, "new."+count)
	}
	every := "unnest(" + strings.Join(sources, ", ") + ") AS new (" + strings.Join(names, ", ") + ")"
	same := each(p.columns[:p.keys], " AND ", func(i int, name string) string { return "held." + ansi(name) + " = " + values[i] })
	coming := values[last]
	t.upsert = "INSERT INTO " + target + " AS held (" + list(p.columns, "", ansi) + ") OVERRIDING SYSTEM VALUE SELECT " +
		strings.Join(values, ", ") + " FROM " + every +
		" ON CONFLICT (" + list(p.columns[:p.keys], "", ansi) + ") DO UPDATE SET " +
		each(p.columns[p.keys:], ", ", func(_ int, name string) string { return ansi(name) + " = excluded." + ansi(name) }) +
		" WHERE " + version + " IS NULL OR " + version + " < excluded." + ansi(p.version())
	// After the upsert, which has locked what it refused. A row with this very version
	// is either this transaction's work or was there before.
	t.refused = "SELECT new.at, " + version + "::bigint FROM " + guard + " JOIN " + target + " AS held ON " + same +
		" WHERE " + version + " > " + coming + " OR " + version + " = " + coming + " AND held.xmin <> pg_current_xact_id()::xid"
	t.remove = "DELETE FROM " + target + " AS held USING " + guard + " WHERE " + same +
		" AND (" + version + " IS NULL OR " + version + " < " + coming + ")"
	t.kept = "SELECT new.at, " + version + "::bigint FROM " + guard + " JOIN " + target + " AS held ON " + same
	return t
}

// arrays is how many parameters of the upsert are arrays.
func (t *pgTable) arrays() int {
	n := len(t.columns)
	for _, c := range t.columns {
		if c.slice {
			n++
		}
	}
	return n
}

// cut is the expression for a row's part of all bytes.
func (c pgColumn) cut(all, from, count string) string {
	part := "substring(" + all + ", " + from + ", " + count + ")"
	switch {
	case c.bytes:
		return part + "::" + c.kind // a domain's, maybe
	case c.kind == "text":
		return "convert_from(" + part + ", 'UTF8')"
	}
	return "convert_from(" + part + ", 'UTF8')::" + c.kind
}

// guard gives the parameters of the guard's statements: the keys and the version.
func (t *pgTable) guard(records []record) []any {
	all := make([]any, 0, t.arrays()+1)
	for place := range t.keys {
		all = append(all, t.literal(records, place))
	}
	literal := make([]byte, 0, 20*len(records)+2)
	for _, r := range records {
		literal = strconv.AppendInt(append(literal, ','), r.version, 10)
	}
	return append(all, asArray(literal))
}

// every gives the parameters of the upsert.
func (t *pgTable) every(records []record) []any {
	all := t.guard(records)
	size := 0
	for place, c := range t.columns {
		if c.slice {
			for _, r := range records {
				size += sizeOf(r.values[place])
			}
		}
	}
	bytes, slices := make([]byte, 0, size), false
	for place := t.keys; place < len(t.columns)-1; place++ {
		if !t.columns[place].slice {
			all = append(all, t.literal(records, place))
			continue
		}
		slices = true
		from, count := make([]byte, 0, 11*len(records)), make([]byte, 0, 7*len(records))
		for _, r := range records {
			before := len(bytes)
			from = strconv.AppendInt(append(from, ','), int64(before)+1, 10)
			if r.values[place] == nil {
				count = append(count, ",NULL"...)
				continue
			}
			bytes = appendText(bytes, r.values[place])
			count = strconv.AppendInt(append(count, ','), int64(len(bytes)-before), 10)
		}
		all = append(all, asArray(from), asArray(count))
	}
	if slices {
		all = append(all, bytes)
	}
	return all
}

// literal is the array's literal of a column.
func (t *pgTable) literal(records []record, place int) string {
	size := 0
	for _, r := range records {
		size += 4 + sizeOf(r.values[place])
	}
	literal := make([]byte, 0, size)
	for _, r := range records {
		literal = appendElement(append(literal, ','), r.values[place], t.columns[place].bytes)
	}
	return asArray(literal)
}

// asArray puts what is a comma before each element into braces.
func asArray(elements []byte) string {
	if len(elements) == 0 {
		return "{}"
	}
	elements[0] = '{'
	return string(append(elements, '}'))
}

func sizeOf(v any) int {
	switch v := v.(type) {
	case string:
		return len(v)
	case []byte:
		return len(v)
	}
	return 20
}

// prepare finds what text cannot hold.
func (p *postgres) prepare(r record) error {
	columns := p.known.Load().columns
	for i, v := range r.values[:len(r.values)-1] {
		if !columns[i].bytes {
			if err := checkText(v); err != nil {
				return fmt.Errorf("column %s: %w", p.columns[i], err)
			}
		}
	}
	return nil
}

func (p *postgres) upsert(ctx context.Context, tx *sql.Tx, records []record) ([]journal.Refused, error) {
	t := p.known.Load()
	written, err := affected(tx.ExecContext(ctx, t.upsert, t.every(records)...))
	if err != nil || written == len(records) {
		return nil, hopeless(err)
	}
	refused, err := refusals(ctx, tx, t.refused, t.guard(records), records)
	if err == nil && written+len(refused) != len(records) {
		err = fmt.Errorf("of %d rows %d were written and %d refused; does a trigger or a rule drop some?", len(records), written, len(refused))
	}
	return refused, err
}

// hopeless marks what no repetition can heal: data that does not fit its type
// (class 22), NULL where there must be a value, a check. Whose it is the journal
// finds out.
func hopeless(err error) error {
	state := sqlState(err)
	if strings.HasPrefix(state, "22") || state == "23502" || state == "23514" {
		return journal.Permanent(err)
	}
	return err
}

func (p *postgres) remove(ctx context.Context, tx *sql.Tx, records []record) ([]journal.Refused, error) {
	t := p.known.Load()
	removed, err := affected(tx.ExecContext(ctx, t.remove, t.guard(records)...))
	if err != nil || removed == len(records) {
		return nil, err
	}
	return refusals(ctx, tx, t.kept, t.guard(records), records)
}

// refusals gives what a query says about the records: their place and the version that
// stands.
func refusals(ctx context.Context, tx *sql.Tx, query string, parameters []any, records []record) ([]journal.Refused, error) {
	rows, err := tx.QueryContext(ctx, query, parameters...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var refused []journal.Refused
	for rows.Next() {
		var at int
		var r journal.Refused
		if err := rows.Scan(&at, &r.Stored); err != nil {
			return nil, err
		}
		r.Index = records[at-1].index
		refused = append(refused, r)
	}
	return refused, rows.Err()
}

// ask runs a query whose answer is whether it is one.
func ask(ctx context.Context, db *sql.DB, text string, args ...any) error {
	rows, err := db.QueryContext(ctx, text, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	more := true
	for more {
		more = rows.Next()
	}
	return rows.Err()
}

func affected(result sql.Result, err error) (int, error) {
	if err != nil {
		return 0, err
	}
	n, err := result.RowsAffected()
	return int(n), err
}
