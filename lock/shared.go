package lock

import (
	"context"

	"github.com/redstart-go/redstart"
)

// AcquireShared waits for a lease that any number may hold at once, beside whom
// nobody holds the lock alone: of readers, where Acquire is for the writer. The
// order is one for both: a writer who waits is not overtaken by later readers.
// Else it is as Acquire. A lock with Config.Permits refuses it.
func (l *Lock) AcquireShared(ctx context.Context, id string) (*Lease, error) {
	if err := l.shareable(); err != nil {
		return nil, err
	}
	return l.acquire(ctx, context.WithoutCancel(ctx), id, shared, true)
}

// TryAcquireShared takes a shared lease unless somebody holds the lock alone, or
// waits to. Else it is as TryAcquire.
func (l *Lock) TryAcquireShared(ctx context.Context, id string) (*Lease, error) {
	if err := l.shareable(); err != nil {
		return nil, err
	}
	return l.acquire(ctx, context.WithoutCancel(ctx), id, shared, false)
}

// DoShared is Do under a shared lease.
func (l *Lock) DoShared(ctx context.Context, id string, fn func(ctx context.Context) error) error {
	if err := l.shareable(); err != nil {
		return err
	}
	return l.do(ctx, id, shared, fn)
}

func (l *Lock) shareable() error {
	if l.cfg.Permits == 1 {
		return nil
	}
	return &redstart.Error{Op: "redstart/lock: acquire shared", Template: l.template.String(), Outcome: redstart.NotApplied, Err: errShared}
}
