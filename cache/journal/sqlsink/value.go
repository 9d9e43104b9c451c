package sqlsink

import (
	"bytes"
	"cmp"
	"database/sql/driver"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// plain gives a value as drivers take it: int64, float64, bool, []byte, string,
// time.Time or nil. Valuers, pointers and named types are what they stand for; an
// unsigned number too great for int64 is its digits, and bytes that are nil are NULL.
func plain(v any) (any, error) {
	switch v := v.(type) {
	case string, int64, nil, bool, float64, time.Time: // the usual ones
		return v, nil
	case []byte:
		if v == nil {
			return nil, nil
		}
		return v, nil
	case int:
		return int64(v), nil
	}
	plain, err := driver.DefaultParameterConverter.ConvertValue(v)
	if err != nil {
		if u := reflect.ValueOf(v); u.CanUint() {
			return strconv.FormatUint(u.Uint(), 10), nil
		}
	}
	if b, ok := plain.([]byte); ok && b == nil {
		return nil, err
	}
	return plain, err
}

// compareValues orders what plain gives, in the same way in every process. It need
// not be the database's order.
func compareValues(a, b any) int {
	switch a := a.(type) {
	case int64:
		if b, ok := b.(int64); ok {
			return cmp.Compare(a, b)
		}
	case string:
		if b, ok := b.(string); ok {
			return strings.Compare(a, b)
		}
	case []byte:
		if b, ok := b.([]byte); ok {
			return bytes.Compare(a, b)
		}
	case float64:
		if b, ok := b.(float64); ok {
			return cmp.Compare(a, b)
		}
	case time.Time:
		if b, ok := b.(time.Time); ok {
			return a.Compare(b)
		}
	}
	return strings.Compare(digest(a), digest(b))
}

// digest is a text that tells values of a type apart.
func digest(v any) string {
	switch v := v.(type) {
	case int64:
		return strconv.FormatInt(v, 10)
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64)
	case bool:
		if v {
			return "1"
		}
		return "0"
	case string:
		return v
	case []byte:
		return string(v)
	case time.Time:
		return v.UTC().Format(time.RFC3339Nano)
	}
	return ""
}
