package sqlcache

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"sync"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/cache"
	"github.com/redstart-go/redstart/internal/sqltext"
)

// errNotCached ends a load whose result went to whoever asked and to nobody else.
var errNotCached = errors.New("the result is not to be cached")

func refuse(op string, err error) error {
	return &redstart.Error{Op: "redstart/sqlcache: " + op, Outcome: redstart.NotApplied, Err: err}
}

// wish says what is asked of the cache for a statement that it may answer; nil
// for nothing.
func (c *conn) wish(ctx context.Context, s *sqltext.Statement) (*wish, error) {
	if s.Bad != nil {
		return nil, refuse("statement", s.Bad)
	}
	spoken := s.Noted && s.Ends == nil
	if !s.Read {
		if spoken && s.Plain() {
			c.of.stats.unfit.Add(1)
		}
		return nil, nil //nolint:nilnil // nothing is asked
	}
	a, _ := ctx.Value(wishKey{}).(*asked)
	if !spoken && a == nil {
		return nil, nil //nolint:nilnil // nothing is asked
	}
	if a != nil && a.bad != nil {
		return nil, refuse("statement", a.bad)
	}
	w := wish{ttl: s.TTL, tags: s.Tags}
	if a != nil {
		if w.ttl == 0 {
			w.ttl = a.ttl
		}
		if w.tags == nil {
			w.tags = a.tags
		}
	}
	if w.tags == nil {
		if w.tags = s.Tables; len(w.tags) == 0 || s.Blind {
			c.of.stats.unfit.Add(1)
			return nil, nil //nolint:nilnil // nobody could invalidate it
		}
	}
	return &w, nil
}

// call is a statement that the cache may have to load.
type call struct {
	loan     *loan
	text     string
	args     []driver.NamedValue
	keeps    bool // args may be used once the call is over
	identity string
	wish     *wish
	pool     *pool
}

type callKey struct{}

// loan is the caller's connection, which a load may use once, until he takes it
// back. What is sent over it is sent for him, with his context.
type loan struct {
	ctx context.Context //nolint:containedctx // of the lender
	run func(context.Context) (driver.Rows, error)

	mu    sync.Mutex
	taken bool
	over  bool
	done  chan struct{}

	got recorded
	err error
}

// take gives the loan to one load.
func (l *loan) take() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over || l.taken {
		return false
	}
	l.taken = true
	return true
}

// settle takes the connection back, and reports whether it was used.
func (l *loan) settle() bool {
	l.mu.Lock()
	l.over = true
	taken := l.taken
	l.mu.Unlock()
	if taken {
		<-l.done
	}
	return taken
}

// cached answers a statement by way of the cache. run sends it as it was to be
// sent, once also where the driver wants it prepared.
func (c *conn) cached(ctx context.Context, s *sqltext.Statement, w *wish, args []driver.NamedValue, run, once func(context.Context) (driver.Rows, error)) (driver.Rows, error) {
	st := &c.of.stats
	if c.own || c.tx != nil && (c.tx.strict || c.tx.wrote()) {
		st.bypassed.Add(1)
		return run(ctx)
	}
	ident, err := c.identify(ctx)
	if err != nil {
		return run(ctx) // and it says what is wrong
	}
	if c.tx != nil && c.tx.byDefault && !ident.committed {
		st.bypassed.Add(1)
		return run(ctx)
	}
	q, ok := key(s.Text, args, c.of.dialect, ident.text, w)
	if !ok {
		st.unfit.Add(1)
		return run(ctx)
	}
	if !c.of.paid(ctx) {
		st.bypassed.Add(1)
		return run(ctx)
	}
	if c.tx != nil {
		return c.looked(ctx, q, run)
	}
	kept, keeps := keep(args)
	l := &loan{ctx: ctx, run: once, done: make(chan struct{})}
	in := context.WithValue(ctx, callKey{}, &call{
		loan: l, text: s.Text, args: kept, keeps: keeps, identity: ident.text, wish: w, pool: c.pool,
	})
	raw, err := c.get(in, q, l)
	switch used := l.taken; {
	case used && l.err == nil && l.got.rest != nil:
		return l.got.rest, nil
	case used && l.err == nil:
		raw, err = l.got.raw, nil
	case used && err != nil:
		return nil, l.err
	}
	switch {
	case err == nil:
		if rows, bad := newReplay(raw); bad == nil {
			return rows, nil
		}
		return run(ctx)
	case errors.Is(err, redstart.ErrUnavailable):
		return nil, err
	case ctx.Err() != nil:
		return nil, ctx.Err()
	}
	return run(ctx) // another's failure is not his
}

// get asks the cache, and takes the connection back however that ends.
func (c *conn) get(ctx context.Context, q query, l *loan) ([]byte, error) {
	defer l.settle()
	return c.of.cache.Get(ctx, q)
}

// looked answers inside a transaction that reads what is committed, and has
// written nothing: by what is cached, or else by the database, whose answer is
// not cached.
func (c *conn) looked(ctx context.Context, q query, run func(context.Context) (driver.Rows, error)) (driver.Rows, error) {
	raw, ok, err := c.of.cache.Peek(ctx, q)
	if err == nil && ok {
		if rows, bad := newReplay(raw); bad == nil {
			c.of.stats.inTx.Add(1)
			return rows, nil
		}
	}
	c.of.stats.bypassed.Add(1)
	return run(ctx)
}

// load is the cache's.
func (c *Cache) load(ctx context.Context, _ query, old cache.Old[[]byte]) (r cache.Result[[]byte], err error) {
	call, _ := ctx.Value(callKey{}).(*call)
	if call == nil {
		return r, errIdentity
	}
	r.TTL = call.wish.ttl
	if l := call.loan; !old.OK && l.take() {
		if done, err := c.onLoan(ctx, l, &r); done {
			return r, err
		}
	}
	if !call.keeps {
		return r, errNotCached
	}
	err = call.pool.run(ctx, call, func(rows driver.Rows) error {
		got := record(rows, c.cfg.MaxRows, c.cfg.MaxBytes)
		r.Value = got.raw
		return c.spoiled(&got)
	})
	return r, err
}

// onLoan loads over the caller's connection. done is false when he is gone, or
// the connection is, and others wait.
func (c *Cache) onLoan(ctx context.Context, l *loan, r *cache.Result[[]byte]) (done bool, err error) {
	defer close(l.done)
	l.err = errNotCached // should the driver panic
	var rows driver.Rows
	if rows, l.err = l.run(l.ctx); l.err == nil {
		l.got = record(rows, c.cfg.MaxRows, c.cfg.MaxBytes)
		r.Value = l.got.raw
		if l.got.rest == nil {
			return true, nil
		}
		if l.ctx.Err() == nil || ctx.Err() != nil {
			if l.got.large {
				c.stats.large.Add(1)
			} else {
				c.stats.unfit.Add(1)
			}
			return true, errNotCached
		}
		return false, nil
	}
	gone := errors.Is(l.err, driver.ErrBadConn) || l.ctx.Err() != nil
	return !gone || ctx.Err() != nil, l.err
}

// spoiled closes what is not cached of a load that nobody waits for.
func (c *Cache) spoiled(got *recorded) error {
	if got.rest == nil {
		return nil
	}
	if got.large {
		c.stats.large.Add(1)
	}
	err := got.rest.err
	_ = got.rest.Close() // nobody reads on
	if err != nil {
		return fmt.Errorf("%w: %w", errNotCached, err)
	}
	return errNotCached
}
