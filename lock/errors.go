package lock

import (
	"errors"
	"fmt"

	"github.com/redstart-go/redstart"
)

// What a call may say, for errors.Is.
var (
	// ErrHeld: somebody else has the lock, or waits for it already.
	ErrHeld error = &denial{"the lock is held"}
	// ErrLost: the lease ended before it was released. It is the cause with
	// which a lease's context ends, and what Release says then.
	ErrLost error = &denial{"the lease was lost"}
	// ErrReleased: the lease was released. It is the cause with which its
	// context ends then.
	ErrReleased error = &denial{"the lease was released"}
	// ErrFenced: a later holder has been here; nothing was written.
	ErrFenced error = &denial{"a later token has been seen"}
)

// denial is an answer that changed nothing.
type denial struct{ text string }

func (d *denial) Error() string             { return "redstart/lock: " + d.text }
func (d *denial) Outcome() redstart.Outcome { return redstart.NotApplied }

// Why a lease was lost.
var (
	errGone   = fmt.Errorf("%w: it is gone at the server", ErrLost)
	errRanOut = fmt.Errorf("%w: it could not be renewed before its end", ErrLost)
)

// fail wraps what went wrong in a call on a lock.
func (l *Lock) fail(op, key string, err error) error {
	return redstart.NewError("redstart/lock: "+op, l.template.String(), key, err)
}

// unknown reports whether err leaves open what the call did.
func unknown(err error) bool { return redstart.OutcomeOf(err) == redstart.Unknown }

var errShared = errors.New("a lock with Config.Permits is shared by them already")

var errReply = errors.New("the server's answer is not that of the script")
