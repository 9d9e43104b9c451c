package redstart

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"

	"github.com/redis/rueidis"

	"github.com/redstart-go/redstart/internal/conn"
	"github.com/redstart-go/redstart/internal/outcome"
)

// Outcome is what is known of a failed call's effect: [NotApplied], [Applied]
// or [Unknown].
type Outcome = outcome.Outcome

const (
	// Unknown: the call may have run; repeat it only if that does no harm.
	Unknown = outcome.Unknown
	// NotApplied: the call surely changed nothing; it may be repeated.
	NotApplied = outcome.NotApplied
	// Applied: the call surely took effect.
	Applied = outcome.Applied
)

// What went wrong, for errors.Is. Every one comes wrapped in an [*Error].
var (
	// ErrUnavailable: the server cannot be reached or cannot serve now.
	ErrUnavailable = errors.New("the server is not available")
	// ErrFull: the server is at its memory limit and refuses writes.
	ErrFull = errors.New("the server is out of memory")
	// ErrReadOnly: the server is a replica and refuses writes.
	ErrReadOnly = errors.New("the server is read-only")
	// ErrUnsupported: the server lacks what the call needs.
	ErrUnsupported = errors.New("not supported by the server")
	// ErrRefused: the command is one that a shared connection must not run.
	ErrRefused = errors.New("refused")
	// ErrClosed: the client was closed.
	ErrClosed error = closedError{}
)

type closedError struct{}

func (closedError) Error() string    { return "the client is closed" }
func (closedError) Outcome() Outcome { return NotApplied }

// Error is a failure of a call: what was tried, on keys of which shape, what
// the server said, and what is known of the effect. Its text never holds a
// key, a value or a script: keys hold personal data, so the key stands in a
// field only.
type Error struct {
	// Op is the package and the verb: "redstart/cache: get".
	Op string
	// Key is the key itself, where one key is concerned.
	Key string
	// Template is the shape of the key ("shop:user:<id>"), or a setting or an
	// address where that is what went wrong.
	Template string
	// Code is the first word of the server's error reply ("OOM"), if it replied.
	Code string
	// Outcome says whether the call took effect.
	Outcome Outcome
	// Err is the cause.
	Err error
}

// NewError wraps err as a failure of op on a key of the template, sorted by
// [OutcomeOf]. It gives nil for nil, and leaves a cause that is an *Error
// already in place below. It is for packages that add a pattern.
func NewError(op, template, key string, err error) error {
	if err == nil {
		return nil
	}
	e := &Error{Op: op, Key: key, Template: template, Outcome: OutcomeOf(err), Err: err}
	if re, ok := reply(err); ok {
		e.Code = outcome.Code(re)
	}
	return e
}

// Error is "op template: what happened: what to do".
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Op)
	if e.Template != "" {
		b.WriteByte(' ')
		b.WriteString(e.Template)
	}
	b.WriteString(": ")
	b.WriteString(describe(e.Err))
	return b.String()
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// SafeToRetry reports whether the call surely changed nothing, for packages
// that ask errors so.
func (e *Error) SafeToRetry() bool { return e.Outcome == NotApplied }

// Is lets errors.Is find the sentinel that the server's code stands for.
func (e *Error) Is(target error) bool {
	switch target {
	case ErrFull:
		return e.Code == "OOM"
	case ErrReadOnly:
		return e.Code == "READONLY"
	case ErrUnavailable:
		return e.Err != nil && Away(e.Err)
	case ErrClosed:
		return errors.Is(e.Err, rueidis.ErrClosing)
	default:
		return false
	}
}

// OutcomeOf says what is known of the effect of the call that failed with err,
// whichever package it came from, a raw command's error included. For nil it
// is Applied.
func OutcomeOf(err error) Outcome {
	if err == nil || rueidis.IsRedisNil(err) {
		return Applied
	}
	if o, ok := err.(interface{ Outcome() Outcome }); ok { // what the outermost says of the whole goes first
		return o.Outcome()
	}
	if e := (*Error)(nil); errors.As(err, &e) {
		return e.Outcome
	}
	if o := (interface{ Outcome() Outcome })(nil); errors.As(err, &o) {
		return o.Outcome()
	}
	if re, ok := reply(err); ok {
		return outcome.OfReply(re)
	}
	return Unknown
}

// Away reports whether err says that the server cannot be reached or cannot
// serve now (a refused or lost connection, LOADING, OOM, READONLY and their
// kind), so that doing without it, or waiting, is the answer. A caller's own
// ended context is not that, nor is what a source of truth says.
func Away(err error) bool {
	if re, ok := reply(err); ok {
		return outcome.Away(re)
	}
	if s := (interface{ FromSource() })(nil); errors.As(err, &s) || errors.Is(err, ErrClosed) || errors.Is(err, rueidis.ErrClosing) {
		return false
	}
	var lost net.Error
	switch {
	case errors.Is(err, ErrUnavailable), isDial(err):
		return true
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return false
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, os.ErrDeadlineExceeded),
		errors.Is(err, net.ErrClosed), errors.As(err, &lost):
		return true
	default:
		return false
	}
}

// isDial reports whether err is a failed connection attempt.
func isDial(err error) bool {
	var d *conn.DialError
	return errors.As(err, &d)
}

// reply is the text of the error reply inside err, if a server sent one.
func reply(err error) (string, bool) {
	var re *rueidis.RedisError
	if errors.As(err, &re) && !re.IsNil() {
		return re.Error(), true
	}
	return "", false
}

// describe is an error for people: a server's reply becomes its code and what
// to do, since the reply's own text may repeat arguments or a script.
func describe(err error) string {
	if re, ok := err.(*rueidis.RedisError); ok { //nolint:errorlint // the outermost error only: wrapped ones describe themselves
		return outcome.Describe(re.Error())
	}
	return err.Error()
}
