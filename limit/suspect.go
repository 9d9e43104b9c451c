package limit

import (
	"context"
	"errors"
	"time"

	"github.com/redstart-go/redstart"
)

// asksAtOnce bounds the questions of a limiter that are under way. A server that
// falls silent then fills no more of the connections' queues than that, in which a
// call could be held past its time; who waits for a place waits within his time.
const asksAtOnce = 256

// errSilent is the answer while the server is suspected.
var errSilent error = silentError{}

type silentError struct{}

func (silentError) Error() string             { return "the server has not answered a moment ago" }
func (silentError) Outcome() redstart.Outcome { return redstart.NotApplied }
func (silentError) Unwrap() error             { return redstart.ErrUnavailable }

// place gives a place among those who ask, unless the server is suspected.
func (l *Limiter) place(ctx context.Context) error {
	if l.suspected.Load() {
		return errSilent
	}
	select {
	case l.places <- struct{}{}:
		return nil
	default:
	}
	select {
	case l.places <- struct{}{}:
	case <-ctx.Done():
		return &silence{ctx.Err()}
	}
	if l.suspected.Load() {
		<-l.places
		return errSilent
	}
	return nil
}

// silence is the end of a caller's time before anything was sent.
type silence struct{ error }

func (s *silence) Unwrap() error           { return s.error }
func (*silence) Outcome() redstart.Outcome { return redstart.NotApplied }

// suspect makes all decisions those of an outage, after one that came too late,
// until the server answers, or the client knows itself that it is away: within the
// client's Timeout.
func (l *Limiter) suspect(k string, err error) {
	if !errors.Is(err, errTimeout) || !l.suspected.CompareAndSwap(false, true) {
		return
	}
	err = l.client.Go(func(background context.Context) {
		defer l.suspected.Store(false)
		for background.Err() == nil {
			ctx, cancel := context.WithTimeout(background, l.client.Config().Timeout)
			err := l.client.Do(ctx, l.client.B().Exists().Key(k).Build()).Error()
			late := ctx.Err() != nil
			cancel()
			if err == nil || !late {
				return
			}
			time.Sleep(time.Millisecond)
		}
	})
	if err != nil {
		l.suspected.Store(false)
	}
}
