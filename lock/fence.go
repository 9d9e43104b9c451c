package lock

import (
	"context"
	"database/sql"
	_ "embed"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/rueidis"

	"github.com/redstart-go/redstart"
)

//go:embed lua/guard.lua
var guardText string

// fenced is how long a guard remembers the last token after it was used: a holder
// would have to be frozen that long to get past it.
const fenced = 7 * 24 * time.Hour

// Guard is a Lua script that the server runs only for the newest token that it
// has seen: what a holder sends who was frozen past his lease comes to nothing
// once the next one has written. That is what a lock alone cannot give, whoever
// makes it: between the look at the clock and the write there may be a pause.
type Guard struct{ script *redstart.Script }

// NewGuard makes a guarded script of its Lua text. KEYS[1] is the resource that
// is guarded; all else is as for [redstart.NewScript].
func NewGuard(name, text string) *Guard {
	return &Guard{redstart.NewScript(name, guardText+text)}
}

// Exec runs the script for the holder of a token (Lease.Token). ErrFenced says
// that a later token has been here and nothing was written. The last token
// stands beside the resource ("<key>:%fence", in its slot) for a week after it
// was used. The script, one round trip, and two commands more on the server.
func (g *Guard) Exec(ctx context.Context, c *redstart.Client, token int64, keys, args []string) rueidis.RedisResult {
	if len(keys) == 0 || token <= 0 {
		return rueidis.NewErrorResult(&redstart.Error{Op: "redstart/lock: run guarded script", Template: g.script.Name(), Outcome: redstart.NotApplied, Err: errGuard})
	}
	fence := keys[0] + ":%fence"
	if strings.IndexByte(keys[0], '{') < 0 {
		fence = "{" + keys[0] + "}:%fence"
	}
	r := g.script.Exec(ctx, c, append(slices.Clip(keys), fence),
		append(slices.Clip(args), millis(fenced), strconv.FormatInt(token, 10)))
	if re, ok := rueidis.IsRedisErr(causeOf(r.Error())); ok && strings.HasPrefix(re.Error(), "FENCED ") {
		return rueidis.NewErrorResult(&redstart.Error{Op: "redstart/lock: run guarded script", Template: g.script.Name(), Code: "FENCED", Outcome: redstart.NotApplied, Err: ErrFenced})
	}
	return r
}

// causeOf is the server's reply inside an error, if there is one.
func causeOf(err error) error {
	if re := (*rueidis.RedisError)(nil); errors.As(err, &re) {
		return re
	}
	return nil
}

var errGuard = errors.New("a guarded script needs the key that it guards and the token of a lease")

// SQLCondition is the guard for a row of an SQL database: a condition for the
// WHERE of an UPDATE or a DELETE, beside that for the row. column holds the last
// token, a BIGINT that may be NULL; placeholder is where the statement has the
// holder's token, "?" or "$2". The same statement must set the column:
//
//	UPDATE accounts SET balance = $1, fence = $2
//	WHERE id = $3 AND (fence IS NULL OR fence <= $2)
//
// An INSERT takes it in ON CONFLICT (id) DO UPDATE SET … WHERE. [SQLResult] says
// whether the row was taken.
func SQLCondition(column, placeholder string) string {
	return "(" + column + " IS NULL OR " + column + " <= " + placeholder + ")"
}

// SQLResult is the end of a statement with [SQLCondition]: ErrFenced when no row
// met it, since a later token has been there (or the row is not there).
func SQLResult(r sql.Result, err error) error {
	if err != nil {
		return err
	}
	n, err := r.RowsAffected()
	if err != nil {
		return err
	}
	if n == 0 {
		return ErrFenced
	}
	return nil
}
