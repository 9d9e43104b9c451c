package entry

import (
	"context"
	"errors"
	"net"
	"strings"
)

// ErrRefused is cache.ErrRefused.
var ErrRefused = errors.New("the source refused the write")

// Refused reports whether a source's error says that it changed nothing: one of
// PostgreSQL's codes (as pgx and lib/pq give them by SQLState), but for those of a
// lost connection (08), a server that was stopped (57P), a fault within it (XX, 58)
// and a transaction whose end is not known (40003). What it does not know may hide
// a commit.
func Refused(err error) bool {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return false
	}
	if lost := net.Error(nil); errors.As(err, &lost) {
		return false
	}
	var sql interface{ SQLState() string }
	if !errors.As(err, &sql) {
		return false
	}
	code := sql.SQLState()
	for _, unknown := range []string{"08", "57P", "58", "XX", "40003"} {
		if strings.HasPrefix(code, unknown) {
			return false
		}
	}
	return len(code) == 5
}
