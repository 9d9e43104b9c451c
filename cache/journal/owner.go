package journal

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"time"

	"github.com/redstart-go/redstart/internal/room"
)

// owner is a partition that this process has: a lease, and the token that tells
// it from every earlier one.
type owner struct {
	p     *partition
	name  string // of this claim, which no other had
	token int64

	ctx  context.Context // ends before the lease can
	end  context.CancelCauseFunc
	gone chan struct{} // closed when nobody works on it any more

	stopping chan struct{} // closed when it is to be given back
	once     sync.Once
	runsOut  *time.Timer
}

var (
	errGivenUp = errors.New("the partition was given up")
	errRanOut  = errors.New("the lease of the partition was lost")
)

// take claims a partition; nil: somebody else has it.
func (j *Journal[K, V]) take(ctx context.Context, p *partition, name string) (*owner, error) {
	ctx, cancel := context.WithTimeout(ctx, max(j.cfg.Lease/3, minLease))
	defer cancel()
	sent := time.Now()
	token, err := j.ask(ctx, ownScript, p.own, []string{name, millis(j.cfg.Lease), "0", strconv.FormatInt(p.seen.Load(), 10)})
	if err != nil || token <= 0 {
		return nil, err
	}
	o := &owner{p: p, name: name, token: token, gone: make(chan struct{}), stopping: make(chan struct{})}
	o.ctx, o.end = context.WithCancelCause(context.Background())
	o.runsOut = time.AfterFunc(j.left(sent), func() { o.end(errRanOut) })
	return o, nil
}

// left is what a lease asked for at that time has left at least: less 1 % and 2 ms,
// for a clock that runs faster than ours.
func (j *Journal[K, V]) left(sent time.Time) time.Duration {
	return j.cfg.Lease - j.cfg.Lease/100 - 2*time.Millisecond - time.Since(sent)
}

// renew keeps the lease until the owner's context ends.
func (j *Journal[K, V]) renew(o *owner) {
	defer o.runsOut.Stop()
	pause := j.cfg.Lease / 3
	for {
		if room.Sleep(o.ctx, room.Jitter(pause), nil) != nil {
			return
		}
		ctx, cancel := context.WithTimeout(o.ctx, j.cfg.Lease/3)
		sent := time.Now()
		token, err := j.ask(ctx, ownScript, o.p.own, []string{o.name, millis(j.cfg.Lease), strconv.FormatInt(o.token, 10), strconv.FormatInt(o.p.seen.Load(), 10)})
		cancel()
		switch {
		case err != nil:
			pause = j.cfg.Lease / 20
		case token != o.token:
			o.end(errRanOut)
			return
		default:
			pause = j.cfg.Lease / 3
			if !o.runsOut.Stop() || j.left(sent) <= 0 {
				o.end(errRanOut)
				return
			}
			o.runsOut.Reset(j.left(sent))
		}
	}
}

// stop asks for the partition to be given back.
func (o *owner) stop() { o.once.Do(func() { close(o.stopping) }) }

// stopped reports whether it was asked for.
func (o *owner) stopped() bool {
	select {
	case <-o.stopping:
		return true
	default:
		return o.ctx.Err() != nil
	}
}
