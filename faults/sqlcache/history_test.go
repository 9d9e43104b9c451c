package sqlcache

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/faults/harness"
	"github.com/redstart-go/redstart/redstarttest"
	"github.com/redstart-go/redstart/sqlcache"
)

const rowsOfHistory = 6

// store is a table of versions and their writers, read through a cache: ours, or
// the recipe's.
type store struct {
	table string
	db    *sql.DB
	ours  *sqlcache.Cache  // nil: the recipe's
	redis *redstart.Client // of the recipe
}

func newStore(c *redstart.Client, driverName, dsn, table string, naive bool, m meddler) (*store, error) {
	d, err := sql.Open(driverName, dsn) // it opens nothing yet
	if err != nil {
		return nil, err
	}
	defer d.Close()
	m.driver, m.dsn = d.Driver(), dsn
	if naive {
		return &store{table: table, db: sql.OpenDB(m), redis: c}, nil
	}
	ours, err := sqlcache.New(c, sqlcache.Config{Database: table, Lease: 500 * time.Millisecond})
	if err != nil {
		return nil, err
	}
	db, err := ours.OpenDB(m)
	return &store{table: table, db: db, ours: ours}, err
}

type version struct {
	n   int
	who string
}

// read is a cached read.
func (x *store) read(ctx context.Context, q queryer, row int) (v version, err error) {
	if x.ours != nil {
		return x.ask(sqlcache.With(ctx, time.Minute), q, row)
	}
	key := fmt.Sprint(x.table, ":", row)
	if text, err := x.redis.Do(ctx, x.redis.B().Get().Key(key).Build()).ToString(); err == nil {
		n, who, _ := strings.Cut(text, " ")
		v.n, err = strconv.Atoi(n)
		v.who = who
		return v, err
	}
	if v, err = x.ask(ctx, q, row); err != nil {
		return v, err
	}
	return v, x.redis.Do(ctx, x.redis.B().Set().Key(key).Value(fmt.Sprint(v.n, " ", v.who)).ExSeconds(60).Build()).Error()
}

func (x *store) ask(ctx context.Context, q queryer, row int) (v version, err error) {
	rows, err := q.QueryContext(ctx, "select n, who from "+x.table+" where id = $1", row)
	if err != nil {
		return v, err
	}
	defer rows.Close()
	if !rows.Next() {
		return v, errors.Join(rows.Err(), sql.ErrNoRows)
	}
	return v, errors.Join(rows.Scan(&v.n, &v.who), rows.Err(), rows.Close())
}

var errRolledBack = errors.New("rolled back")

// write is a transaction that sets rows to versions, and looks at its own writes.
func (x *store) write(ctx context.Context, opts *sql.TxOptions, who string, rows map[int]int, commit bool) error {
	tx, err := x.db.BeginTx(ctx, opts)
	if err != nil {
		return err
	}
	defer tx.Rollback() // done, or given up
	for row := range rowsOfHistory {
		n, ok := rows[row]
		if !ok {
			continue
		}
		if _, err := tx.ExecContext(ctx, "update "+x.table+" set n = $1, who = $2 where id = $3 and n < $1", n, who, row); err != nil {
			return err
		}
		if x.ours == nil {
			continue
		}
		if v, err := x.read(ctx, tx, row); err != nil {
			return err
		} else if v.n < n {
			return fmt.Errorf("%w: wrote %d, read %d of %s", errOwn, n, v.n, v.who)
		}
	}
	if !commit {
		return errors.Join(errRolledBack, tx.Rollback())
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	if x.ours == nil {
		for row := range rows {
			if err := x.redis.Do(ctx, x.redis.B().Del().Key(fmt.Sprint(x.table, ":", row)).Build()).Error(); err != nil {
				return err
			}
		}
	}
	return nil
}

var errOwn = errors.New("a transaction does not see its own write")

// chronicle is what has surely happened.
type chronicle struct {
	floors [rowsOfHistory]atomic.Int64 // the highest version whose commit had returned
	next   atomic.Int64
	dead   sync.Map // writers that were rolled back
	seen   sync.Map // writers of versions that were read

	reads, commits, rollbacks, failed, stale atomic.Int64
}

func (h *chronicle) committed(rows map[int]int) {
	h.commits.Add(1)
	for row, n := range rows {
		for {
			old := h.floors[row].Load()
			if int64(n) <= old || h.floors[row].CompareAndSwap(old, int64(n)) {
				break
			}
		}
	}
}

// look reads a row and holds it against what was committed before.
func (h *chronicle) look(ctx context.Context, x *store, q queryer, row int) (version, error) {
	floor := h.floors[row].Load()
	v, err := x.read(ctx, q, row)
	if err != nil {
		return v, err
	}
	h.reads.Add(1)
	h.seen.Store(v.who, true)
	if int64(v.n) < floor {
		h.stale.Add(1)
	}
	return v, nil
}

// uncommitted counts the writers that were seen and had been rolled back.
func (h *chronicle) uncommitted() (n int) {
	h.seen.Range(func(who, _ any) bool {
		if _, ok := h.dead.Load(who); ok {
			n++
		}
		return true
	})
	return n
}

var isolations = []*sql.TxOptions{nil, {Isolation: sql.LevelReadCommitted}, {Isolation: sql.LevelRepeatableRead}}

// live lets readers and writers at it.
func (h *chronicle) live(t *testing.T, e engine, stores []*store, seed uint64, within time.Duration) {
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	var all sync.WaitGroup
	opts := func(r *rand.Rand) *sql.TxOptions {
		if e.driver == "sqlite" {
			return nil
		}
		return isolations[r.IntN(len(isolations))]
	}
	for i := range 3 {
		x, r := stores[i%len(stores)], harness.Rand(seed, "writer", i)
		all.Go(func() {
			for ctx.Err() == nil {
				rows := map[int]int{}
				for range 1 + r.IntN(2) {
					rows[r.IntN(rowsOfHistory)] = int(h.next.Add(1))
				}
				who := fmt.Sprintf("w%d", h.next.Add(1))
				commit := r.IntN(4) > 0
				err := x.write(context.WithoutCancel(ctx), opts(r), who, rows, commit)
				switch {
				case err == nil:
					h.committed(rows)
				case errors.Is(err, errOwn):
					t.Error(err)
					return
				case errors.Is(err, errRolledBack):
					h.rollbacks.Add(1)
					h.dead.Store(who, true)
				default: // could not be serialized; a commit is not among what fails so
					h.failed.Add(1)
				}
				time.Sleep(rand.N(4 * time.Millisecond))
			}
		})
	}
	for i := range 6 {
		x, r := stores[i%len(stores)], harness.Rand(seed, "reader", i)
		all.Go(func() {
			for ctx.Err() == nil {
				row := r.IntN(rowsOfHistory)
				if r.IntN(4) > 0 || e.driver == "sqlite" {
					if _, err := h.look(context.WithoutCancel(ctx), x, x.db, row); err != nil {
						t.Error(err)
						return
					}
					continue
				}
				if err := h.within(context.WithoutCancel(ctx), x, opts(r), row); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
}

// within reads in a transaction that writes nothing.
func (h *chronicle) within(ctx context.Context, x *store, opts *sql.TxOptions, row int) error {
	tx, err := x.db.BeginTx(ctx, opts)
	if err != nil {
		return err
	}
	defer tx.Rollback() // it has only read
	first, err := h.look(ctx, x, tx, row)
	if err != nil {
		return err
	}
	if opts == nil || opts.Isolation != sql.LevelRepeatableRead || x.ours == nil {
		_, err = h.look(ctx, x, tx, row)
		return err
	}
	time.Sleep(time.Millisecond)
	again, err := x.read(ctx, tx, row)
	if err == nil && again != first {
		err = fmt.Errorf("a repeatable read gave %v, then %v", first, again)
	}
	return err
}

// begin makes the table and so many stores, as of as many processes.
func begin(t *testing.T, c *redstart.Client, driverName, dsn string, naive bool, many int) (string, []*store) {
	t.Helper()
	db, err := sql.Open(driverName, dsn)
	must(t, err)
	defer db.Close()
	table := fresh("history")
	exec(t, db, "create table "+table+" (id integer primary key, n integer not null, who text not null)")
	for row := range rowsOfHistory {
		exec(t, db, "insert into "+table+" values ($1, 0, 'nobody')", row)
	}
	stores := make([]*store, many)
	for i := range stores {
		x, err := newStore(c, driverName, dsn, table, naive, meddler{query: 10 * time.Millisecond, commit: 3 * time.Millisecond})
		must(t, err)
		t.Cleanup(func() { x.db.Close() })
		stores[i] = x
	}
	return table, stores
}

// Transactions of two wrappings write, commit and roll back at read committed and
// repeatable read, queries and commits are held back, and writers are killed
// between the commit and what follows it. No read may give a version older than
// the highest whose commit had returned before it began, nor one that was rolled
// back, and every transaction sees its own writes.
func TestTransactions(t *testing.T) {
	redis(t) // skips where there is no server
	seed := harness.Seed(t)
	naiveStale := int64(0)
	for _, naive := range []bool{false, true} {
		name := "sqlcache"
		if naive {
			name = "GET, SETEX, DEL"
		}
		t.Run(name, func(t *testing.T) {
			for _, e := range []engine{{name: "postgres", driver: "pgx"}, {name: "sqlite", driver: "sqlite", args: "&_txlock=immediate"}} {
				t.Run(e.name, func(t *testing.T) {
					url := redstarttest.Run(t, redstarttest.ServerConfig{}).URL()
					dsn := e.source(t)
					table, stores := begin(t, client(t, url), e.driver, dsn, naive, 2)
					var h chronicle
					h.live(t, e, stores, seed, time.Second)
					h.judge(t, naive)
					naiveStale += h.stale.Load()
					h.deaths(t, stores, order{Driver: e.driver, DSN: dsn, Redis: url, Table: table, Naive: naive})
				})
			}
		})
	}
	if naiveStale == 0 {
		t.Error("the checker finds no stale read by the recipe")
	}
}

// judge says what was wrong.
func (h *chronicle) judge(t *testing.T, naive bool) {
	t.Helper()
	t.Logf("%d reads, %d stale, %d commits, %d rollbacks, %d not serialized", h.reads.Load(), h.stale.Load(), h.commits.Load(), h.rollbacks.Load(), h.failed.Load())
	if n := h.stale.Load(); n > 0 && !naive {
		t.Errorf("%d stale reads of %d", n, h.reads.Load())
	}
	if n := h.uncommitted(); n > 0 {
		t.Errorf("%d writers were read that were rolled back", n)
	}
	if h.reads.Load() < 50 || h.commits.Load() < 10 || h.rollbacks.Load() == 0 {
		t.Error("too few to prove anything")
	}
}

// deaths lets writers die between the commit and what follows it.
func (h *chronicle) deaths(t *testing.T, stores []*store, o order) {
	t.Helper()
	before := h.stale.Load()
	for range 2 {
		for range 3 { // cached
			if _, err := h.look(t.Context(), stores[0], stores[0].db, o.Row); err != nil {
				t.Fatal(err)
			}
		}
		o.Value = int(h.next.Add(1))
		o.Who = fmt.Sprint("k", o.Value)
		o.dies(t)
		h.committed(map[int]int{o.Row: o.Value})
		// While it is held, and after the hold has run out.
		for start := time.Now(); time.Since(start) < 800*time.Millisecond; {
			if _, err := h.look(t.Context(), stores[1], stores[1].db, o.Row); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Millisecond)
		}
	}
	switch died := h.stale.Load() - before; {
	case o.Naive && died == 0:
		t.Error("the checker finds nothing stale after the recipe's death")
	case !o.Naive && died > 0:
		t.Errorf("%d stale reads after a death between commit and release", died)
	}
}
