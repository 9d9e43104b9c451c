package conn

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"

	"github.com/redstart-go/redstart/internal/outcome"
)

// DialError is a failed connection attempt: nothing was sent.
type DialError struct {
	Addr string
	Err  error
}

// Error says where, why, and what to do.
func (e *DialError) Error() string {
	return fmt.Sprintf("no connection to %s: %s", e.Addr, reason(e.Err))
}

// Unwrap gives the cause.
func (e *DialError) Unwrap() error { return e.Err }

// Outcome is NotApplied.
func (e *DialError) Outcome() outcome.Outcome { return outcome.NotApplied }

// reason is a network error in words, with what to do.
func reason(err error) string {
	var dns *net.DNSError
	var ne net.Error
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused; is the server running there?"
	case errors.Is(err, syscall.ENOENT):
		return "there is no such socket; is the server running?"
	case errors.Is(err, syscall.EACCES):
		return "permission denied"
	case errors.As(err, &dns):
		return "the host name is not known"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &ne) && ne.Timeout():
		return "no answer within the dial deadline (Config.DialTimeout)"
	default:
		return err.Error()
	}
}
