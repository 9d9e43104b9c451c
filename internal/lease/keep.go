package lease

import (
	"context"
	"sync"
	"time"

	"github.com/redstart-go/redstart"
)

// Keep extends the lease three times in its duration until stop is called, as
// work of the client. lost is closed when the lease is found to be gone; a
// server that does not answer is asked again, and the lease may run out.
func (l Lease) Keep() (lost <-chan struct{}, stop func()) { return keep(l.Client, l.Time, l.Extend) }

func keep(c *redstart.Client, lasts time.Duration, extend func(context.Context) (bool, error)) (lost <-chan struct{}, stop func()) {
	gone := make(chan struct{})
	ctx, cancel := context.WithCancel(context.Background())
	k := &keeper{client: c, lasts: lasts, extend: extend, ctx: ctx, gone: gone}
	k.mu.Lock()
	k.timer = time.AfterFunc(lasts/3, k.beat)
	k.mu.Unlock()
	return gone, func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.timer.Stop()
		cancel()
	}
}

type keeper struct {
	client *redstart.Client
	lasts  time.Duration
	extend func(context.Context) (bool, error)
	ctx    context.Context
	gone   chan struct{}
	mu     sync.Mutex // guards the timer against stop
	timer  *time.Timer
}

func (k *keeper) beat() {
	err := k.client.Go(func(context.Context) {
		ctx, cancel := context.WithTimeout(k.ctx, k.lasts/3)
		defer cancel()
		held, err := k.extend(ctx)
		if err == nil && !held && k.ctx.Err() == nil {
			close(k.gone)
			return
		}
		k.mu.Lock()
		defer k.mu.Unlock()
		if k.ctx.Err() == nil {
			k.timer.Reset(k.lasts / 3)
		}
	})
	_ = err // the client is closed: the lease runs out
}
