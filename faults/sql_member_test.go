package faults

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/redis/rueidis"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/cache"
	"github.com/redstart-go/redstart/faults/harness"
	"github.com/redstart-go/redstart/faults/history"
	"github.com/redstart-go/redstart/faults/naive"
	"github.com/redstart-go/redstart/sqlcache"
)

const sqlCaches = "cache for an ORM" // the naive recipe

// sqlArg sets up a process whose transactions read and write rows through a
// cache.
type sqlArg struct {
	Recipe, URL, DSN, Table string
	Clock, History          string // a file, a folder
	Process                 int
	Seed                    uint64
	Workers, Keys           int
	Lease                   time.Duration
	Dies                    float64 // how often a process dies between its commit and the invalidation
	Delay                   time.Duration
}

// sqlProcess is one at work.
type sqlProcess struct {
	arg    sqlArg
	clock  *harness.Clock
	log    *history.Log
	client *redstart.Client
	raw    rueidis.Client
	cache  *sqlcache.Cache
	db     *sql.DB
	naive  *naive.SQL
	names  atomic.Uint32
	done   atomic.Int64
}

// sqlRole is the role.
func sqlRole(raw json.RawMessage) (map[string]harness.Verb, func(), error) {
	p := &sqlProcess{}
	if err := json.Unmarshal(raw, &p.arg); err != nil {
		return nil, nil, err
	}
	if err := p.open(); err != nil {
		return nil, nil, err
	}
	return map[string]harness.Verb{
		"run":   harness.On(p.run),
		"stats": harness.On(func(context.Context, int) (sqlcache.Stats, error) { return p.stats(), nil }),
	}, p.close, nil
}

func (p *sqlProcess) stats() sqlcache.Stats {
	if p.cache == nil {
		return sqlcache.Stats{Cache: cache.Stats{}}
	}
	return p.cache.Stats()
}

func (p *sqlProcess) open() (err error) {
	if p.clock, err = harness.NewClock(p.arg.Clock); err != nil {
		return err
	}
	if p.log, err = history.Create(p.arg.History, fmt.Sprint("sql-", p.arg.Process)); err != nil {
		return err
	}
	p.names.Store(uint32(p.arg.Process) << 20) //nolint:gosec // few processes
	cfg, err := pgx.ParseConfig(p.arg.DSN)
	if err != nil {
		return err
	}
	slow := &slowConnector{stdlib.GetConnector(*cfg), p}
	if p.arg.Recipe == sqlCaches {
		if p.raw, err = plain(p.arg.URL); err != nil {
			return err
		}
		p.naive, p.db = &naive.SQL{Client: p.raw, TTL: time.Hour}, sql.OpenDB(slow)
		return nil
	}
	if p.client, err = redstart.Open(context.Background(), p.arg.URL, redstart.Config{}); err != nil {
		return err
	}
	if p.cache, err = sqlcache.New(p.client, sqlcache.Config{Database: "faults", TTL: time.Hour, Lease: p.arg.Lease}); err != nil {
		return err
	}
	p.db, err = p.cache.OpenDB(slow)
	return err
}

func (p *sqlProcess) close() {
	_ = p.db.Close()
	if p.client != nil {
		p.client.Close()
	}
	if p.raw != nil {
		p.raw.Close()
	}
	_ = p.log.Close()
	_ = p.clock.Close()
}

// slowConnector makes the database slow now and then, and the process die
// between a commit and what follows it.
type slowConnector struct {
	driver.Connector
	p *sqlProcess
}

func (s *slowConnector) Connect(ctx context.Context) (driver.Conn, error) {
	c, err := s.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return &slowConn{c.(*stdlib.Conn), s.p}, nil
}

type slowConn struct {
	*stdlib.Conn
	p *sqlProcess
}

func (p *sqlProcess) pause() {
	if p.arg.Delay > 0 && rand.IntN(4) == 0 {
		time.Sleep(time.Duration(rand.Int64N(int64(p.arg.Delay))))
	}
}

func (c *slowConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	c.p.pause()
	rows, err := c.Conn.QueryContext(ctx, query, args)
	c.p.pause()
	return rows, err
}

func (c *slowConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	r, err := c.Conn.ExecContext(ctx, query, args)
	c.p.pause()
	c.p.die()
	return r, err
}

func (c *slowConn) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	tx, err := c.Conn.BeginTx(ctx, opts)
	if err != nil {
		return nil, err
	}
	return slowTx{tx, c.p}, nil
}

type slowTx struct {
	driver.Tx
	p *sqlProcess
}

func (t slowTx) Commit() error {
	t.p.pause()
	err := t.Tx.Commit()
	time.Sleep(t.p.arg.Delay)
	t.p.die()
	return err
}

// die ends the process as SIGKILL from outside would.
func (p *sqlProcess) die() {
	if p.arg.Dies > 0 && rand.Float64() < p.arg.Dies {
		_ = syscall.Kill(syscall.Getpid(), syscall.SIGKILL)
		select {}
	}
}

// run works until ctx ends or so many operations are done, and gives how many.
func (p *sqlProcess) run(ctx context.Context, operations int) (int64, error) {
	var all sync.WaitGroup
	var failed atomic.Pointer[error]
	for w := range p.arg.Workers {
		all.Go(func() {
			r := rand.New(rand.NewPCG(p.arg.Seed, uint64(p.arg.Process*100+w))) //nolint:gosec // a seed
			for ctx.Err() == nil && p.done.Add(1) <= int64(operations) {
				if err := p.operate(ctx, r, w); err != nil && ctx.Err() == nil {
					failed.CompareAndSwap(nil, &err)
					return
				}
			}
		})
	}
	all.Wait()
	if err := failed.Load(); err != nil {
		return p.done.Load(), *err
	}
	return p.done.Load(), nil
}

func (p *sqlProcess) operate(ctx context.Context, r *rand.Rand, w int) error {
	id := r.IntN(p.arg.Keys)
	e := history.Event{Process: uint16(p.arg.Process), Caller: uint16(w), Key: uint32(id)} //nolint:gosec // small
	switch n := r.IntN(40); {
	case n < 24:
		return p.read(ctx, p.db, e, 0)
	case n < 34:
		return p.direct(ctx, e)
	case n < 36:
		return p.alone(ctx, e)
	}
	level := sql.LevelReadCommitted
	if r.IntN(2) == 0 {
		level = sql.LevelRepeatableRead
	}
	return p.transact(ctx, r, e, level)
}

// text asks for a row.
func (p *sqlProcess) text(ctx context.Context, db naive.Queryer, id uint32) (v uint64, err error) {
	query := "SELECT v::text || ' ' || w::text FROM " + p.arg.Table + " WHERE id = $1"
	var text string
	if p.naive != nil {
		text, err = p.naive.Text(ctx, db, fmt.Sprint("row:", id), query, int64(id))
	} else {
		err = db.QueryRowContext(ctx, "/* cache ttl=1h */ "+query, int64(id)).Scan(&text)
	}
	if err != nil {
		return 0, err
	}
	var count uint64
	var name uint32
	_, err = fmt.Sscan(text, &count, &name)
	return history.SQLVersion(count, name), err
}

// direct reads a row past the cache: nobody who asks later may get an older one.
func (p *sqlProcess) direct(ctx context.Context, e history.Event) error {
	e.Kind, e.Begin = history.SQLRead, p.clock.Tick()
	var count uint64
	var name uint32
	err := p.db.QueryRowContext(ctx, "SELECT v, w FROM "+p.arg.Table+" WHERE id = $1", int64(e.Key)).Scan(&count, &name)
	if err != nil {
		return err
	}
	e.Version, e.End = history.SQLVersion(count, name), p.clock.Tick()
	return p.log.Add(e)
}

// read reads a row, at or after begun.
func (p *sqlProcess) read(ctx context.Context, db naive.Queryer, e history.Event, begun uint64) (err error) {
	e.Kind, e.Begin = history.SQLRead, begun
	if begun == 0 {
		e.Begin = p.clock.Tick()
	}
	if e.Version, err = p.text(ctx, db, e.Key); err != nil {
		return err
	}
	e.End = p.clock.Tick()
	return p.log.Add(e)
}

func (p *sqlProcess) note(e history.Event, k history.Kind) error {
	e.Kind = k
	if e.Begin = p.clock.Tick(); k == history.SQLCommitted {
		e.End = e.Begin
	}
	return p.log.Add(e)
}

// name names a change.
func (p *sqlProcess) name() uint32 { return p.names.Add(1) }

// alone writes without a transaction. Its version is known once it has committed.
func (p *sqlProcess) alone(ctx context.Context, e history.Event) error {
	if p.naive != nil {
		return p.read(ctx, p.db, e, 0)
	}
	// The version that it will have is not known before: any that it may have is
	// noted as about to commit, by its name.
	name := p.name()
	var was uint64
	if err := p.db.QueryRowContext(ctx, "SELECT v FROM "+p.arg.Table+" WHERE id = $1", int64(e.Key)).Scan(&was); err != nil {
		return err
	}
	e.Version = history.SQLVersion(was+1, name)
	if err := p.note(e, history.SQLCommitting); err != nil {
		return err
	}
	r, err := p.db.ExecContext(ctx, "UPDATE "+p.arg.Table+" SET v = v + 1, w = $1 WHERE id = $2 AND v = $3", int64(name), int64(e.Key), int64(was)) //nolint:gosec // small
	if err != nil {
		return err
	}
	if n, err := r.RowsAffected(); err != nil || n == 0 {
		return err
	}
	return p.note(e, history.SQLCommitted)
}

// transact reads, writes, reads again and commits or rolls back.
func (p *sqlProcess) transact(ctx context.Context, r *rand.Rand, e history.Event, level sql.IsolationLevel) error {
	begun := p.clock.Tick()
	tx, err := p.db.BeginTx(ctx, &sql.TxOptions{Isolation: level})
	if err != nil {
		return err
	}
	defer tx.Rollback() // done already, or nothing is to be kept
	snapshot := uint64(0)
	if level == sql.LevelRepeatableRead {
		snapshot = begun
	}
	var first uint64
	for i := range r.IntN(3) {
		if err := p.read(ctx, tx, e, snapshot); err != nil {
			return err
		}
		v, err := p.text(ctx, tx, e.Key)
		if err != nil {
			return err
		}
		if i == 0 {
			first = v
		}
		if snapshot > 0 && v != first {
			e.Version = v
			return p.note(e, history.SQLUnrepeated)
		}
	}
	name := p.name()
	var count uint64
	err = tx.QueryRowContext(ctx, "UPDATE "+p.arg.Table+" SET v = v + 1, w = $1 WHERE id = $2 RETURNING v", int64(name), int64(e.Key)).Scan(&count)
	if err != nil {
		return tx.Rollback() // another was first
	}
	e.Version = history.SQLVersion(count, name)
	if err := p.note(e, history.SQLWrote); err != nil {
		return err
	}
	p.pause()
	v, err := p.text(ctx, tx, e.Key)
	if err != nil {
		return err
	}
	if v != e.Version {
		if err := p.note(e, history.SQLOwn); err != nil {
			return err
		}
	}
	if r.IntN(3) == 0 {
		if err := p.note(e, history.SQLRolledBack); err != nil {
			return err
		}
		return tx.Rollback()
	}
	if err := p.note(e, history.SQLCommitting); err != nil {
		return err
	}
	if p.naive != nil {
		err = p.naive.Commit(ctx, tx, fmt.Sprint("row:", e.Key))
	} else {
		err = tx.Commit()
	}
	if err != nil {
		return err
	}
	return p.note(e, history.SQLCommitted)
}
