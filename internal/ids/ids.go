// Package ids builds keys from ids of any suitable type.
package ids

import (
	"encoding"
	"reflect"
	"strconv"
	"unsafe"

	"github.com/redstart-go/redstart/key"
)

// Keys builds the keys of ids. Both are nil for a K that is neither a string
// nor an integer, and does not know how to write itself as text.
type Keys[K comparable] struct {
	// One gives the key of an id, which is all that it allocates.
	One func(K) (string, error)
	// Append appends it; on an error it gives dst back as it was.
	Append func(dst []byte, id K) ([]byte, error)
}

// Of builds keys of a template, by args or from what an id is itself.
func Of[K comparable](t *key.Template, args func(K) []string) Keys[K] {
	if args != nil {
		return Keys[K]{
			func(id K) (string, error) { return t.Key(args(id)...) },
			func(dst []byte, id K) ([]byte, error) { return t.AppendKey(dst, args(id)...) },
		}
	}
	kind := reflect.TypeFor[K]()
	if strconv.IntSize == 32 && kind.Kind() == reflect.Int {
		return signed[K, int32](t)
	}
	if strconv.IntSize == 32 && kind.Kind() == reflect.Uint {
		return unsigned[K, uint32](t)
	}
	switch kind.Kind() {
	case reflect.String:
		return Keys[K]{
			func(id K) (string, error) { return t.Key(*(*string)(unsafe.Pointer(&id))) },
			func(dst []byte, id K) ([]byte, error) { return t.AppendKey(dst, *(*string)(unsafe.Pointer(&id))) },
		}
	case reflect.Int, reflect.Int64:
		return signed[K, int64](t)
	case reflect.Int32:
		return signed[K, int32](t)
	case reflect.Int16:
		return signed[K, int16](t)
	case reflect.Int8:
		return signed[K, int8](t)
	case reflect.Uint, reflect.Uint64:
		return unsigned[K, uint64](t)
	case reflect.Uint32:
		return unsigned[K, uint32](t)
	case reflect.Uint16:
		return unsigned[K, uint16](t)
	case reflect.Uint8:
		return unsigned[K, uint8](t)
	}
	if !kind.Implements(reflect.TypeFor[encoding.TextMarshaler]()) {
		return Keys[K]{}
	}
	return Keys[K]{
		func(id K) (string, error) {
			text, err := any(id).(encoding.TextMarshaler).MarshalText()
			if err != nil {
				return "", err
			}
			return t.Key(string(text))
		},
		func(dst []byte, id K) ([]byte, error) {
			text, err := any(id).(encoding.TextMarshaler).MarshalText()
			if err != nil {
				return dst, err
			}
			return t.AppendKey(dst, string(text))
		},
	}
}

// signed reads a K as the integer that it is, whatever its name, and writes its
// digits on the stack.
func signed[K comparable, N int64 | int32 | int16 | int8](t *key.Template) Keys[K] {
	return Keys[K]{
		func(id K) (string, error) {
			var buf [20]byte
			digits := strconv.AppendInt(buf[:0], int64(*(*N)(unsafe.Pointer(&id))), 10)
			return t.Key(unsafe.String(unsafe.SliceData(digits), len(digits)))
		},
		func(dst []byte, id K) ([]byte, error) {
			var buf [20]byte
			digits := strconv.AppendInt(buf[:0], int64(*(*N)(unsafe.Pointer(&id))), 10)
			return t.AppendKey(dst, unsafe.String(unsafe.SliceData(digits), len(digits)))
		},
	}
}

func unsigned[K comparable, N uint64 | uint32 | uint16 | uint8](t *key.Template) Keys[K] {
	return Keys[K]{
		func(id K) (string, error) {
			var buf [20]byte
			digits := strconv.AppendUint(buf[:0], uint64(*(*N)(unsafe.Pointer(&id))), 10)
			return t.Key(unsafe.String(unsafe.SliceData(digits), len(digits)))
		},
		func(dst []byte, id K) ([]byte, error) {
			var buf [20]byte
			digits := strconv.AppendUint(buf[:0], uint64(*(*N)(unsafe.Pointer(&id))), 10)
			return t.AppendKey(dst, unsafe.String(unsafe.SliceData(digits), len(digits)))
		},
	}
}

// All gives the keys of those of ids whose places are in at, at the same places
// and in one piece of memory. refused hears of those that have none.
func (k Keys[K]) All(ids []K, at []int, refused func(i int, err error)) []string {
	if len(at) == 0 {
		return nil
	}
	keys := make([]string, len(ids))
	var all []byte
	for j, i := range at {
		if j == 1 { // most are as long as the first
			all = append(make([]byte, 0, (len(all)+4)*len(at)), all...)
		}
		begin := len(all)
		var err error
		if all, err = k.Append(all, ids[i]); err != nil {
			refused(i, err)
		}
		if n := len(all) - begin; n > 0 { // the memory stays, also when what follows needs more and moves on
			keys[i] = unsafe.String(&all[begin], n)
		}
	}
	return keys
}

// Text says how an id is written where nothing else says so: as it is, in digits,
// or as it says itself. It is nil where it cannot be.
func Text[K comparable]() func(K) (string, error) {
	t := reflect.TypeFor[K]()
	switch t.Kind() {
	case reflect.String:
		return func(id K) (string, error) { return *(*string)(unsafe.Pointer(&id)), nil }
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return func(id K) (string, error) { return strconv.FormatInt(reflect.ValueOf(id).Int(), 10), nil }
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return func(id K) (string, error) { return strconv.FormatUint(reflect.ValueOf(id).Uint(), 10), nil }
	}
	if !t.Implements(reflect.TypeFor[encoding.TextMarshaler]()) {
		return nil
	}
	return func(id K) (string, error) {
		text, err := any(id).(encoding.TextMarshaler).MarshalText()
		return string(text), err
	}
}

// Spread hashes an id's bytes: it is FNV-1a, and a step that lets every bit count for the last ones.
func Spread(raw []byte) uint64 {
	h := uint64(14695981039346656037)
	for _, b := range raw {
		h = (h ^ uint64(b)) * 1099511628211
	}
	h ^= h >> 32
	h *= 0xd6e8feb86659fd93
	return h ^ h>>32
}
