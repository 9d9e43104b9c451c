package sqlcache_test

import (
	"context"
	"database/sql/driver"
	"io"
	"strings"
	"sync/atomic"
)

// counting is a database that answers every query with the number of those that
// have reached it.
type counting struct{ queries atomic.Int64 }

func (d *counting) Connect(context.Context) (driver.Conn, error) { return &countingConn{d}, nil }
func (d *counting) Driver() driver.Driver                        { return d }
func (d *counting) Open(string) (driver.Conn, error)             { return &countingConn{d}, nil }

type countingConn struct{ d *counting }

func (c *countingConn) Prepare(string) (driver.Stmt, error) { return nil, driver.ErrSkip }
func (c *countingConn) Close() error                        { return nil }
func (c *countingConn) Begin() (driver.Tx, error)           { return c, nil }
func (c *countingConn) Commit() error                       { return nil }
func (c *countingConn) Rollback() error                     { return nil }

func (c *countingConn) ExecContext(context.Context, string, []driver.NamedValue) (driver.Result, error) {
	return driver.RowsAffected(1), nil
}

func (c *countingConn) QueryContext(_ context.Context, query string, _ []driver.NamedValue) (driver.Rows, error) {
	if !strings.Contains(query, "track") {
		return &countingRows{n: 0}, nil
	}
	return &countingRows{n: c.d.queries.Add(1)}, nil
}

type countingRows struct {
	n    int64
	done bool
}

func (r *countingRows) Columns() []string { return []string{"n"} }
func (r *countingRows) Close() error      { return nil }

func (r *countingRows) Next(to []driver.Value) error {
	if r.done {
		return io.EOF
	}
	to[0], r.done = r.n, true
	return nil
}
