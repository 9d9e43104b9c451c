// Package schema tells apart what types look like when they are encoded, and
// what would be lost on the way.
package schema

import (
	"encoding"
	"encoding/json"
	"fmt"
	"hash"
	"hash/fnv"
	"reflect"

	"github.com/vmihailenco/msgpack/v5"
)

// Of is a hash of all that decides how V is encoded: the codec, the
// version given by hand, and the shape of the type down to its last field.
func Of[V any](codec string, version int) uint32 {
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

// Lossy reports what inside the type MessagePack would not give back as it
// was. Fields tagged msgpack:"-" are left out on purpose.
func Lossy(t reflect.Type) error { return lossy(t, "the value", map[reflect.Type]bool{}) }

func lossy(t reflect.Type, path string, seen map[reflect.Type]bool) error {
	if seen[t] {
		return nil
	}
	seen[t] = true
	if ownFormat(t) {
		switch {
		case promoted(t):
			return fmt.Errorf("%s is written by the methods of the field that it embeds, and its other fields would be lost", path)
		case has(t, msgpackMarshaler) || has(t, msgpackBytes) || has(t, binaryMarshaler) || has(t, textMarshaler):
			return nil
		default:
			return fmt.Errorf("%s (%s) only knows how to write itself as JSON", path, t)
		}
	}
	switch t.Kind() {
	case reflect.Chan, reflect.Func, reflect.UnsafePointer, reflect.Complex64, reflect.Complex128, reflect.Uintptr:
		return fmt.Errorf("%s is a %s, which cannot be stored", path, t.Kind())
	case reflect.Interface:
		return fmt.Errorf("%s is an interface, whose values would come back as other types", path)
	case reflect.Pointer, reflect.Slice, reflect.Array:
		return lossy(t.Elem(), path, seen)
	case reflect.Map:
		if err := lossy(t.Key(), path, seen); err != nil {
			return err
		}
		return lossy(t.Elem(), path, seen)
	case reflect.Struct:
		for i := range t.NumField() {
			f := t.Field(i)
			where := path + "." + f.Name
			switch {
			case f.Tag.Get("msgpack") == "-" || f.Name == "_":
			case f.Anonymous && f.Type.Kind() == reflect.Pointer:
				return fmt.Errorf("%s is an embedded pointer, whose nil would be lost", where)
			case !f.IsExported() && !f.Anonymous:
				return fmt.Errorf("%s is not exported and would be lost", where)
			default:
				if err := lossy(f.Type, where, seen); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// promoted reports whether a struct has its format from a field it embeds,
// beside which it has others.
func promoted(t reflect.Type) bool {
	if t.Kind() != reflect.Struct || t.NumField() < 2 {
		return false
	}
	for i := range t.NumField() {
		if f := t.Field(i); f.Anonymous && ownFormat(f.Type) {
			return true
		}
	}
	return false
}
