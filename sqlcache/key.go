package sqlcache

import (
	"crypto/sha256"
	"database/sql/driver"
	"encoding/base64"
	"encoding/binary"
	"math"
	"reflect"
	"slices"
	"strings"
	"time"
)

// query names a result: what it depends on in a hash, and its tags.
type query struct {
	sum  [sha256.Size]byte
	tags string // with a zero byte behind each
}

func (q query) args() []string { return []string{base64.RawURLEncoding.EncodeToString(q.sum[:])} }

func (q query) labels() []string {
	if q.tags == "" {
		return nil
	}
	return strings.Split(q.tags[:len(q.tags)-1], "\x00")
}

// What stands before a value in what is hashed: no two of one length and type
// are written alike, and none is the beginning of another.
const (
	kindNil byte = iota
	kindInt
	kindUint
	kindFloat
	kindBool
	kindBytes
	kindText
	kindTime
	kindList
	kindPointer
	kindValuer
	kindNilBytes
	kindNilList
)

// digest writes values so that what is written tells them.
type digest []byte

func (d *digest) text(s string) {
	*d = binary.BigEndian.AppendUint64(*d, uint64(len(s)))
	*d = append(*d, s...)
}

func (d *digest) number(kind byte, n uint64) { *d = binary.BigEndian.AppendUint64(append(*d, kind), n) }

// key hashes what a result depends on. ok is false when an argument is of a type
// whose values cannot be told apart.
func key(text string, args []driver.NamedValue, dialect Dialect, identity string, w *wish) (q query, ok bool) {
	d := make(digest, 0, 512)
	d = append(d, format, byte(dialect))
	d.text(identity)
	d.text(text)
	d.number(kindInt, uint64(w.ttl)) //nolint:gosec // its bits
	d.number(kindList, uint64(len(args)))
	for i := range args {
		d.text(args[i].Name)
		d.number(kindInt, uint64(args[i].Ordinal)) //nolint:gosec // its bits
		if !d.value(args[i].Value) {
			return query{}, false
		}
	}
	var tags strings.Builder
	d.number(kindList, uint64(len(w.tags)))
	for _, t := range w.tags {
		d.text(t)
		tags.WriteString(t)
		tags.WriteByte(0)
	}
	return query{sum: sha256.Sum256(d), tags: tags.String()}, true
}

func (d *digest) value(v any) bool {
	switch v := v.(type) {
	case nil:
		*d = append(*d, kindNil)
	case int64:
		d.number(kindInt, uint64(v)) //nolint:gosec // its bits
	case float64:
		d.number(kindFloat, math.Float64bits(v))
	case bool:
		n := uint64(0)
		if v {
			n = 1
		}
		d.number(kindBool, n)
	case []byte:
		if v == nil {
			*d = append(*d, kindNilBytes)
			return true
		}
		*d = append(*d, kindBytes)
		d.text(string(v))
	case string:
		*d = append(*d, kindText)
		d.text(v)
	case time.Time:
		d.time(v)
	default:
		return d.foreign(v)
	}
	return true
}

// time writes the instant and how its zone names and shifts it.
func (d *digest) time(t time.Time) {
	d.number(kindTime, uint64(t.Unix())) //nolint:gosec // its bits
	zone, offset := t.Zone()
	d.number(kindInt, uint64(t.Nanosecond())) //nolint:gosec // its bits
	d.number(kindInt, uint64(offset))         //nolint:gosec // its bits
	d.text(zone)
	d.text(t.Location().String())
}

// foreign is a value that the driver itself encodes. Its type is written with it.
func (d *digest) foreign(v any) bool {
	r := reflect.ValueOf(v)
	typ := r.Type()
	*d = append(*d, kindList)
	d.text(typ.PkgPath())
	d.text(typ.String())
	if valuer, ok := v.(driver.Valuer); ok {
		if r.Kind() == reflect.Pointer && r.IsNil() {
			*d = append(*d, kindValuer, kindPointer)
			return true
		}
		got, err := valuer.Value()
		if err != nil {
			return false
		}
		if _, again := got.(driver.Valuer); again {
			return false
		}
		*d = append(*d, kindValuer)
		return d.value(got)
	}
	return d.reflected(r)
}

func (d *digest) reflected(r reflect.Value) bool {
	if t, ok := reflect.TypeAssert[time.Time](r); ok {
		d.time(t)
		return true
	}
	switch r.Kind() { //nolint:exhaustive // what is left cannot be told apart
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		d.number(kindInt, uint64(r.Int())) //nolint:gosec // its bits
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		d.number(kindUint, r.Uint())
	case reflect.Float32, reflect.Float64:
		d.number(kindFloat, math.Float64bits(r.Float()))
	case reflect.Bool:
		return d.value(r.Bool())
	case reflect.String:
		*d = append(*d, kindText)
		d.text(r.String())
	case reflect.Pointer:
		if r.IsNil() {
			*d = append(*d, kindPointer, kindNil)
			return true
		}
		*d = append(*d, kindPointer)
		return d.reflected(r.Elem())
	case reflect.Slice, reflect.Array:
		if r.Kind() == reflect.Slice && r.IsNil() {
			*d = append(*d, kindNilList)
			return true
		}
		d.number(kindList, uint64(r.Len())) //nolint:gosec // a length
		for i := range r.Len() {
			if _, valuer := reflect.TypeAssert[driver.Valuer](r.Index(i)); valuer || !d.reflected(r.Index(i)) {
				return false
			}
		}
	default:
		return false
	}
	return true
}

// keep copies arguments for a load that outlives the call. ok is false where
// that cannot be done, and the caller may change them.
func keep(args []driver.NamedValue) (kept []driver.NamedValue, ok bool) {
	kept = slices.Clone(args)
	for i := range kept {
		switch v := kept[i].Value.(type) {
		case nil, int64, float64, bool, string, time.Time:
		case []byte:
			kept[i].Value = slices.Clone(v)
		default:
			r := reflect.ValueOf(v)
			switch r.Kind() { //nolint:exhaustive // what is left may hold anything
			case reflect.Bool, reflect.String, reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
				reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Float32, reflect.Float64:
			case reflect.Slice:
				switch r.Type().Elem().Kind() { //nolint:exhaustive // as above
				case reflect.Bool, reflect.String, reflect.Int, reflect.Int16, reflect.Int32, reflect.Int64, reflect.Uint8,
					reflect.Float32, reflect.Float64:
					c := reflect.MakeSlice(r.Type(), r.Len(), r.Len())
					reflect.Copy(c, r)
					kept[i].Value = c.Interface()
				default:
					return nil, false
				}
			case reflect.Array:
				if r.Type().Elem().Kind() != reflect.Uint8 {
					return nil, false
				}
			default:
				return nil, false
			}
		}
	}
	return kept, true
}
