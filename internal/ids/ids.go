// Package ids builds keys from ids of any suitable type.
package ids

import (
	"encoding"
	"reflect"
	"strconv"
	"unsafe"

	"github.com/redstart-go/redstart/key"
)

// KeyOf gives the function that builds the key of an id: by args, or from an
// id that is a string, an integer, or knows how to write itself as text. It is
// nil for a K that is none of these. The key is all that the function allocates.
func KeyOf[K comparable](t *key.Template, args func(K) []string) func(K) (string, error) {
	if args != nil {
		return func(id K) (string, error) { return t.Key(args(id)...) }
	}
	kind := reflect.TypeFor[K]()
	if strconv.IntSize == 32 && kind.Kind() == reflect.Int {
		return signedKey[K, int32](t)
	}
	if strconv.IntSize == 32 && kind.Kind() == reflect.Uint {
		return unsignedKey[K, uint32](t)
	}
	switch kind.Kind() {
	case reflect.String:
		return func(id K) (string, error) { return t.Key(*(*string)(unsafe.Pointer(&id))) }
	case reflect.Int, reflect.Int64:
		return signedKey[K, int64](t)
	case reflect.Int32:
		return signedKey[K, int32](t)
	case reflect.Int16:
		return signedKey[K, int16](t)
	case reflect.Int8:
		return signedKey[K, int8](t)
	case reflect.Uint, reflect.Uint64:
		return unsignedKey[K, uint64](t)
	case reflect.Uint32:
		return unsignedKey[K, uint32](t)
	case reflect.Uint16:
		return unsignedKey[K, uint16](t)
	case reflect.Uint8:
		return unsignedKey[K, uint8](t)
	}
	if kind.Implements(reflect.TypeFor[encoding.TextMarshaler]()) {
		return func(id K) (string, error) {
			text, err := any(id).(encoding.TextMarshaler).MarshalText()
			if err != nil {
				return "", err
			}
			return t.Key(string(text))
		}
	}
	return nil
}

// signedKey reads a K as the integer that it is, whatever its name, and writes
// its digits on the stack.
func signedKey[K comparable, N int64 | int32 | int16 | int8](t *key.Template) func(K) (string, error) {
	return func(id K) (string, error) {
		var buf [20]byte
		digits := strconv.AppendInt(buf[:0], int64(*(*N)(unsafe.Pointer(&id))), 10)
		return t.Key(unsafe.String(unsafe.SliceData(digits), len(digits)))
	}
}

func unsignedKey[K comparable, N uint64 | uint32 | uint16 | uint8](t *key.Template) func(K) (string, error) {
	return func(id K) (string, error) {
		var buf [20]byte
		digits := strconv.AppendUint(buf[:0], uint64(*(*N)(unsafe.Pointer(&id))), 10)
		return t.Key(unsafe.String(unsafe.SliceData(digits), len(digits)))
	}
}
