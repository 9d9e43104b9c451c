package sqlsink

import (
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"
)

// none connects to nothing.
type none struct{ driver.Connector }

func noDatabase(t *testing.T) *sql.DB {
	t.Helper()
	db := sql.OpenDB(none{})
	t.Cleanup(func() { db.Close() })
	return db
}

func TestConfigReportsEveryField(t *testing.T) {
	_, err := New(nil, Config[string, int]{
		Table: "a.b.c", Columns: []string{"x", "X", "", "a\x00b", strings.Repeat("l", 64)}, Fence: ".", Version: "x",
	})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"no database", "Dialect:", "Table:", "Fence:", "Key: no column", "Row:", `"X" twice`, "empty name", "NUL byte", "63 bytes"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("nothing about %q in: %v", want, err)
		}
	}
	db := noDatabase(t)
	good := Config[string, int]{Dialect: SQLite, Table: "t", Key: []string{"id"}}
	if _, err := New(db, good); err != nil {
		t.Errorf("keys alone: %v", err)
	}
	two := good
	two.Key = []string{"a", "b"}
	if _, err := New(db, two); err == nil || !strings.Contains(err.Error(), "ID:") {
		t.Errorf("two columns for an id without ID: %v", err)
	}
	same := good
	same.Fence = "t"
	if _, err := New(db, same); err == nil || !strings.Contains(err.Error(), "Fence:") {
		t.Errorf("the table as its own fence: %v", err)
	}
}

func TestNamesCannotEndEarly(t *testing.T) {
	for _, name := range []string{`a"b`, "a`b", `"`, "`", `a"; DROP TABLE x; --`, "a b", "select"} {
		for quote, of := range map[byte]func(string) string{'"': ansi, '`': backtick} {
			got := of(name)
			inner := got[1 : len(got)-1]
			if got[0] != quote || got[len(got)-1] != quote || strings.ReplaceAll(inner, string([]byte{quote, quote}), string(quote)) != name ||
				strings.Contains(strings.ReplaceAll(inner, string([]byte{quote, quote}), ""), string(quote)) {
				t.Errorf("%q is quoted as %s", name, got)
			}
		}
	}
	if got := quoteTable(`sch"ema.ta ble`, ansi); got != `"sch""ema"."ta ble"` {
		t.Errorf("got %s", got)
	}
}

type named string

type valuer struct{ v any }

func (v valuer) Value() (driver.Value, error) {
	if v.v == nil {
		return nil, errors.New("no value")
	}
	return v.v, nil
}

func TestPlain(t *testing.T) {
	seven := 7
	at := time.Now()
	for _, tc := range []struct{ in, want any }{
		{7, int64(7)},
		{uint8(7), int64(7)},
		{&seven, int64(7)},
		{(*int)(nil), nil},
		{named("x"), "x"},
		{float32(0.5), 0.5},
		{uint64(math.MaxUint64), "18446744073709551615"},
		{valuer{"v"}, "v"},
		{sql.NullString{}, nil},
		{sql.NullString{String: "s", Valid: true}, "s"},
		{at, at},
		{[]byte(nil), nil},
		{valuer{[]byte(nil)}, nil},
		{nil, nil},
	} {
		if got, err := plain(tc.in); err != nil || got != tc.want {
			t.Errorf("plain(%v) = %v (%T), %v", tc.in, got, got, err)
		}
	}
	for _, bad := range []any{struct{}{}, map[string]int{}, []int{1}, valuer{}} {
		if got, err := plain(bad); err == nil {
			t.Errorf("plain(%v) = %v", bad, got)
		}
	}
}

// The order is one: over all values, of whatever types, and in itself consistent.
func TestOrder(t *testing.T) {
	values := []any{
		int64(-1), int64(0), int64(10), int64(9), 1.5, -1.5, true, false, nil,
		"10", "9", "", "a", "b", []byte("a"),
		[]byte{0},
		time.Unix(1, 0), time.Unix(2, 0).UTC(),
	}
	for _, a := range values {
		for _, b := range values {
			if compareValues(a, b) != -compareValues(b, a) {
				t.Errorf("%v and %v", a, b)
			}
			same := fmt.Sprintf("%T%v", a, a) == fmt.Sprintf("%T%v", b, b)
			if same && compareValues(a, b) != 0 {
				t.Errorf("%v is not itself", a)
			}
		}
	}
	if compareValues(int64(9), int64(10)) >= 0 || compareValues("10", "9") >= 0 {
		t.Error("numbers go by value, texts by their bytes")
	}
}

// What the drivers' errors look like, without the drivers.
type (
	pgError    struct{ state string }
	myError    struct{ Number uint16 }
	codedError struct{ code int }
	fieldError struct{ Code int }
)

func (e *pgError) Error() string    { return "pg " + e.state }
func (e *pgError) SQLState() string { return e.state }
func (e *myError) Error() string    { return fmt.Sprint("my ", e.Number) }
func (e *codedError) Error() string { return fmt.Sprint("coded ", e.code) }
func (e *codedError) Code() int     { return e.code }
func (e fieldError) Error() string  { return fmt.Sprint("field ", e.Code) }
func wrapped(err error) error {
	return fmt.Errorf("a: %w", errors.Join(errors.New("b"), fmt.Errorf("c: %w", err)))
}

func TestGaveUp(t *testing.T) {
	for _, tc := range []struct {
		by   writer
		err  error
		want bool
	}{
		{&postgres{}, &pgError{"40001"}, true},
		{&postgres{}, &pgError{"40P01"}, true},
		{&postgres{}, &pgError{"23505"}, false},
		{&postgres{}, &pgError{"57P01"}, false},
		{&mysql{}, &myError{1213}, true},
		{&mysql{}, &myError{1205}, true},
		{&mysql{}, &myError{1062}, false},
		{&sqlite{}, &codedError{5}, true},
		{&sqlite{}, fieldError{5 | 2<<8}, true},
		{&sqlite{}, fieldError{19}, false},
		{&sqlite{}, errors.New("other"), false},
		{&postgres{}, errors.New("other"), false},
	} {
		if got := tc.by.gaveUp(wrapped(tc.err)); got != tc.want {
			t.Errorf("%v: %v", tc.err, got)
		}
	}
	if number(wrapped(fieldError{19})) != 19 || number(wrapped(&myError{1062})) != 1062 || number(errors.New("x")) != 0 {
		t.Error("an error's number is not found")
	}
}
