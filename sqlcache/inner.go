package sqlcache

import (
	"context"
	"database/sql/driver"
	"errors"
)

// What follows calls a driver as package sql does, whichever of the optional
// interfaces it has.

// exec1 is ErrSkip where the driver wants a statement to be prepared.
func exec1(ctx context.Context, c driver.Conn, text string, args []driver.NamedValue) (driver.Result, error) {
	if e, ok := c.(driver.ExecerContext); ok {
		return e.ExecContext(ctx, text, args)
	}
	e, ok := c.(driver.Execer) //nolint:staticcheck // drivers still have it
	if !ok {
		return nil, driver.ErrSkip
	}
	values, err := plainly(ctx, args)
	if err != nil {
		return nil, err
	}
	return e.Exec(text, values)
}

func queries(c driver.Conn) bool {
	if _, ok := c.(driver.QueryerContext); ok {
		return true
	}
	_, ok := c.(driver.Queryer) //nolint:staticcheck // drivers still have it
	return ok
}

func executes(c driver.Conn) bool {
	if _, ok := c.(driver.ExecerContext); ok {
		return true
	}
	_, ok := c.(driver.Execer) //nolint:staticcheck // drivers still have it
	return ok
}

func queryOnly(ctx context.Context, c driver.Conn, text string, args []driver.NamedValue) (driver.Rows, error) {
	if q, ok := c.(driver.QueryerContext); ok {
		return q.QueryContext(ctx, text, args)
	}
	q, ok := c.(driver.Queryer) //nolint:staticcheck // drivers still have it
	if !ok {
		return nil, driver.ErrSkip
	}
	values, err := plainly(ctx, args)
	if err != nil {
		return nil, err
	}
	return q.Query(text, values)
}

// query1 prepares the statement where the driver wants that.
func query1(ctx context.Context, c driver.Conn, text string, args []driver.NamedValue) (driver.Rows, error) {
	rows, err := queryOnly(ctx, c, text, args)
	if err != driver.ErrSkip { //nolint:errorlint // as package sql compares it
		return rows, err
	}
	s, err := prepare1(ctx, c, text)
	if err != nil {
		return nil, err
	}
	if rows, err = stmtQuery(ctx, s, args); err != nil {
		_ = s.Close() // the first error tells more
		return nil, err
	}
	return &passing{Rows: rows, ended: func(error) { _ = s.Close() }}, nil
}

func prepare1(ctx context.Context, c driver.Conn, text string) (driver.Stmt, error) {
	if p, ok := c.(driver.ConnPrepareContext); ok {
		return p.PrepareContext(ctx, text)
	}
	s, err := c.Prepare(text)
	if err == nil && ctx.Err() != nil {
		_ = s.Close() // nobody wants it any more
		return nil, ctx.Err()
	}
	return s, err
}

func stmtQuery(ctx context.Context, s driver.Stmt, args []driver.NamedValue) (driver.Rows, error) {
	if q, ok := s.(driver.StmtQueryContext); ok {
		return q.QueryContext(ctx, args)
	}
	values, err := plainly(ctx, args)
	if err != nil {
		return nil, err
	}
	return s.Query(values) //nolint:staticcheck // drivers still have it
}

func stmtExec(ctx context.Context, s driver.Stmt, args []driver.NamedValue) (driver.Result, error) {
	if e, ok := s.(driver.StmtExecContext); ok {
		return e.ExecContext(ctx, args)
	}
	values, err := plainly(ctx, args)
	if err != nil {
		return nil, err
	}
	return s.Exec(values) //nolint:staticcheck // drivers still have it
}

func begin1(ctx context.Context, c driver.Conn, opts driver.TxOptions) (driver.Tx, error) {
	if b, ok := c.(driver.ConnBeginTx); ok {
		return b.BeginTx(ctx, opts)
	}
	if opts.Isolation != 0 {
		return nil, errors.New("sql: driver does not support non-default isolation level")
	}
	if opts.ReadOnly {
		return nil, errors.New("sql: driver does not support read-only transactions")
	}
	tx, err := c.Begin() //nolint:staticcheck // drivers still have it
	if err == nil && ctx.Err() != nil {
		_ = tx.Rollback() // nobody wants it any more
		return nil, ctx.Err()
	}
	return tx, err
}

func plainly(ctx context.Context, args []driver.NamedValue) ([]driver.Value, error) {
	values := make([]driver.Value, len(args))
	for i, a := range args {
		if a.Name != "" {
			return nil, errors.New("sql: driver does not support the use of Named Parameters")
		}
		values[i] = a.Value
	}
	return values, ctx.Err()
}
