package sqlsink

import (
	"errors"
	"reflect"
)

// errRace: another writer came between two statements of ours.
var errRace = errors.New("another wrote the same rows meanwhile")

// Drivers are not imported here: what they have in common is a method or a field that
// names the error.

// sqlState is PostgreSQL's code, by the method of pgx and lib/pq; "" for others.
func sqlState(err error) string {
	var coded interface{ SQLState() string }
	if errors.As(err, &coded) {
		return coded.SQLState()
	}
	return ""
}

// number is MySQL's or SQLite's number of the error: the method Code of
// modernc.org/sqlite, else the field Number of go-sql-driver/mysql or Code of
// mattn/go-sqlite3. 0: none.
func number(err error) int {
	var coded interface{ Code() int }
	if errors.As(err, &coded) {
		return coded.Code()
	}
	found := 0
	walk(err, func(err error) bool {
		v := reflect.Indirect(reflect.ValueOf(err))
		if v.Kind() != reflect.Struct {
			return false
		}
		for _, name := range []string{"Number", "Code"} {
			switch f := v.FieldByName(name); {
			case !f.IsValid():
			case f.CanUint():
				found = int(f.Uint()) //nolint:gosec // an error's number
			case f.CanInt():
				found = int(f.Int())
			}
		}
		return found != 0
	})
	return found
}

// walk asks f about err and everything that it wraps, until f says yes.
func walk(err error, f func(error) bool) bool {
	if err == nil {
		return false
	}
	if f(err) {
		return true
	}
	switch wrapper := err.(type) { //nolint:errorlint // this is what unwraps
	case interface{ Unwrap() error }:
		return walk(wrapper.Unwrap(), f)
	case interface{ Unwrap() []error }:
		for _, one := range wrapper.Unwrap() {
			if walk(one, f) {
				return true
			}
		}
	}
	return false
}
