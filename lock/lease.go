package lock

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/redstart-go/redstart"
)

// Lease is the lock while it is held. It is renewed in the background until
// Release, or until it is lost.
type Lease struct {
	client *redstart.Client
	claim  held
	token  int64
	lasts  time.Duration // a renewed one
	ctx    context.Context
	cancel context.CancelCauseFunc

	mu    sync.Mutex
	ends  time.Time   // counted from before the server granted it
	timer *time.Timer // for the next renewal; while one is under way, for the end
	over  bool        // released or lost

	renewals context.Context // theirs; nil before the first
	quit     context.CancelFunc
	release  sync.Once
	result   error // of Release
}

// held is what a lease does at its server, or servers.
type held interface {
	renew(ctx context.Context) (bool, error)
	release(ctx context.Context) (bool, error)
	fail(op string, err error) error
}

func newLease(parent context.Context, client *redstart.Client, claim held, lasts time.Duration, g grant) *Lease {
	l := &Lease{client: client, claim: claim, token: g.token, lasts: lasts}
	inner, cancel := context.WithCancelCause(parent)
	l.ctx, l.cancel = &leaseContext{inner, l}, cancel
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ends = g.since.Add(g.lasts - drift(g.lasts))
	l.timer = time.AfterFunc(min(time.Until(l.ends)/2, g.lasts/4), l.beat)
	return l
}

// drift is what a lease's end is moved forward by, for clocks that do not run
// equally fast.
func drift(d time.Duration) time.Duration { return d/100 + 2*time.Millisecond }

// Token is the fencing token: that of a later lease of the same id is greater,
// across restarts, failovers and the loss of every key. It fits 53 bits.
func (l *Lease) Token() int64 { return l.token }

// Context ends before the lease can, with ErrLost as its cause, and at Release,
// with ErrReleased. Time is counted from before the server was asked, on the
// monotonic clock. Err tells the end even when the process was frozen and the
// timers are late.
func (l *Lease) Context() context.Context { return l.ctx }

// Extend renews the lease now: from here on it lasts Config.Lease. ErrLost says
// that it was lost. It is hardly needed, since that is done in the background:
// only before something that must not be interrupted. One script.
func (l *Lease) Extend(ctx context.Context) error {
	for try := 1; ; try++ {
		if l.ctx.Err() != nil {
			return l.claim.fail("extend", context.Cause(l.ctx))
		}
		err := l.extend(ctx)
		if err == nil || ctx.Err() != nil || !unknown(err) || try == tries {
			return l.claim.fail("extend", err)
		}
	}
}

// extend renews the lease and notes what came of it.
func (l *Lease) extend(ctx context.Context) error {
	sent := time.Now()
	held, err := l.claim.renew(ctx)
	if err != nil {
		return err
	}
	if !held {
		l.lose(errGone)
		return errGone
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over {
		return nil
	}
	if ends := sent.Add(l.lasts - drift(l.lasts)); ends.After(l.ends) {
		l.ends = ends
	}
	l.timer.Reset(min(l.lasts/3, time.Until(l.ends)))
	return nil
}

// beat renews the lease in the background, or ends it. A renewal that is not
// answered is waited for until the lease ends, for a slow answer is as good as a
// quick one; others are sent beside it, for its connection may be dead.
func (l *Lease) beat() {
	l.mu.Lock()
	left, over := time.Until(l.ends), l.over
	if !over && left > 0 {
		l.timer.Reset(min(max(left/2, minTry), left))
		if l.renewals == nil { // they go on when the parent has ended: the holder may not be done yet
			l.renewals, l.quit = context.WithCancel(context.WithoutCancel(l.ctx))
		}
	}
	renewals := l.renewals
	l.mu.Unlock()
	if over {
		return
	}
	if left <= 0 {
		l.lose(errRanOut)
		return
	}
	_ = l.client.Go(func(context.Context) { // closed: the lease runs out
		ctx, cancel := context.WithTimeout(renewals, left)
		defer cancel()
		if err := l.extend(ctx); err == nil || errors.Is(err, ErrLost) {
			return
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		if !l.over {
			l.timer.Reset(max(min(left/20, time.Until(l.ends)), 0))
		}
	})
}

// tries bounds how often a call is sent whose reply was lost. It finds what it did.
const tries = 3

// minTry is the shortest time between two renewals.
const minTry = 10 * time.Millisecond

// lose ends the lease that is lost.
func (l *Lease) lose(why error) {
	if l.stop() {
		l.cancel(why)
	}
}

// stop ends the renewals; false means that they had ended.
func (l *Lease) stop() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over {
		return false
	}
	l.over = true
	l.timer.Stop()
	if l.quit != nil {
		l.quit()
	}
	return true
}

// Release gives the lock to whoever is next. ErrLost says that the lease had
// been lost before; then nobody else's is touched. A ctx that has ended already
// does not keep it from trying, for as long as redstart.Config.Timeout. When it
// fails otherwise the lease ends by itself, at the latest after Config.Lease. A
// second call says what the first said. One script.
func (l *Lease) Release(ctx context.Context) error {
	l.release.Do(func() { l.result = l.giveBack(ctx) })
	return l.result
}

func (l *Lease) giveBack(ctx context.Context) error {
	l.mu.Lock()
	ends := l.ends
	l.mu.Unlock()
	_ = l.ctx.Err() // notices that it ran out
	l.stop()
	l.cancel(ErrReleased)
	lost := context.Cause(l.ctx)
	if errors.Is(lost, errGone) {
		return l.claim.fail("release", lost)
	}
	if ctx.Err() != nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), l.client.Config().Timeout)
		defer cancel()
	}
	unsure := false // whether an earlier try did it
	for try := 1; ; try++ {
		held, err := l.claim.release(ctx)
		switch {
		case errors.Is(lost, errRanOut):
			return l.claim.fail("release", lost)
		case err != nil && unknown(err) && ctx.Err() == nil && try < tries:
			unsure = true
			continue
		case err != nil:
			return l.claim.fail("release", err)
		case held, unsure && time.Now().Before(ends):
			return nil
		default:
			return l.claim.fail("release", errGone)
		}
	}
}

// during calls fn under the lease and releases it.
func (l *Lease) during(ctx context.Context, fn func(ctx context.Context) error) (err error) {
	defer func() {
		released := l.Release(ctx)
		if errors.Is(released, ErrLost) {
			err = errors.Join(err, released)
		}
	}()
	return fn(l.ctx)
}

// leaseContext is a lease's context.
type leaseContext struct {
	context.Context
	lease *Lease
}

// Err looks at the clock too: after a freeze the timers may be late.
func (c *leaseContext) Err() error {
	if err := c.Context.Err(); err != nil {
		return err
	}
	l := c.lease
	l.mu.Lock()
	ended := !l.over && !time.Now().Before(l.ends)
	l.mu.Unlock()
	if ended {
		l.lose(errRanOut)
	}
	return c.Context.Err()
}

type leaseKey struct{}

// Value gives the lease to FromContext.
func (c *leaseContext) Value(key any) any {
	if key == (leaseKey{}) {
		return c.lease
	}
	return c.Context.Value(key)
}

// String keeps what is printed of a context short.
func (c *leaseContext) String() string { return fmt.Sprint(c.Context) + ".WithLease" }

// FromContext gives the lease under which a function of Do runs.
func FromContext(ctx context.Context) (lease *Lease, ok bool) {
	lease, ok = ctx.Value(leaseKey{}).(*Lease)
	return lease, ok
}
