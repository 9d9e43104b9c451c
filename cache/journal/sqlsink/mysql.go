package sqlsink

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/redstart-go/redstart/cache/journal"
)

// What one statement to MySQL may hold: the protocol's limit is 65,535 parameters,
// the server's packet 16 MiB (MariaDB) unless it is told otherwise.
const (
	mostParameters = 60_000
	mostBytes      = 4 << 20
	mostKeys       = 500 // asked for at once; MariaDB makes a join of longer lists
)

// mysql first locks and reads the versions of the rows that are there, which says
// what the guard refuses, then inserts the rows that are not there, and updates the
// others. ON DUPLICATE KEY UPDATE alone would not do: it fires on any unique index,
// and would put a change into another's row.
type mysql struct {
	table
	insert, values, update string
	held, del, where       string
}

func newMySQL(t table) *mysql {
	target := quoteTable(t.name, backtick)
	// The row that is there is the one that is meant, and older. Assignments go from left
	// to right and see each other: the version is the last.
	version := backtick(t.version())
	mine := each(t.columns[:t.keys], " AND ", func(_ int, name string) string {
		return backtick(name) + " = VALUES(" + backtick(name) + ")"
	}) + " AND (" + version + " IS NULL OR " + version + " < VALUES(" + version + "))"
	where := backtick(t.columns[0])
	if t.keys > 1 {
		where = "(" + each(t.columns[:t.keys], " AND ", func(_ int, name string) string { return backtick(name) + " = ?" }) + ")"
	}
	return &mysql{
		table:  t,
		insert: "INSERT INTO " + target + " (" + list(t.columns, "", backtick) + ") VALUES ",
		values: "(" + each(t.columns, ", ", func(int, string) string { return "?" }) + ")",
		update: " ON DUPLICATE KEY UPDATE " + each(t.columns[t.keys:], ", ", func(_ int, name string) string {
			return backtick(name) + " = IF(" + mine + ", VALUES(" + backtick(name) + "), " + backtick(name) + ")"
		}),
		held: "SELECT " + list(t.columns[:t.keys], "", backtick) + ", COALESCE(" + version + ", -9223372036854775808) FROM " + target +
			" WHERE ",
		del:   "DELETE FROM " + target + " WHERE ",
		where: where,
	}
}

// begin: at repeatable read, MySQL's default, the look for rows that are not there
// would lock the gaps in which others insert.
func (*mysql) begin(ctx context.Context, db *sql.DB) (*sql.Tx, func(), error) {
	return readCommitted(ctx, db)
}

func (*mysql) gaveUp(err error) bool {
	n := number(err)
	return n == 1213 || n == 1205 // deadlock, lock wait timeout
}

func (*mysql) prepare(record) error { return nil }

// check refuses a session that would cut values that are too long, in silence, and a
// Key that is not unique.
func (m *mysql) check(ctx context.Context, db *sql.DB) error {
	var mode string
	if err := db.QueryRowContext(ctx, "SELECT @@sql_mode").Scan(&mode); err != nil {
		return err
	}
	if !strings.Contains(mode, "STRICT_") {
		return errors.New("sql_mode has neither STRICT_TRANS_TABLES nor STRICT_ALL_TABLES: values that do not fit would be cut in silence")
	}
	schema, name, qualified := strings.Cut(m.name, ".")
	if !qualified {
		schema, name = "", m.name
	}
	columns, err := m.kinds(ctx, db, schema, name)
	if err != nil {
		return err
	}
	var wrong []error
	for _, column := range m.columns {
		if _, ok := columns[strings.ToLower(column)]; !ok {
			wrong = append(wrong, fmt.Errorf("no column %q in a table %q", column, m.name))
		}
	}
	if kind := columns[strings.ToLower(m.version())]; len(wrong) == 0 && kind != "bigint" && kind != "decimal" {
		wrong = append(wrong, fmt.Errorf("column %q is %s: a version needs bigint", m.version(), kind))
	}
	if len(wrong) > 0 {
		return errors.Join(wrong...)
	}
	return m.unique(ctx, db, schema, name)
}

// kinds gives the types of the table's columns; their names do not tell capitals.
func (m *mysql) kinds(ctx context.Context, db *sql.DB, schema, name string) (map[string]string, error) {
	rows, err := db.QueryContext(ctx, "SELECT column_name, data_type FROM information_schema.columns "+
		"WHERE table_schema = IF(? = '', DATABASE(), ?) AND table_name = ?", schema, schema, name)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	columns := map[string]string{}
	for rows.Next() {
		var column, kind string
		if err := rows.Scan(&column, &kind); err != nil {
			return nil, err
		}
		columns[strings.ToLower(column)] = strings.ToLower(kind)
	}
	return columns, rows.Err()
}

// unique looks for a unique index on exactly the Key's columns.
func (m *mysql) unique(ctx context.Context, db *sql.DB, schema, name string) error {
	rows, err := db.QueryContext(ctx, "SELECT index_name, column_name, sub_part IS NOT NULL FROM information_schema.statistics "+
		"WHERE table_schema = IF(? = '', DATABASE(), ?) AND table_name = ? AND non_unique = 0", schema, schema, name)
	if err != nil {
		return err
	}
	defer rows.Close()
	indexes := map[string][]string{}
	for rows.Next() {
		var index, column string
		var part bool
		if err := rows.Scan(&index, &column, &part); err != nil {
			return err
		}
		if part { // of the column's beginning alone
			column = ""
		}
		indexes[index] = append(indexes[index], strings.ToLower(column))
	}
	if err := rows.Err(); err != nil {
		return err
	}
	for _, columns := range indexes {
		found := 0
		for _, key := range m.columns[:m.keys] {
			for _, column := range columns {
				if column == strings.ToLower(key) {
					found++
				}
			}
		}
		if found == m.keys && len(columns) == m.keys {
			return nil
		}
	}
	return errors.New("no unique index is on exactly the columns of Key")
}

func (m *mysql) upsert(ctx context.Context, tx *sql.Tx, records []record) ([]journal.Refused, error) {
	fresh, older, refused, err := m.sort(ctx, tx, records)
	if err != nil {
		return nil, err
	}
	if _, err := m.put(ctx, tx, fresh, ""); err != nil {
		return nil, err
	}
	changed, err := m.put(ctx, tx, older, m.update)
	if err != nil {
		return nil, err
	}
	if changed != 2*len(older) { // a row that was there and is changed counts twice
		err = m.arrived(ctx, tx, older)
	}
	return refused, err
}

func (m *mysql) remove(ctx context.Context, tx *sql.Tx, records []record) ([]journal.Refused, error) {
	_, older, refused, err := m.sort(ctx, tx, records)
	if err != nil {
		return nil, err
	}
	for part := range slices.Chunk(older, mostKeys) {
		if _, err := tx.ExecContext(ctx, m.del+m.among(len(part)), m.keysOf(part)...); err != nil {
			return nil, err
		}
	}
	return refused, nil
}

// sort tells records whose rows are not there, those whose rows are older, and those
// that the guard refuses.
func (m *mysql) sort(ctx context.Context, tx *sql.Tx, records []record) (fresh, older []record, refused []journal.Refused, err error) {
	stored, err := m.stored(ctx, tx, records)
	if err != nil {
		return nil, nil, nil, err
	}
	for i, r := range records {
		switch version, ok := stored[i]; {
		case !ok:
			fresh = append(fresh, r)
		case version < r.version:
			older = append(older, r)
		default:
			refused = append(refused, journal.Refused{Index: r.index, Stored: version})
		}
	}
	return fresh, older, refused, nil
}

// put sends the records by as few statements as may be, and gives MySQL's count.
// Without a clause for rows that are there a duplicate is an error.
func (m *mysql) put(ctx context.Context, tx *sql.Tx, records []record, clause string) (changed int, err error) {
	err = m.chunks(records, func(part []record) error {
		args := make([]any, 0, len(part)*len(m.columns))
		for _, r := range part {
			args = append(args, r.values...)
		}
		n, err := affected(tx.ExecContext(ctx, m.insert+m.values+strings.Repeat(", "+m.values, len(part)-1)+clause, args...))
		changed += n
		if err != nil && clause == "" && number(err) == 1062 {
			if stored, asked := m.stored(ctx, tx, part); asked == nil && len(stored) > 0 {
				return fmt.Errorf("%w: %w", errRace, err)
			}
		}
		return blameRow(part, err)
	})
	return changed, err
}

// arrived makes sure that the updates hit the rows that they meant: a change that
// met another row by a second unique index changed nothing there, and is that
// record's error.
func (m *mysql) arrived(ctx context.Context, tx *sql.Tx, records []record) error {
	stored, err := m.stored(ctx, tx, records)
	if err != nil {
		return err
	}
	for i, r := range records {
		if stored[i] != r.version {
			return &journal.RecordError{Index: r.index, Err: errors.New("another row has one of its unique values")}
		}
	}
	return nil
}

// stored locks the rows of the records that are there and gives their versions by
// the records' places.
func (m *mysql) stored(ctx context.Context, tx *sql.Tx, records []record) (map[int]int64, error) {
	places := make(map[string]int, len(records))
	for i, r := range records {
		places[keyDigest(r.values[:m.keys])] = i
	}
	found := map[int]int64{}
	for part := range slices.Chunk(records, mostKeys) {
		if err := m.look(ctx, tx, part, places, found); err != nil {
			return nil, err
		}
	}
	return found, nil
}

func (m *mysql) look(ctx context.Context, tx *sql.Tx, part []record, places map[string]int, found map[int]int64) error {
	rows, err := tx.QueryContext(ctx, m.held+m.among(len(part))+" FOR UPDATE", m.keysOf(part)...)
	if err != nil {
		return err
	}
	defer rows.Close()
	key := make([]any, m.keys)
	version := int64(0)
	targets := make([]any, 0, m.keys+1)
	for i := range key {
		targets = append(targets, &key[i])
	}
	targets = append(targets, &version)
	for rows.Next() {
		if err := rows.Scan(targets...); err != nil {
			return err
		}
		place, ok := places[keyDigest(key)]
		if !ok {
			return errors.New("the Key's columns take two ids for the same: give them a binary collation, and ids of the column's type")
		}
		found[place] = version
	}
	return rows.Err()
}

// keyDigest tells keys apart, whether they come from a caller or from the database.
func keyDigest(values []any) string {
	if len(values) == 1 {
		return digest(values[0])
	}
	var b strings.Builder
	for _, v := range values {
		d := digest(v)
		b.WriteString(strconv.Itoa(len(d)) + ":" + d)
	}
	return b.String()
}

// among is the condition for n keys. A list of pairs is not everywhere looked up in
// the index; equations are.
func (m *mysql) among(n int) string {
	if m.keys == 1 {
		return m.where + " IN (?" + strings.Repeat(", ?", n-1) + ")"
	}
	return m.where + strings.Repeat(" OR "+m.where, n-1)
}

func (m *mysql) keysOf(records []record) []any {
	all := make([]any, 0, len(records)*m.keys)
	for _, r := range records {
		all = append(all, r.values[:m.keys]...)
	}
	return all
}

// chunks cuts the records so that each part fits one statement.
func (m *mysql) chunks(records []record, send func(part []record) error) error {
	for len(records) > 0 {
		n, size := 0, 0
		for n < len(records) && (n+1)*len(m.columns) <= mostParameters {
			for _, v := range records[n].values {
				size += sizeOf(v)
			}
			if n > 0 && size > mostBytes {
				break
			}
			n++
		}
		if err := send(records[:n]); err != nil {
			return err
		}
		records = records[n:]
	}
	return nil
}

// atRow is how MySQL says which row of a statement it means.
var atRow = regexp.MustCompile(` at row (\d+)`)

// blameRow says that a record is what MySQL will not take, where the error names its
// row: it does for values that do not fit their columns.
func blameRow(part []record, err error) error {
	if err == nil || number(err) == 0 {
		return err
	}
	if found := atRow.FindStringSubmatch(err.Error()); found != nil {
		if n, bad := strconv.Atoi(found[1]); bad == nil && n >= 1 && n <= len(part) {
			return &journal.RecordError{Index: part[n-1].index, Err: journal.Permanent(err)}
		}
	}
	return err
}
