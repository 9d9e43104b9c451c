package batch

import (
	"errors"

	"github.com/redis/rueidis"

	"github.com/redstart-go/redstart"
)

// ErrConflict says that a watched key changed before the
// transaction, which therefore did nothing. Whether to read and try again is the caller's choice.
var ErrConflict error = conflict{}

type conflict struct{}

func (conflict) Error() string {
	return "a watched key was changed by another; nothing was done, read again and decide anew"
}
func (conflict) Outcome() redstart.Outcome { return redstart.NotApplied }

// refusal is a command that is not sent.
type refusal struct{ why string }

func (r *refusal) Error() string             { return "refused: " + r.why }
func (r *refusal) Is(target error) bool      { return target == redstart.ErrRefused }
func (r *refusal) Outcome() redstart.Outcome { return redstart.NotApplied }

// unsent says of an item that it waited behind one that found no server.
type unsent struct{}

func (unsent) Error() string             { return "not sent: the server did not serve the item before it" }
func (unsent) Is(target error) bool      { return target == redstart.ErrUnavailable }
func (unsent) Outcome() redstart.Outcome { return redstart.NotApplied }

// failure wraps what went wrong with an item, or a step, on a key; known is
// what is known of all attempts at it.
func failure(op, key string, err error, known redstart.Outcome) error {
	wrapped := redstart.NewError(op, "", key, err)
	if e := (*redstart.Error)(nil); errors.As(wrapped, &e) {
		e.Outcome = known
	}
	return wrapped
}

// redirects reports whether err is the reply of a node that has lost the slot:
// nothing was done, and another node will serve it.
func redirects(err error) bool {
	var re *rueidis.RedisError
	if !errors.As(err, &re) || re.IsNil() {
		return false
	}
	_, moved := re.IsMoved()
	_, ask := re.IsAsk()
	return moved || ask
}

// wholeNode reports whether the failure says that the node serves nobody: it
// cannot be reached, or refuses everything. Others (OOM, TRYAGAIN) concern some
// commands or slots, and their neighbours may well succeed.
func wholeNode(err error) bool {
	if !redstart.Away(err) {
		return false
	}
	e := (*redstart.Error)(nil)
	if !errors.As(redstart.NewError("", "", "", err), &e) {
		return false
	}
	switch e.Code {
	case "", "LOADING", "BUSY", "MASTERDOWN", "ERR": // none: no reply; ERR: too many connections
		return true
	default:
		return false
	}
}
