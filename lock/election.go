package lock

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/redstart-go/redstart"
)

// Election chooses one of many processes to do what only one should.
type Election struct {
	lock *Lock
	id   string
}

// Election gives the election of an id. Whoever holds the lock of that id leads.
func (l *Lock) Election(id string) *Election { return &Election{l, id} }

// Run stands for election until ctx ends, and calls lead whenever it is elected.
// lead's context ends with ctx and before the lease can; then Run waits for it to
// return, stands again unless ctx has ended, and else returns nil. When lead
// returns by itself, Run gives the leadership to whoever is next and returns what
// lead did.
//
// An outage of the server ends a leadership and is waited out. The token of
// [FromContext] is greater for each later leader: what a leader does where an
// older one may still be at it, a resource must check by that.
func (e *Election) Run(ctx context.Context, lead func(ctx context.Context) error) error {
	for pause := retryLost; ; pause = min(2*pause, time.Second) {
		lease, err := e.lock.acquire(ctx, ctx, e.id, e.lock.usual(), true)
		switch {
		case err == nil:
		case ctx.Err() != nil:
			return nil //nolint:nilerr // to end is what it was told
		case !redstart.Away(err) && !unknown(err):
			return err
		default:
			if !sleep(ctx, pause/2+rand.N(pause)) {
				return nil
			}
			continue
		}
		pause = retryLost
		err = lease.during(ctx, lead)
		switch {
		case ctx.Err() != nil:
			if errors.Is(err, ctx.Err()) || errors.Is(err, context.Cause(ctx)) || errors.Is(err, ErrLost) {
				return nil
			}
			return err
		case !errors.Is(context.Cause(lease.ctx), ErrLost):
			return err
		}
	}
}
