package sqlcache

import (
	"context"
	"database/sql/driver"
)

// wrapped opens connections of the driver that pass the cache.
type wrapped struct {
	driver.Connector
	of   *wrapping
	pool *pool
}

func (c *wrapped) Connect(ctx context.Context) (driver.Conn, error) {
	inner, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return &conn{Conn: inner, of: c.of, pool: c.pool}, nil
}

// Close is called by sql.DB.Close.
func (c *wrapped) Close() error {
	c.pool.close()
	return closeConnector(c.Connector)
}

// conn is a connection of the driver. It has every optional interface, and does
// what package sql does where the driver has not.
type conn struct {
	driver.Conn
	of   *wrapping
	pool *pool

	ident    *identity // nil: to be asked for
	nonce    string    // of a database in memory
	own      bool      // its session has something that others have not: nothing is cached
	implicit bool      // every write begins a transaction (autocommit is off)
	skips    bool      // the driver has writes with arguments prepared
	tx       *tx       // nil outside a transaction
}

func (c *conn) Ping(ctx context.Context) error {
	if p, ok := c.Conn.(driver.Pinger); ok {
		return p.Ping(ctx)
	}
	return nil
}

func (c *conn) ResetSession(ctx context.Context) error {
	if r, ok := c.Conn.(driver.SessionResetter); ok {
		return r.ResetSession(ctx)
	}
	return nil
}

func (c *conn) IsValid() bool {
	v, ok := c.Conn.(driver.Validator)
	return !ok || v.IsValid()
}

func (c *conn) CheckNamedValue(v *driver.NamedValue) error {
	if n, ok := c.Conn.(driver.NamedValueChecker); ok {
		return n.CheckNamedValue(v)
	}
	if !queries(c.Conn) && !executes(c.Conn) {
		return nil // the prepared statement will say
	}
	return driver.ErrSkip
}

func (c *conn) Prepare(text string) (driver.Stmt, error) {
	return c.PrepareContext(context.Background(), text)
}

func (c *conn) PrepareContext(ctx context.Context, text string) (driver.Stmt, error) {
	inner, err := prepare1(ctx, c.Conn, text)
	if err != nil {
		return nil, err
	}
	s := &stmt{Stmt: inner, c: c, s: c.of.statements.of(text)}
	if cc, ok := inner.(driver.ColumnConverter); ok { //nolint:staticcheck // drivers still have it
		return &convertingStmt{s, cc}, nil
	}
	return s, nil
}

func (c *conn) ExecContext(ctx context.Context, text string, args []driver.NamedValue) (driver.Result, error) {
	s := c.of.statements.of(text)
	if !executes(c.Conn) || c.skips && len(args) > 0 && !s.plain() {
		return nil, driver.ErrSkip
	}
	run := func() (driver.Result, error) { return exec1(ctx, c.Conn, text, args) }
	if c.untouched(ctx, s) {
		return run()
	}
	after, err := c.before(ctx, s)
	if err != nil {
		return nil, err
	}
	r, err := run()
	c.skips = c.skips || err == driver.ErrSkip && len(args) > 0 //nolint:errorlint // as package sql compares it
	after(err)
	return r, err
}

func (c *conn) QueryContext(ctx context.Context, text string, args []driver.NamedValue) (driver.Rows, error) {
	if !queries(c.Conn) {
		return nil, driver.ErrSkip
	}
	s := c.of.statements.of(text)
	w, err := c.wish(ctx, s)
	if err != nil {
		return nil, err
	}
	if w == nil && c.untouched(ctx, s) {
		return queryOnly(ctx, c.Conn, text, args)
	}
	if w == nil && c.skips && len(args) > 0 {
		return nil, driver.ErrSkip
	}
	run := func(ctx context.Context) (driver.Rows, error) { return queryOnly(ctx, c.Conn, text, args) }
	if w == nil {
		return c.pass(ctx, s, run)
	}
	return c.cached(ctx, s, w, args, run, func(ctx context.Context) (driver.Rows, error) { return query1(ctx, c.Conn, text, args) })
}

// untouched reports whether a statement has nothing to do with the cache.
func (c *conn) untouched(ctx context.Context, s *statement) bool {
	return s.plain() && s.bad == nil && endedBy(ctx) == nil
}

// pass runs a query that may change something. It has ended when its rows are
// closed.
func (c *conn) pass(ctx context.Context, s *statement, run func(context.Context) (driver.Rows, error)) (driver.Rows, error) {
	after, err := c.before(ctx, s)
	if err != nil {
		return nil, err
	}
	rows, err := run(ctx)
	if err != nil {
		after(err)
		return nil, err
	}
	return &passing{Rows: rows, ended: after}, nil
}

// Close ends a transaction that nobody has committed.
func (c *conn) Close() error {
	err := c.Conn.Close()
	if c.tx != nil {
		c.tx = nil
	}
	return err
}

// stmt is a prepared statement of the driver.
type stmt struct {
	driver.Stmt
	c *conn
	s *statement
}

// convertingStmt is one of a driver that says how a column's arguments are
// converted, which changes what package sql does.
type convertingStmt struct {
	*stmt
	driver.ColumnConverter
}

func (s *stmt) CheckNamedValue(v *driver.NamedValue) error {
	if n, ok := s.Stmt.(driver.NamedValueChecker); ok {
		return n.CheckNamedValue(v)
	}
	if n, ok := s.c.Conn.(driver.NamedValueChecker); ok {
		return n.CheckNamedValue(v)
	}
	return driver.ErrSkip
}

func (s *stmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	if s.c.untouched(ctx, s.s) {
		return stmtExec(ctx, s.Stmt, args)
	}
	after, err := s.c.before(ctx, s.s)
	if err != nil {
		return nil, err
	}
	r, err := stmtExec(ctx, s.Stmt, args)
	after(err)
	return r, err
}

func (s *stmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	w, err := s.c.wish(ctx, s.s)
	if err != nil {
		return nil, err
	}
	if w == nil && s.c.untouched(ctx, s.s) {
		return stmtQuery(ctx, s.Stmt, args)
	}
	run := func(ctx context.Context) (driver.Rows, error) { return stmtQuery(ctx, s.Stmt, args) }
	if w == nil {
		return s.c.pass(ctx, s.s, run)
	}
	return s.c.cached(ctx, s.s, w, args, run, run)
}
