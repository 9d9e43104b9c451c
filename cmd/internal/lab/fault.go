package lab

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redstart-go/redstart/cmd/internal/chart"
)

// Fault is what is done to the server in the middle of the traffic.
type Fault string

// The faults.
const (
	None   Fault = "none"
	Kill   Fault = "kill"   // SIGKILL, and a new start on the same port half a second later
	Freeze Fault = "freeze" // SIGSTOP, and SIGCONT a second later
)

// DownTime is how long a killed server is away, FreezeTime how long a frozen one stands still.
const (
	DownTime   = 500 * time.Millisecond
	FreezeTime = time.Second
)

// ParseFault reads a fault's name.
func ParseFault(s string) (Fault, error) {
	switch f := Fault(s); f {
	case None, Kill, Freeze:
		return f, nil
	}
	return "", fmt.Errorf("%w: no fault %q; there are none, kill and freeze", ErrUsage, s)
}

// Text says what is done, for people; nothing for None.
func (f Fault) Text() string {
	switch f {
	case Kill:
		return "server killed, then started again"
	case Freeze:
		return "server frozen"
	default:
		return ""
	}
}

// Short is Text in a word.
func (f Fault) Short() string {
	switch f {
	case Kill:
		return "killed"
	case Freeze:
		return "frozen"
	default:
		return ""
	}
}

// Aside is Text in a clause.
func (f Fault) Aside() string {
	switch f {
	case Kill:
		return "as the server was killed and started again"
	case Freeze:
		return "as the server was frozen for " + chart.Duration(FreezeTime)
	default:
		return ""
	}
}

// Make does a fault to the server, which must be a private one, and undoes it.
func (s *Server) Make(ctx context.Context, f Fault) error {
	switch f {
	case Kill:
		if err := s.private.Kill(); err != nil {
			return fmt.Errorf("kill the server: %w", err)
		}
		Pause(ctx, DownTime)
		if err := s.private.Restart(ctx); err != nil {
			return fmt.Errorf("start the server again: %w", err)
		}
	case Freeze:
		if err := s.private.Freeze(); err != nil {
			return fmt.Errorf("freeze the server: %w", err)
		}
		Pause(ctx, FreezeTime)
		if err := s.private.Continue(); err != nil {
			return fmt.Errorf("let the server go on: %w", err)
		}
	case None:
	default:
		return errors.New("unknown fault " + string(f))
	}
	return nil
}
