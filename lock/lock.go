package lock

import (
	"context"
	"time"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/key"
)

// Lock is a family of locks, one for each id. All goroutines share it. See the
// package's documentation for its promises.
type Lock struct {
	client   *redstart.Client
	cfg      Config
	template *key.Template
	terms    terms
	inbox    *inbox
}

// New makes a family of locks on the client. It sends nothing.
func New(client *redstart.Client, cfg Config) (*Lock, error) {
	cfg, template, err := cfg.withDefaults(client)
	if err != nil {
		return nil, err
	}
	return &Lock{client: client, cfg: cfg, template: template, terms: termsOf(cfg), inbox: inboxOf(client)}, nil
}

// Do waits for the lock, calls fn and releases the lock, also when fn panics.
// fn's context ends when ctx does, and before the lease can; context.Cause tells
// which (ErrLost). What must not be done by two at once fn does with the token
// of [FromContext], at a resource that refuses older ones.
//
// It returns fn's error, joined with ErrLost when the lease was lost before fn
// returned. Cost: that of Acquire and Release.
func (l *Lock) Do(ctx context.Context, id string, fn func(ctx context.Context) error) error {
	return l.do(ctx, id, l.usual(), fn)
}

// Acquire waits for the lock until ctx ends, in the order in which the server
// heard of those who wait. The lease is renewed until Release, whatever becomes
// of ctx: its values stay, its end does not concern the lease.
//
// Errors: that of ctx, when it ended first; then the caller has left the queue,
// or soon will have. Cost: one script when the lock is free; else one more look
// about every second, and the grant comes as a message.
func (l *Lock) Acquire(ctx context.Context, id string) (*Lease, error) {
	return l.acquire(ctx, context.WithoutCancel(ctx), id, l.usual(), true)
}

// TryAcquire takes the lock if it is free and nobody waits for it; ErrHeld says
// that it is not. One script.
func (l *Lock) TryAcquire(ctx context.Context, id string) (*Lease, error) {
	return l.acquire(ctx, context.WithoutCancel(ctx), id, l.usual(), false)
}

// usual is what Acquire takes.
func (l *Lock) usual() mode {
	if l.cfg.Permits > 1 {
		return shared
	}
	return single
}

func (l *Lock) do(ctx context.Context, id string, m mode, fn func(ctx context.Context) error) error {
	lease, err := l.acquire(ctx, ctx, id, m, true)
	if err != nil {
		return err
	}
	return lease.during(ctx, fn)
}

// acquire asks for the lock; parent is that of the lease's context.
func (l *Lock) acquire(ctx, parent context.Context, id string, m mode, wait bool) (*Lease, error) {
	k, err := l.template.Key(id)
	if err != nil {
		return nil, l.noKey(err)
	}
	c := &claim{lock: l, key: k, keys: keysOf(k), owner: l.inbox.owner(m)}
	g, err := c.take(ctx, wait)
	if err != nil {
		if err != ErrHeld { //nolint:errorlint // the bare value is an answer
			err = l.fail("acquire", k, err)
		}
		return nil, err
	}
	return newLease(parent, l.client, c, l.cfg.Lease, g), nil
}

// grant is what was granted.
type grant struct {
	token int64
	since time.Time // the server granted it no earlier
	lasts time.Duration
}
