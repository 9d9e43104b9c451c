package lease

import (
	"context"
	"sync"
	"time"
)

// Keep extends the lease three times in its duration until stop is called, as
// work of the client. lost is closed when the lease is found to be gone; a
// server that does not answer is asked again, and the lease may run out.
func (l Lease) Keep() (lost <-chan struct{}, stop func()) {
	gone := make(chan struct{})
	ctx, cancel := context.WithCancel(context.Background())
	k := &keeper{lease: l, ctx: ctx, gone: gone}
	k.mu.Lock()
	k.timer = time.AfterFunc(l.Time/3, k.beat)
	k.mu.Unlock()
	return gone, func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.timer.Stop()
		cancel()
	}
}

type keeper struct {
	lease Lease
	ctx   context.Context
	gone  chan struct{}
	mu    sync.Mutex // guards the timer against stop
	timer *time.Timer
}

func (k *keeper) beat() {
	err := k.lease.Client.Go(func(context.Context) {
		ctx, cancel := context.WithTimeout(k.ctx, k.lease.Time/3)
		defer cancel()
		held, err := k.lease.Extend(ctx)
		if err == nil && !held && k.ctx.Err() == nil {
			close(k.gone)
			return
		}
		k.mu.Lock()
		defer k.mu.Unlock()
		if k.ctx.Err() == nil {
			k.timer.Reset(k.lease.Time / 3)
		}
	})
	_ = err // the client is closed: the lease runs out
}
