package journal

import (
	"context"
	_ "embed"
	"errors"
	"strings"

	"github.com/redis/rueidis"

	"github.com/redstart-go/redstart"
)

var (
	//go:embed lua/put.lua
	putText string
	//go:embed lua/settle.lua
	settleText string
	//go:embed lua/own.lua
	ownText string
	//go:embed lua/members.lua
	membersText string
	//go:embed lua/restamp.lua
	restampText string
	//go:embed lua/bury.lua
	buryText string
	//go:embed lua/unbury.lua
	unburyText string
	//go:embed lua/find.lua
	findText string
	//go:embed lua/lag.lua
	lagText string

	putScript     = redstart.NewScript("journal/put", putText)
	settleScript  = redstart.NewScript("journal/settle", settleText)
	ownScript     = redstart.NewScript("journal/own", ownText)
	membersScript = redstart.NewScript("journal/members", membersText)
	restampScript = redstart.NewScript("journal/restamp", restampText)
	buryScript    = redstart.NewScript("journal/bury", buryText)
	unburyScript  = redstart.NewScript("journal/unbury", unburyText)
	findScript    = redstart.NewScript("journal/find", findText)
	lagScript     = redstart.NewScript("journal/lag", lagText)
)

// attempts bounds how often a script whose reply was lost is sent.
const attempts = 3

// exec runs a script. A test may stand before it and behind it.
func (j *Journal[K, V]) exec(ctx context.Context, s *redstart.Script, keys, args []string) rueidis.RedisResult {
	if j.step == nil {
		return s.Exec(ctx, j.client, keys, args)
	}
	if err := j.step(s.Name() + " before"); err != nil {
		return rueidis.NewErrorResult(err)
	}
	r := s.Exec(ctx, j.client, keys, args)
	if err := j.step(s.Name() + " after"); err != nil {
		return rueidis.NewErrorResult(err)
	}
	return r
}

// ask runs a script that does no harm by running twice, and gives its number.
func (j *Journal[K, V]) ask(ctx context.Context, s *redstart.Script, keys, args []string) (n int64, err error) {
	for range attempts {
		if n, err = j.exec(ctx, s, keys, args).AsInt64(); err == nil || ctx.Err() != nil || !lostReply(err) {
			return n, answered(err)
		}
	}
	return n, err
}

// lostReply reports whether what was sent may have run.
func lostReply(err error) bool {
	if redstart.OutcomeOf(err) != redstart.Unknown || errors.Is(err, rueidis.ErrClosing) {
		return false
	}
	var re *rueidis.RedisError
	return !errors.As(err, &re)
}

var (
	errForeign = errors.New("a key of the journal holds something else")
	errReply   = errors.New("the server's answer is not that of the script")
)

// answered is the error of a script. Where a key holds something else, that is
// seen before anything is written.
func answered(err error) error {
	if err == nil {
		return nil
	}
	if re := (*rueidis.RedisError)(nil); errors.As(err, &re) && strings.HasPrefix(re.Error(), "WRONGTYPE ") {
		return &redstart.Error{Op: "redstart/journal: run script", Code: "WRONGTYPE", Outcome: redstart.NotApplied, Err: errForeign}
	}
	return err
}

// fail wraps what went wrong in a call.
func (j *Journal[K, V]) fail(op, key string, err error) error {
	return redstart.NewError("redstart/journal: "+op, j.name, key, err)
}
