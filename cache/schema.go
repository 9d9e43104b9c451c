package cache

import (
	"encoding"
	"encoding/json"
	"fmt"
	"hash"
	"hash/fnv"
	"reflect"

	"github.com/vmihailenco/msgpack/v5"
)

// schemaOf is a hash of all that decides how V is encoded: the codec, the
// version given by hand, and the shape of the type down to its last field.
func schemaOf[V any](codec string, version int) uint32 {
	h := fnv.New32a()
	fmt.Fprintf(h, "%s %d ", codec, version)
	shape(h, reflect.TypeFor[V](), map[reflect.Type]int{})
	return h.Sum32()
}

// shape writes a type's structure: kinds, field names, order and tags, not the
// names of types, which may change without changing the format. A type with a
// format of its own is its name.
func shape(h hash.Hash32, t reflect.Type, seen map[reflect.Type]int) {
	if n, ok := seen[t]; ok {
		fmt.Fprintf(h, "^%d", n)
		return
	}
	if t.Name() != "" && t.PkgPath() != "" {
		seen[t] = len(seen)
	}
	if ownFormat(t) {
		fmt.Fprintf(h, "=%s.%s", t.PkgPath(), t.Name())
	}
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice:
		fmt.Fprintf(h, "%s ", t.Kind())
		shape(h, t.Elem(), seen)
	case reflect.Array:
		fmt.Fprintf(h, "[%d]", t.Len())
		shape(h, t.Elem(), seen)
	case reflect.Map:
		fmt.Fprint(h, "map")
		shape(h, t.Key(), seen)
		shape(h, t.Elem(), seen)
	case reflect.Struct:
		fmt.Fprint(h, "{")
		for i := range t.NumField() {
			f := t.Field(i)
			if !f.IsExported() && !f.Anonymous {
				continue
			}
			fmt.Fprintf(h, "%s %q %t ", f.Name, f.Tag, f.Anonymous)
			shape(h, f.Type, seen)
		}
		fmt.Fprint(h, "}")
	default:
		fmt.Fprintf(h, "%s;", t.Kind())
	}
}

var (
	jsonMarshaler    = reflect.TypeFor[json.Marshaler]()
	textMarshaler    = reflect.TypeFor[encoding.TextMarshaler]()
	binaryMarshaler  = reflect.TypeFor[encoding.BinaryMarshaler]()
	msgpackMarshaler = reflect.TypeFor[msgpack.CustomEncoder]()
	msgpackBytes     = reflect.TypeFor[msgpack.Marshaler]()
)

func has(t, iface reflect.Type) bool {
	return t.Implements(iface) || reflect.PointerTo(t).Implements(iface)
}

// ownFormat reports whether the type decides itself how it is written.
func ownFormat(t reflect.Type) bool {
	return t.Kind() != reflect.Interface &&
		(has(t, jsonMarshaler) || has(t, textMarshaler) || has(t, binaryMarshaler) || has(t, msgpackMarshaler) || has(t, msgpackBytes))
}

// needsJSON reports whether MessagePack would lose something that JSON keeps:
// a type somewhere inside that only knows how to write itself as JSON, or an
// interface, whose numbers MessagePack gives back as other types.
func needsJSON(t reflect.Type, seen map[reflect.Type]bool) bool {
	if seen[t] {
		return false
	}
	seen[t] = true
	if t.Kind() == reflect.Interface {
		return true
	}
	if ownFormat(t) {
		return has(t, jsonMarshaler) && !has(t, msgpackMarshaler) && !has(t, msgpackBytes) && !has(t, binaryMarshaler) && !has(t, textMarshaler)
	}
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Array:
		return needsJSON(t.Elem(), seen)
	case reflect.Map:
		return needsJSON(t.Key(), seen) || needsJSON(t.Elem(), seen)
	case reflect.Struct:
		for i := range t.NumField() {
			if f := t.Field(i); f.IsExported() || f.Anonymous {
				if needsJSON(f.Type, seen) {
					return true
				}
			}
		}
	}
	return false
}

// encodable reports what inside the type no codec can store. Fields whose tag
// (json or msgpack) is "-" are left out.
func encodable(t reflect.Type, path, tag string, seen map[reflect.Type]bool) error {
	if seen[t] || ownFormat(t) {
		return nil
	}
	seen[t] = true
	switch t.Kind() {
	case reflect.Chan, reflect.Func, reflect.UnsafePointer, reflect.Complex64, reflect.Complex128:
		return fmt.Errorf("%s is a %s, which cannot be stored", path, t.Kind())
	case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
		return encodable(t.Elem(), path, tag, seen)
	case reflect.Struct:
		for i := range t.NumField() {
			if f := t.Field(i); f.IsExported() && f.Tag.Get(tag) != "-" {
				if err := encodable(f.Type, path+"."+f.Name, tag, seen); err != nil {
					return err
				}
			}
		}
	}
	return nil
}
