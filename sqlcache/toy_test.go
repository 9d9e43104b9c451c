package sqlcache_test

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"
	"strings"
	"sync"
	"sync/atomic"
)

// toy is a driver of a database of one table, for tests in a module that has no
// real one: titles of tracks by their ids.
type toy struct {
	mu      sync.Mutex
	titles  map[int64]string
	queries atomic.Int64
	heard   atomic.Pointer[string] // the last statement
	bad     atomic.Int64           // so many statements find their connection lost
}

func newToy() *toy { return &toy{titles: map[int64]string{1: "So What", 2: "Naima"}} }

func (d *toy) Connect(context.Context) (driver.Conn, error) { return &toyConn{d: d}, nil }
func (d *toy) Driver() driver.Driver                        { return d }
func (d *toy) Open(string) (driver.Conn, error)             { return &toyConn{d: d}, nil }

type toyConn struct {
	d      *toy
	resets int
}

func (c *toyConn) Prepare(text string) (driver.Stmt, error) { return &toyStmt{c, text}, nil }
func (c *toyConn) Close() error                             { return nil }
func (c *toyConn) Begin() (driver.Tx, error)                { return c, nil }
func (c *toyConn) Commit() error                            { return nil }
func (c *toyConn) Rollback() error                          { return nil }
func (c *toyConn) ResetSession(context.Context) error       { c.resets++; return nil }

func (c *toyConn) hear(text string) error {
	c.d.heard.Store(&text)
	if c.d.bad.Add(-1) >= 0 {
		return driver.ErrBadConn
	}
	return nil
}

func (c *toyConn) QueryContext(_ context.Context, text string, args []driver.NamedValue) (driver.Rows, error) {
	if err := c.hear(text); err != nil {
		return nil, err
	}
	c.d.queries.Add(1)
	if strings.Contains(text, "missing") {
		return nil, errors.New("no such table")
	}
	rows := &toyRows{}
	if len(args) == 0 {
		return rows, nil
	}
	c.d.mu.Lock()
	defer c.d.mu.Unlock()
	if id, ok := args[0].Value.(int64); ok && c.d.titles[id] != "" {
		rows.titles = []string{c.d.titles[id]}
	}
	return rows, nil
}

func (c *toyConn) ExecContext(_ context.Context, text string, args []driver.NamedValue) (driver.Result, error) {
	if err := c.hear(text); err != nil {
		return nil, err
	}
	if len(args) == 2 {
		c.d.mu.Lock()
		defer c.d.mu.Unlock()
		c.d.titles[args[1].Value.(int64)] = args[0].Value.(string) //nolint:forcetypeassert // a toy
	}
	return driver.RowsAffected(1), nil
}

type toyStmt struct {
	c    *toyConn
	text string
}

func (s *toyStmt) Close() error  { return nil }
func (s *toyStmt) NumInput() int { return -1 }
func (s *toyStmt) Exec(args []driver.Value) (driver.Result, error) {
	return s.c.ExecContext(context.Background(), s.text, ordinals(args))
}

func (s *toyStmt) Query(args []driver.Value) (driver.Rows, error) {
	return s.c.QueryContext(context.Background(), s.text, ordinals(args))
}

func ordinals(args []driver.Value) []driver.NamedValue {
	out := make([]driver.NamedValue, len(args))
	for i, a := range args {
		out[i] = driver.NamedValue{Ordinal: i + 1, Value: a}
	}
	return out
}

type toyRows struct{ titles []string }

func (r *toyRows) Columns() []string { return []string{"title"} }
func (r *toyRows) Close() error      { return nil }
func (r *toyRows) Next(dest []driver.Value) error {
	if len(r.titles) == 0 {
		return io.EOF
	}
	dest[0], r.titles = r.titles[0], r.titles[1:]
	return nil
}
