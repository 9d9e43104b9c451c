package lock

import (
	"errors"
	"fmt"
	"strings"

	"github.com/redis/rueidis"

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

// noKey says that an id gives no key.
func (l *Lock) noKey(err error) error {
	return &redstart.Error{Op: "redstart/lock: acquire", Template: l.template.String(), Outcome: redstart.NotApplied, Err: err}
}

// unknown reports whether err is the loss of a reply: what was asked may have
// been done, and may be asked again.
func unknown(err error) bool {
	if err == nil || redstart.OutcomeOf(err) != redstart.Unknown || errors.Is(err, rueidis.ErrClosing) {
		return false
	}
	var re *rueidis.RedisError
	return !errors.As(err, &re)
}

// answered is the error of a script. Where a key holds something else, that is
// seen before anything is written.
func answered(err error) error {
	if re := (*rueidis.RedisError)(nil); errors.As(err, &re) && strings.HasPrefix(re.Error(), "WRONGTYPE ") {
		return &redstart.Error{Op: "redstart/lock: run script", Code: "WRONGTYPE", Outcome: redstart.NotApplied, Err: errForeign}
	}
	return err
}

var errForeign = errors.New("the key holds something that is not a lock")

var errShared = errors.New("a lock with Config.Permits is shared by them already")

var errReply = errors.New("the server's answer is not that of the script")
