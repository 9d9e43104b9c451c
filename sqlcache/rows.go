package sqlcache

import (
	"database/sql/driver"
	"io"
	"reflect"
)

// replay gives a stored result as rows.
type replay struct {
	columns []column
	rest    reader
}

func newReplay(raw []byte) (*replay, error) {
	r := &replay{rest: reader{b: raw}}
	if r.columns = r.rest.columns(); r.rest.bad {
		return nil, errFormat
	}
	return r, nil
}

func (r *replay) Columns() []string {
	names := make([]string, len(r.columns))
	for i := range r.columns {
		names[i] = r.columns[i].name
	}
	return names
}

func (r *replay) Close() error { return nil }

func (r *replay) Next(dest []driver.Value) error {
	if len(r.rest.b) == 0 {
		return io.EOF
	}
	if r.rest.byte() != 1 {
		return errFormat
	}
	for i := range dest {
		dest[i] = r.rest.value()
	}
	if r.rest.bad {
		return errFormat
	}
	return nil
}

func (r *replay) ColumnTypeScanType(i int) reflect.Type   { return r.columns[i].scan }
func (r *replay) ColumnTypeDatabaseTypeName(i int) string { return r.columns[i].database }
func (r *replay) ColumnTypeLength(i int) (int64, bool) {
	return r.columns[i].length, r.columns[i].has&hasLength != 0
}

func (r *replay) ColumnTypeNullable(i int) (nullable, ok bool) {
	return r.columns[i].has&isNullable != 0, r.columns[i].has&hasNullable != 0
}

func (r *replay) ColumnTypePrecisionScale(i int) (precision, scale int64, ok bool) {
	c := &r.columns[i]
	return c.precision, c.scale, c.has&hasPrecision != 0
}

// passing are rows of the driver, with something to be done when they end.
type passing struct {
	driver.Rows
	ended func(error) // once
	err   error       // the first that was seen
}

func (p *passing) Next(dest []driver.Value) error {
	err := p.Rows.Next(dest)
	if err != nil && err != io.EOF && p.err == nil { //nolint:errorlint // as package sql compares it
		p.err = err
	}
	return err
}

func (p *passing) Close() error {
	err := p.Rows.Close()
	if p.ended != nil {
		if p.err == nil {
			p.err = err
		}
		p.ended(p.err)
		p.ended = nil
	}
	return err
}

// What follows says what package sql takes for granted of a driver that does
// not say it.

func (p *passing) HasNextResultSet() bool {
	r, ok := p.Rows.(driver.RowsNextResultSet)
	return ok && r.HasNextResultSet()
}

func (p *passing) NextResultSet() error {
	if r, ok := p.Rows.(driver.RowsNextResultSet); ok {
		return r.NextResultSet()
	}
	return io.EOF
}

func (p *passing) ColumnTypeScanType(i int) reflect.Type {
	if r, ok := p.Rows.(driver.RowsColumnTypeScanType); ok {
		return r.ColumnTypeScanType(i)
	}
	return reflect.TypeFor[any]()
}

func (p *passing) ColumnTypeDatabaseTypeName(i int) string {
	if r, ok := p.Rows.(driver.RowsColumnTypeDatabaseTypeName); ok {
		return r.ColumnTypeDatabaseTypeName(i)
	}
	return ""
}

func (p *passing) ColumnTypeLength(i int) (length int64, ok bool) {
	if r, ok := p.Rows.(driver.RowsColumnTypeLength); ok {
		return r.ColumnTypeLength(i)
	}
	return 0, false
}

func (p *passing) ColumnTypeNullable(i int) (nullable, ok bool) {
	if r, ok := p.Rows.(driver.RowsColumnTypeNullable); ok {
		return r.ColumnTypeNullable(i)
	}
	return false, false
}

func (p *passing) ColumnTypePrecisionScale(i int) (precision, scale int64, ok bool) {
	if r, ok := p.Rows.(driver.RowsColumnTypePrecisionScale); ok {
		return r.ColumnTypePrecisionScale(i)
	}
	return 0, 0, false
}

// resumed are rows of which some were read before it was seen that they are not
// to be cached: those, then what the driver still has.
type resumed struct {
	passing
	columns *replay
	read    *replay // the same, until it has been read
	pending []driver.Value
	err     error // the end that was seen already
}

func (r *resumed) Next(dest []driver.Value) error {
	if r.read != nil {
		if err := r.read.Next(dest); err != io.EOF { //nolint:errorlint // its own
			return err
		}
		r.read = nil
	}
	if r.pending != nil {
		copy(dest, r.pending)
		r.pending = nil
		return nil
	}
	if r.err != nil {
		return r.err
	}
	return r.passing.Next(dest)
}

func (r *resumed) NextResultSet() error {
	r.read, r.pending, r.err = nil, nil, nil
	return r.passing.NextResultSet()
}

// before is the recorded result as long as it lasts: what some drivers say of
// columns depends on the row at which they are.
func (r *resumed) before() (*replay, bool) {
	return r.columns, r.columns != nil && (r.read != nil || r.pending != nil || r.err != nil)
}

func (r *resumed) ColumnTypeScanType(i int) reflect.Type {
	if c, ok := r.before(); ok {
		return c.ColumnTypeScanType(i)
	}
	return r.passing.ColumnTypeScanType(i)
}

func (r *resumed) ColumnTypeLength(i int) (length int64, ok bool) {
	if c, ok := r.before(); ok {
		return c.ColumnTypeLength(i)
	}
	return r.passing.ColumnTypeLength(i)
}

// recorded is a result that was read whole, or why it was not: the rest is for
// whoever asked.
type recorded struct {
	raw   []byte
	rest  *resumed
	large bool // beyond the caps
}

// record reads rows up to the caps and closes them. What cannot be cached is
// left open: more rows than that, several sets, a failure on the way, a value
// or a type of column that the format does not hold.
func record(rows driver.Rows, maxRows, maxBytes int) recorded {
	names := rows.Columns()
	columns := make([]column, len(names))
	for i, n := range names {
		columns[i] = describe(rows, i, n)
	}
	raw, ok := appendColumns(nil, columns)
	if !ok {
		return recorded{rest: &resumed{passing: passing{Rows: rows}}}
	}
	header := len(raw)
	rest := func(pending []driver.Value, err error, large bool) recorded {
		read, bad := newReplay(raw)
		if bad != nil { // it was written just now
			return recorded{rest: &resumed{passing: passing{Rows: rows}, err: bad}}
		}
		return recorded{rest: &resumed{passing: passing{Rows: rows}, columns: read, read: read, pending: pending, err: err}, large: large}
	}
	dest := make([]driver.Value, len(names))
	for n := 0; ; n++ {
		if err := rows.Next(dest); err == io.EOF { //nolint:errorlint // as package sql compares it
			break
		} else if err != nil {
			return rest(nil, err, false)
		}
		if n == maxRows {
			return rest(dest, nil, true)
		}
		had := len(raw)
		raw = append(raw, 1)
		for _, v := range dest {
			if raw, ok = appendValue(raw, v); !ok {
				raw = raw[:had]
				return rest(dest, nil, false)
			}
		}
		if len(raw)-header > maxBytes {
			raw = raw[:had]
			return rest(dest, nil, true)
		}
	}
	if r, ok := rows.(driver.RowsNextResultSet); ok && r.HasNextResultSet() {
		return rest(nil, io.EOF, false)
	}
	if err := rows.Close(); err != nil {
		r := rest(nil, io.EOF, false)
		r.rest.Rows = closed{rows, err}
		return r
	}
	return recorded{raw: raw}
}

// closed are rows that gave an error when they were closed.
type closed struct {
	driver.Rows
	err error
}

func (c closed) Close() error { return c.err }
