package sqlcache

import (
	"database/sql"
	"database/sql/driver"
	"encoding/binary"
	"errors"
	"math"
	"reflect"
	"strings"
	"sync"
	"time"
)

// format is that of stored results: their columns, then each row behind a 1.
const format = 1

// maxHeader bounds what the columns may take beside the rows.
const maxHeader = 64 << 10

var errFormat = errors.New("the stored result is damaged")

// column is what is known of a column beside its name. A driver that does not
// say something gives what package sql takes it for then.
type column struct {
	name, database           string
	length, precision, scale int64
	has                      uint8 // which of these the driver knows
	scan                     reflect.Type
}

const (
	hasLength uint8 = 1 << iota
	hasPrecision
	hasNullable
	isNullable
)

// scanTypes are the types that columns are scanned into, in the order of their
// numbers in the format.
var scanTypes = []reflect.Type{
	reflect.TypeFor[any](), reflect.TypeFor[int64](), reflect.TypeFor[float64](), reflect.TypeFor[bool](), reflect.TypeFor[string](),
	reflect.TypeFor[[]byte](), reflect.TypeFor[time.Time](), reflect.TypeFor[int32](), reflect.TypeFor[int16](), reflect.TypeFor[int8](),
	reflect.TypeFor[int](), reflect.TypeFor[uint64](), reflect.TypeFor[uint32](), reflect.TypeFor[uint16](), reflect.TypeFor[uint8](),
	reflect.TypeFor[uint](), reflect.TypeFor[float32](), reflect.TypeFor[sql.RawBytes](), reflect.TypeFor[sql.NullString](),
	reflect.TypeFor[sql.NullInt64](), reflect.TypeFor[sql.NullInt32](), reflect.TypeFor[sql.NullInt16](), reflect.TypeFor[sql.NullByte](),
	reflect.TypeFor[sql.NullFloat64](), reflect.TypeFor[sql.NullBool](), reflect.TypeFor[sql.NullTime](),
	reflect.TypeFor[sql.Null[uint64]](), reflect.TypeFor[sql.Null[uint32]](), reflect.TypeFor[sql.Null[[]byte]](), reflect.TypeFor[sql.Null[float32]](),
	reflect.TypeFor[*int64](), reflect.TypeFor[*float64](), reflect.TypeFor[*bool](), reflect.TypeFor[*string](), reflect.TypeFor[*time.Time](),
	reflect.TypeFor[*any](), nil, // SQLite says nil of a column that is null
}

func scanNumber(t reflect.Type) (byte, bool) {
	for i, known := range scanTypes {
		if t == known {
			return byte(i), true //nolint:gosec // a short list
		}
	}
	return 0, false
}

// describe is what a driver says of a column of the rows.
func describe(rows driver.Rows, i int, name string) column {
	c := column{name: name, scan: reflect.TypeFor[any]()}
	if r, ok := rows.(driver.RowsColumnTypeScanType); ok {
		c.scan = r.ColumnTypeScanType(i)
	}
	if r, ok := rows.(driver.RowsColumnTypeDatabaseTypeName); ok {
		c.database = r.ColumnTypeDatabaseTypeName(i)
	}
	flag := func(f uint8, on bool) {
		if on {
			c.has |= f
		}
	}
	if r, ok := rows.(driver.RowsColumnTypeLength); ok {
		var has bool
		c.length, has = r.ColumnTypeLength(i)
		flag(hasLength, has)
	}
	if r, ok := rows.(driver.RowsColumnTypeNullable); ok {
		nullable, has := r.ColumnTypeNullable(i)
		flag(hasNullable, has)
		flag(isNullable, nullable)
	}
	if r, ok := rows.(driver.RowsColumnTypePrecisionScale); ok {
		var has bool
		c.precision, c.scale, has = r.ColumnTypePrecisionScale(i)
		flag(hasPrecision, has)
	}
	return c
}

// appendColumns writes the header. ok is false for what the format cannot hold.
func appendColumns(b []byte, columns []column) (_ []byte, ok bool) {
	b = binary.AppendUvarint(append(b, format), uint64(len(columns)))
	for i := range columns {
		c := &columns[i]
		scan, ok := scanNumber(c.scan)
		if !ok {
			return nil, false
		}
		b = appendText(b, c.name)
		b = appendText(b, c.database)
		b = append(b, c.has, scan)
		b = binary.AppendVarint(b, c.length)
		b = binary.AppendVarint(b, c.precision)
		b = binary.AppendVarint(b, c.scale)
	}
	return b, len(b) <= maxHeader
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// What stands before a value of a row.
const (
	valueNil byte = iota
	valueInt
	valueFloat
	valueFalse
	valueTrue
	valueBytes
	valueNilBytes
	valueText
	valueTime
	valueFloat32
	valueUint
	valueInt32
)

// appendValue writes a value. ok is false for a type that the format does not
// hold.
func appendValue(b []byte, v driver.Value) (_ []byte, ok bool) {
	switch v := v.(type) {
	case nil:
		return append(b, valueNil), true
	case int64:
		return binary.AppendVarint(append(b, valueInt), v), true
	case float64:
		return binary.BigEndian.AppendUint64(append(b, valueFloat), math.Float64bits(v)), true
	case bool:
		if v {
			return append(b, valueTrue), true
		}
		return append(b, valueFalse), true
	case []byte:
		if v == nil {
			return append(b, valueNilBytes), true
		}
		return append(binary.AppendUvarint(append(b, valueBytes), uint64(len(v))), v...), true
	case string:
		return appendText(append(b, valueText), v), true
	case time.Time:
		return appendTime(append(b, valueTime), v), true
	case float32:
		return binary.BigEndian.AppendUint32(append(b, valueFloat32), math.Float32bits(v)), true
	case uint64:
		return binary.AppendUvarint(append(b, valueUint), v), true
	case int32:
		return binary.AppendVarint(append(b, valueInt32), int64(v)), true
	}
	return b, false
}

// How the zone of a time is written.
const (
	zoneUTC byte = iota
	zoneLocal
	zoneFixed
	zoneNamed
)

func appendTime(b []byte, t time.Time) []byte {
	b = binary.AppendVarint(b, t.Unix())
	b = binary.AppendUvarint(b, uint64(t.Nanosecond())) //nolint:gosec // never negative
	name, offset := t.Zone()
	loc := t.Location()
	switch {
	case loc == time.UTC:
		return append(b, zoneUTC)
	case loc == time.Local: //nolint:gosmopolitan // another process's driver would give its own
		return append(b, zoneLocal)
	case strings.Contains(loc.String(), "/") && same2(t, located(loc.String())):
		b = appendText(append(b, zoneNamed), loc.String())
	default:
		b = append(b, zoneFixed)
	}
	return binary.AppendVarint(appendText(b, name), int64(offset))
}

// same2 reports whether a zone shows a time as it shows itself.
func same2(t time.Time, loc *time.Location) bool {
	if loc == nil {
		return false
	}
	name, offset := t.Zone()
	n, o := t.In(loc).Zone()
	return n == name && o == offset
}

var zones sync.Map // *time.Location by name: reading one costs a file

// located gives the zone of a name; nil for none.
func located(name string) *time.Location {
	if loc, ok := zones.Load(name); ok {
		return loc.(*time.Location) //nolint:forcetypeassert // all are
	}
	loc, err := time.LoadLocation(name)
	if err != nil {
		return nil
	}
	zones.Store(name, loc)
	return loc
}

// reader takes a stored result apart.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.bad = true
		return 0
	}
	c := r.b[0]
	r.b = r.b[1:]
	return c
}

func (r *reader) uvarint() uint64 {
	n, size := binary.Uvarint(r.b)
	if size <= 0 {
		r.bad, size, n = true, len(r.b), 0
	}
	r.b = r.b[size:]
	return n
}

func (r *reader) varint() int64 {
	n, size := binary.Varint(r.b)
	if size <= 0 {
		r.bad, size, n = true, len(r.b), 0
	}
	r.b = r.b[size:]
	return n
}

func (r *reader) take(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.bad = true
		return nil
	}
	b := r.b[:n:n]
	r.b = r.b[n:]
	return b
}

func (r *reader) text() string { return string(r.take(r.uvarint())) }

func (r *reader) fixed(n uint64) uint64 {
	var v uint64
	for _, c := range r.take(n) {
		v = v<<8 | uint64(c)
	}
	return v
}

func (r *reader) columns() []column {
	if r.byte() != format {
		r.bad = true
	}
	n := r.uvarint()
	if r.bad || n > uint64(len(r.b)) {
		r.bad = true
		return nil
	}
	columns := make([]column, n)
	for i := range columns {
		c := &columns[i]
		c.name, c.database = r.text(), r.text()
		c.has = r.byte()
		if scan := int(r.byte()); scan < len(scanTypes) {
			c.scan = scanTypes[scan]
		} else {
			r.bad = true
		}
		c.length, c.precision, c.scale = r.varint(), r.varint(), r.varint()
	}
	return columns
}

// value reads a value, of which bytes are the reader's own.
func (r *reader) value() driver.Value {
	switch r.byte() {
	case valueNil:
		return nil
	case valueInt:
		return r.varint()
	case valueFloat:
		return math.Float64frombits(r.fixed(8))
	case valueFalse:
		return false
	case valueTrue:
		return true
	case valueBytes:
		return append([]byte{}, r.take(r.uvarint())...)
	case valueNilBytes:
		return []byte(nil)
	case valueText:
		return r.text()
	case valueTime:
		return r.time()
	case valueFloat32:
		return math.Float32frombits(uint32(r.fixed(4))) //nolint:gosec // 4 bytes
	case valueUint:
		return r.uvarint()
	case valueInt32:
		return int32(r.varint()) //nolint:gosec // written from one
	}
	r.bad = true
	return nil
}

func (r *reader) time() time.Time {
	t := time.Unix(r.varint(), int64(r.uvarint())) //nolint:gosec // below a second
	switch zone := r.byte(); zone {
	case zoneUTC:
		return t.UTC()
	case zoneLocal:
		return t
	case zoneFixed, zoneNamed:
		var loc *time.Location
		if zone == zoneNamed {
			loc = located(r.text())
		}
		name, offset := r.text(), int(r.varint())
		fixed := t.In(time.FixedZone(name, offset))
		if same2(fixed, loc) {
			return t.In(loc)
		}
		return fixed
	}
	r.bad = true
	return t
}
