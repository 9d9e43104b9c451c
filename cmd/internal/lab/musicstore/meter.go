package musicstore

import (
	"context"
	"database/sql/driver"
	"sync/atomic"
	"time"

	"github.com/redstart-go/redstart/cmd/internal/measure"
)

// meter stands in front of a database's driver: it counts what the database is asked, and makes it as far away as it is said
// to be.
type meter struct {
	driver.Connector

	latency time.Duration // of a statement, half on the way there, half on the way back
	queries atomic.Int64
	// timeline hears of each query, once there is one.
	timeline atomic.Pointer[measure.Timeline]
}

// Connect opens a connection that is counted.
func (m *meter) Connect(ctx context.Context) (driver.Conn, error) {
	c, err := m.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return &metered{c, m}, nil
}

// metered is such a connection. What the driver has beyond the least is handed on.
type metered struct {
	driver.Conn

	meter *meter
}

func (c *metered) way(ctx context.Context) error {
	if c.meter.latency <= 0 {
		return nil
	}
	t := time.NewTimer(c.meter.latency / 2)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// QueryContext asks and counts.
func (c *metered) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	q, ok := c.Conn.(driver.QueryerContext)
	if !ok {
		return nil, driver.ErrSkip
	}
	c.meter.queries.Add(1)
	if t := c.meter.timeline.Load(); t != nil {
		t.Load()
	}
	if err := c.way(ctx); err != nil {
		return nil, err
	}
	rows, err := q.QueryContext(ctx, query, args)
	if err != nil {
		return nil, err
	}
	if err := c.way(ctx); err != nil {
		rows.Close()
		return nil, err
	}
	return rows, nil
}

// ExecContext writes, and takes as long.
func (c *metered) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	e, ok := c.Conn.(driver.ExecerContext)
	if !ok {
		return nil, driver.ErrSkip
	}
	if err := c.way(ctx); err != nil {
		return nil, err
	}
	r, err := e.ExecContext(ctx, query, args)
	if err != nil {
		return nil, err
	}
	return r, c.way(context.WithoutCancel(ctx)) // it is done
}

// PrepareContext is not counted: the lab prepares nothing.
func (c *metered) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	if p, ok := c.Conn.(driver.ConnPrepareContext); ok {
		return p.PrepareContext(ctx, query)
	}
	return c.Prepare(query)
}

// BeginTx begins a transaction.
func (c *metered) BeginTx(ctx context.Context, o driver.TxOptions) (driver.Tx, error) {
	if b, ok := c.Conn.(driver.ConnBeginTx); ok {
		return b.BeginTx(ctx, o)
	}
	return c.Begin()
}

// Ping asks whether it is there.
func (c *metered) Ping(ctx context.Context) error {
	if p, ok := c.Conn.(driver.Pinger); ok {
		return p.Ping(ctx)
	}
	return nil
}

// ResetSession makes it ready for another caller.
func (c *metered) ResetSession(ctx context.Context) error {
	if r, ok := c.Conn.(driver.SessionResetter); ok {
		return r.ResetSession(ctx)
	}
	return nil
}

// IsValid is whether it can be used again.
func (c *metered) IsValid() bool {
	if v, ok := c.Conn.(driver.Validator); ok {
		return v.IsValid()
	}
	return true
}

// CheckNamedValue lets the driver convert arguments.
func (c *metered) CheckNamedValue(v *driver.NamedValue) error {
	if n, ok := c.Conn.(driver.NamedValueChecker); ok {
		return n.CheckNamedValue(v)
	}
	return driver.ErrSkip
}
