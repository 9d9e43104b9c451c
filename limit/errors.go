package limit

import (
	"errors"

	"github.com/redstart-go/redstart"
)

// What a call may say, for errors.Is. A denial is no error: see [Decision].
var (
	// ErrNever: more units at once than a limit ever has. Coming back later
	// does not help.
	ErrNever = errors.New("more units than the limit ever has at once")
	// ErrUnits: units that are not positive.
	ErrUnits = errors.New("the units must be positive")
)

// fail wraps what went wrong in a call on a key.
func (l *Limiter) fail(op, key string, err error) error {
	return redstart.NewError("redstart/limit: "+op, l.template.String(), key, err)
}

// refuse is fail for a call that sent nothing.
func (l *Limiter) refuse(op string, err error) error {
	return &redstart.Error{Op: "redstart/limit: " + op, Template: l.template.String(), Outcome: redstart.NotApplied, Err: err}
}
