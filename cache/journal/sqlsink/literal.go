package sqlsink

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/redstart-go/redstart/cache/journal"
)

var (
	errNUL      = journal.Permanent(errors.New("a NUL byte, which PostgreSQL's text cannot hold"))
	errEncoding = journal.Permanent(errors.New("not UTF-8"))
)

// checkText says what is wrong with a value that is sent as text. Found here it
// costs its record alone: the database would refuse the whole array and not say
// which element it means.
func checkText(v any) error {
	switch v := v.(type) {
	case string:
		if strings.IndexByte(v, 0) >= 0 {
			return errNUL
		}
		if !utf8.ValidString(v) {
			return errEncoding
		}
	case []byte:
		if bytes.IndexByte(v, 0) >= 0 {
			return errNUL
		}
		if !utf8.Valid(v) {
			return errEncoding
		}
	}
	return nil
}

// appendElement appends a value as an element of an array's literal, `{1,"a",NULL}`.
// In a column of bytes strings and bytes are written as hex digits.
func appendElement(dst []byte, v any, raw bool) []byte {
	switch v := v.(type) {
	case nil:
		return append(dst, "NULL"...)
	case int64:
		return strconv.AppendInt(dst, v, 10)
	case bool:
		return strconv.AppendBool(dst, v)
	case float64:
		switch {
		case math.IsInf(v, 1):
			return append(dst, "Infinity"...)
		case math.IsInf(v, -1):
			return append(dst, "-Infinity"...)
		}
		return strconv.AppendFloat(dst, v, 'g', -1, 64) // NaN is spelled as in PostgreSQL
	case time.Time:
		return append(appendTime(append(dst, '"'), v), '"')
	case string:
		if raw {
			return appendHex(dst, []byte(v))
		}
		return appendQuoted(dst, v)
	case []byte:
		if raw {
			return appendHex(dst, v)
		}
		return appendQuoted(dst, string(v))
	}
	return append(dst, "NULL"...) // plain gives nothing else
}

// appendText appends a value as the server's input function for its column's type
// reads it; bytes and texts are what they are.
func appendText(dst []byte, v any) []byte {
	switch v := v.(type) {
	case string:
		return append(dst, v...)
	case []byte:
		return append(dst, v...)
	case time.Time:
		return appendTime(dst, v)
	}
	return appendElement(dst, v, false)
}

// appendHex writes "\x68690a" with the backslash escaped, for a quoted element.
func appendHex(dst, v []byte) []byte {
	return append(hex.AppendEncode(append(dst, `"\\x`...), v), '"')
}

// appendQuoted writes a quoted element. Only two signs mean something within.
func appendQuoted(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for {
		i := strings.IndexAny(s, `"\`)
		if i < 0 {
			return append(append(dst, s...), '"')
		}
		dst = append(append(dst, s[:i]...), '\\', s[i])
		s = s[i+1:]
	}
}

// appendTime writes a time with its offset; a column without a zone keeps the time
// on the wall. Years before 1 are counted as BC.
func appendTime(dst []byte, t time.Time) []byte {
	bc := t.Year() <= 0
	if bc {
		t = t.AddDate(1-2*t.Year(), 0, 0)
	}
	// An offset may have seconds, long ago.
	dst = t.AppendFormat(dst, "2006-01-02 15:04:05.999999999Z07:00:00")
	if bc {
		dst = append(dst, " BC"...)
	}
	return dst
}
