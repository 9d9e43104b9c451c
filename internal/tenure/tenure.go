// Package tenure is the time for which something is held by a lease at the
// server: it ends before the lease can, by the monotonic clock of the holder.
package tenure

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/redstart-go/redstart/internal/room"
)

// ErrLost is the cause of a tenure's end when the lease ran out, or was found to
// be somebody else's.
var ErrLost = errors.New("the lease was lost")

// Tenure is a lease that was granted.
type Tenure struct {
	Ctx   context.Context // ends before the lease can
	lease time.Duration
	end   context.CancelCauseFunc

	stopping chan struct{}
	once     sync.Once
	runsOut  *time.Timer
}

// Begin is that of a lease that was asked for at the time.
func Begin(lease time.Duration, sent time.Time) *Tenure {
	t := &Tenure{lease: lease, stopping: make(chan struct{})}
	t.Ctx, t.end = context.WithCancelCause(context.Background())
	t.runsOut = time.AfterFunc(t.left(sent), func() { t.end(ErrLost) })
	return t
}

// left is what a lease asked for at that time has left at least: less 1 % and 2 ms,
// for a clock that runs faster than ours.
func (t *Tenure) left(sent time.Time) time.Duration {
	return t.lease - t.lease/100 - 2*time.Millisecond - time.Since(sent)
}

// Keep renews the lease three times in its time until the tenure ends: renew
// reports whether it is still held.
func (t *Tenure) Keep(renew func(ctx context.Context) (held bool, err error)) {
	defer t.runsOut.Stop()
	pause := t.lease / 3
	for room.Sleep(t.Ctx, room.Jitter(pause), nil) == nil {
		ctx, cancel := context.WithTimeout(t.Ctx, t.lease/3)
		sent := time.Now()
		held, err := renew(ctx)
		cancel()
		switch {
		case err != nil:
			pause = t.lease / 20
		case !held || t.left(sent) <= 0 || !t.runsOut.Stop():
			t.end(ErrLost)
			return
		default:
			pause = t.lease / 3
			t.runsOut.Reset(t.left(sent))
		}
	}
}

// End ends the tenure.
func (t *Tenure) End(cause error) {
	t.end(cause)
	t.runsOut.Stop()
}

// Stop asks its holder to end it.
func (t *Tenure) Stop() { t.once.Do(func() { close(t.stopping) }) }

// Stopping is closed when it was asked for.
func (t *Tenure) Stopping() <-chan struct{} { return t.stopping }

// Stopped reports whether it was asked for, or the tenure has ended.
func (t *Tenure) Stopped() bool {
	select {
	case <-t.stopping:
		return true
	default:
		return t.Ctx.Err() != nil
	}
}
