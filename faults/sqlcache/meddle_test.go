package sqlcache

import (
	"context"
	"database/sql/driver"
	"math/rand/v2"
	"syscall"
	"time"
)

// meddler stands between the wrapper and a driver: it holds queries back after
// they were run, and what comes before and after a commit, or dies there.
type meddler struct {
	driver        driver.Driver
	dsn           string
	query, commit time.Duration // at most
	die           bool
}

func (m meddler) Driver() driver.Driver { return m.driver }

func (m meddler) Connect(context.Context) (driver.Conn, error) {
	c, err := m.driver.Open(m.dsn)
	if err != nil {
		return nil, err
	}
	return &meddled{c, m}, nil
}

func pause(most time.Duration) {
	if most > 0 && rand.IntN(2) == 0 {
		time.Sleep(rand.N(most))
	}
}

type meddled struct {
	driver.Conn
	m meddler
}

func (c *meddled) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	rows, err := c.Conn.(driver.QueryerContext).QueryContext(ctx, query, args)
	pause(c.m.query)
	return rows, err
}

func (c *meddled) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	return c.Conn.(driver.ExecerContext).ExecContext(ctx, query, args)
}

func (c *meddled) CheckNamedValue(v *driver.NamedValue) error {
	if n, ok := c.Conn.(driver.NamedValueChecker); ok {
		return n.CheckNamedValue(v)
	}
	return driver.ErrSkip
}

func (c *meddled) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	t, err := c.Conn.(driver.ConnBeginTx).BeginTx(ctx, opts)
	if err != nil {
		return nil, err
	}
	return meddledTx{t, c.m}, nil
}

type meddledTx struct {
	driver.Tx
	m meddler
}

func (t meddledTx) Commit() error {
	pause(t.m.commit)
	err := t.Tx.Commit()
	if t.m.die {
		_ = syscall.Kill(syscall.Getpid(), syscall.SIGKILL)
		select {}
	}
	pause(t.m.commit)
	return err
}
