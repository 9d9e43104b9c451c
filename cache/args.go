package cache

import (
	"encoding"
	"reflect"
	"strconv"
)

var asText = reflect.TypeFor[encoding.TextMarshaler]()

// writesItself reports whether ids of type K are a string, an integer, or know
// how to write themselves as text.
func writesItself[K comparable]() bool {
	t := reflect.TypeFor[K]()
	switch t.Kind() {
	case reflect.String, reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return true
	default:
		return t.Implements(asText)
	}
}

// idText writes an id that writesItself.
func idText[K comparable](id K) (string, error) {
	switch v := any(id).(type) {
	case string:
		return v, nil
	case int:
		return strconv.Itoa(v), nil
	case int64:
		return strconv.FormatInt(v, 10), nil
	case uint64:
		return strconv.FormatUint(v, 10), nil
	case encoding.TextMarshaler:
		text, err := v.MarshalText()
		return string(text), err
	}
	switch v := reflect.ValueOf(id); {
	case v.Kind() == reflect.String:
		return v.String(), nil
	case v.CanInt():
		return strconv.FormatInt(v.Int(), 10), nil
	default:
		return strconv.FormatUint(v.Uint(), 10), nil
	}
}
