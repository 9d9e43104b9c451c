package sqlcache

import (
	"context"
	"database/sql/driver"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/redstart-go/redstart/cache"
	"github.com/redstart-go/redstart/internal/sqltext"
)

// change is what a statement, or a transaction, may have made stale.
type change struct {
	tags []string
	all  bool
}

func (ch *change) none() bool { return !ch.all && len(ch.tags) == 0 }

func (ch *change) add(more change) {
	ch.all = ch.all || more.all
	ch.tags = append(ch.tags, more.tags...)
	if len(ch.tags) > mostTags {
		ch.tags, ch.all = nil, true
	}
}

// mostTags bounds what is ended tag by tag; beyond it, all is.
const mostTags = 500

// changes is what a statement makes stale. Who says what a statement ends whose
// tables cannot be told is believed.
func (w *wrapping) changes(ctx context.Context, s *sqltext.Statement) change {
	said := append(slices.Clone(s.Ends), endedBy(ctx)...)
	if len(s.Writes) > 0 || s.All {
		said = append(said, s.Tags...)
	}
	ch := change{all: s.All && (len(said) == 0 || s.Several || s.Verb != sqltext.NoVerb)}
	for _, t := range append(said, s.Writes...) {
		ch.tags = append(ch.tags, t)
		ch.tags = append(ch.tags, w.cfg.Also[t]...)
	}
	ch.tags = sqltext.Fold(ch.tags)
	return ch
}

// tx is a transaction under way.
type tx struct {
	strict    bool // its level is above read committed
	byDefault bool // its level is the session's
	unsure    bool // nobody knows whether it is one
	pending   change
	session   bool // it changed the session, which ends with it
}

func (t *tx) wrote() bool { return !t.pending.none() }

// before does what must be done before a statement that is not plain runs; after
// is called with its error once it has ended.
func (c *conn) before(ctx context.Context, s *sqltext.Statement) (after func(error), err error) {
	if s.Bad != nil {
		return nil, refuse("statement", s.Bad)
	}
	ch := c.of.changes(ctx, s)
	switch s.Set {
	case sqltext.Own:
		c.own = true
	case sqltext.Moved:
		c.ident = nil
	}
	if c.tx != nil && s.Set != sqltext.Same {
		c.tx.session = true
	}
	if c.tx != nil && s.Strict {
		c.tx.strict = true
	}
	switch {
	case s.Several && s.Verb != sqltext.NoVerb: // all is held; and who knows where it leaves the transaction
	case s.Verb == sqltext.Rollback:
		return func(error) { c.rolledBack(ctx, s.Chain) }, nil
	case s.Verb == sqltext.Commit, s.Verb == sqltext.AutocommitOn, s.Verb == sqltext.Begin && c.tx != nil && !c.of.firm():
		return c.commits(ctx, s, ch)
	case s.Verb != sqltext.NoVerb:
		return func(err error) {
			if err == nil && c.tx == nil {
				c.tx = &tx{strict: s.Strict || s.Verb == sqltext.AutocommitOff, byDefault: true}
			}
			c.implicit = c.implicit || s.Verb == sqltext.AutocommitOff && err == nil
		}, nil
	}
	now := c.tx == nil || c.tx.unsure || s.All && !c.of.firm() || s.Several && s.Verb != sqltext.NoVerb
	if c.tx != nil {
		c.tx.pending.add(ch)
	}
	if ch.none() || !now {
		return func(err error) { c.settled(s, err) }, nil
	}
	h, err := c.of.hold(ctx, ch)
	if err != nil {
		return nil, err
	}
	return func(err error) {
		switch {
		case err == driver.ErrSkip: //nolint:errorlint // as package sql compares it: nothing was sent
			c.of.withdraw(ctx, h)
		case !s.Several && c.of.refused(err):
			c.of.withdraw(ctx, h)
			c.of.stats.withdrawn.Add(1)
		default:
			c.of.release(ctx, h, ch)
		}
		if s.Several && s.Verb != sqltext.NoVerb {
			c.tx = &tx{strict: true, unsure: true, pending: change{all: true}}
		}
		c.settled(s, err)
	}, nil
}

// commits is a statement that commits.
func (c *conn) commits(ctx context.Context, s *sqltext.Statement, ch change) (after func(error), err error) {
	if c.tx != nil {
		ch.add(c.tx.pending)
	}
	h, err := c.of.hold(ctx, ch)
	if err != nil {
		return nil, err
	}
	return func(err error) {
		c.of.release(ctx, h, ch) // whatever the error: it may have come through
		if s.Verb == sqltext.AutocommitOn {
			c.implicit = c.implicit && err != nil
		}
		c.over(s.Chain || s.Verb == sqltext.Begin)
	}, nil
}

// firm reports whether nothing but a COMMIT commits, and a rollback undoes all.
func (w *wrapping) firm() bool { return w.dialect == Postgres || w.dialect == SQLite }

// settled ends a statement that may have changed the session.
func (c *conn) settled(s *sqltext.Statement, err error) {
	if s.Set == sqltext.Fresh && err == nil && c.tx == nil {
		c.own = false
	}
	if s.Set != sqltext.Same {
		c.ident = nil
	}
}

// over ends the transaction; where autocommit is off, or the statement says so,
// another one begins.
func (c *conn) over(another bool) {
	if c.tx != nil && c.tx.session {
		c.ident = nil // what it had set may be undone
	}
	c.tx = nil
	if c.implicit || another {
		c.tx = &tx{strict: true}
	}
}

// rolledBack ends a transaction whose changes are undone: nothing was held, and
// what is cached is as it was. A database that commits in between, or has tables
// that cannot roll back, may have kept some.
func (c *conn) rolledBack(ctx context.Context, another bool) {
	t := c.tx
	c.over(another)
	if t == nil || !t.wrote() || c.of.firm() {
		return
	}
	h, err := c.of.hold(ctx, t.pending)
	if err != nil {
		c.of.owe(t.pending)
		return
	}
	c.of.release(ctx, h, t.pending)
}

// BeginTx begins a transaction.
func (c *conn) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	inner, err := begin1(ctx, c.Conn, opts)
	if err != nil {
		return nil, err
	}
	c.tx = &tx{byDefault: opts.Isolation == 0}
	switch opts.Isolation {
	case 0:
	case 1: // read uncommitted, which PostgreSQL takes for read committed
		c.tx.strict = c.of.dialect != Postgres
	case 2: // read committed
		c.tx.strict = c.of.dialect == SQLite
	default:
		c.tx.strict = true
	}
	return &transaction{Tx: inner, c: c}, nil
}

// Begin is for package sql's older shape of a driver.
func (c *conn) Begin() (driver.Tx, error) {
	return c.BeginTx(context.Background(), driver.TxOptions{})
}

// transaction is the driver's, with what it makes stale held before it commits
// and ended after. It has no context: a deadline of the client's own bounds
// that.
type transaction struct {
	driver.Tx
	c *conn
}

func (t *transaction) Commit() error {
	ctx := context.Background()
	var pending change
	if t.c.tx != nil {
		pending = t.c.tx.pending
	}
	if pending.none() {
		err := t.Tx.Commit()
		t.c.over(false)
		return err
	}
	h, err := t.c.of.hold(ctx, pending)
	if err != nil {
		t.c.over(false)
		return errors.Join(err, t.Tx.Rollback())
	}
	err = t.Tx.Commit()
	t.c.of.release(ctx, h, pending) // whatever the error: it may have come through
	t.c.over(false)
	return err
}

func (t *transaction) Rollback() error {
	err := t.Tx.Rollback()
	t.c.rolledBack(context.Background(), false)
	return err
}

// hold holds what a change makes stale. Nil without an error: there is nothing,
// or the server is away and the write proceeds.
func (w *wrapping) hold(ctx context.Context, ch change) (*cache.Hold, error) {
	if ch.none() {
		return nil, nil //nolint:nilnil // nothing to hold
	}
	var h *cache.Hold
	var err error
	if ch.all {
		h, err = w.cache.HoldAll(ctx)
	} else {
		h, err = w.cache.HoldTags(ctx, ch.tags...)
	}
	if err == nil {
		return h, nil
	}
	if w.cfg.InOutage == Proceed && ctx.Err() == nil {
		w.stats.unheld.Add(1)
		return nil, nil //nolint:nilnil // the write proceeds
	}
	w.stats.refused.Add(1)
	return nil, refuse("write", err)
}

// release ends what a change makes stale.
func (w *wrapping) release(ctx context.Context, h *cache.Hold, ch change) {
	if ch.none() {
		return
	}
	w.stats.invalidations.Add(1)
	if h != nil {
		if h.Release(ctx) != nil { // what is held ends by itself, unless the server has lost it
			w.stats.late.Add(1)
			w.owe(ch)
		}
		return
	}
	w.owe(ch)
	w.paid(ctx)
}

func (w *wrapping) withdraw(ctx context.Context, h *cache.Hold) {
	if h != nil && h.Withdraw(ctx) != nil {
		w.stats.late.Add(1) // what is held ends by itself
	}
}

// refused reports whether the database said that it did not do a statement that
// stands for itself: then nothing has changed. Only PostgreSQL says it so that
// one can be sure.
func (w *wrapping) refused(err error) bool {
	var state interface{ SQLState() string }
	if w.dialect != Postgres || err == nil || !errors.As(err, &state) {
		return false
	}
	code := state.SQLState()
	for _, unsure := range []string{"08", "57", "58", "XX", "40003", "53"} {
		if strings.HasPrefix(code, unsure) {
			return false
		}
	}
	return len(code) == 5
}

// debts are changes whose entries this process could not end. It reads nothing
// from the cache until it has.
type debts struct {
	any atomic.Bool
	mu  sync.Mutex
	due change
}

func (c *Cache) owe(ch change) {
	c.debts.mu.Lock()
	defer c.debts.mu.Unlock()
	c.debts.due.add(ch)
	c.debts.any.Store(true)
}

// paid ends what is due, and reports whether nothing is left.
func (c *Cache) paid(ctx context.Context) bool {
	if !c.debts.any.Load() {
		return true
	}
	c.debts.mu.Lock()
	due := c.debts.due
	c.debts.mu.Unlock()
	if !due.none() && c.invalidate(ctx, due) != nil {
		return false
	}
	c.debts.mu.Lock()
	defer c.debts.mu.Unlock()
	if len(c.debts.due.tags) != len(due.tags) || c.debts.due.all != due.all { // more came meanwhile
		return false
	}
	c.debts.due = change{}
	c.debts.any.Store(false)
	return true
}
