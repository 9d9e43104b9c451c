package sqlcache

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/stdlib"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/cache"
	"github.com/redstart-go/redstart/redstarttest"
	"github.com/redstart-go/redstart/sqlcache"
)

// desk is a table with one row, behind a cache and without.
type desk struct {
	engine
	t             *testing.T
	cached, plain *sql.DB
	cache         *sqlcache.Cache
	table, other  string
}

func newDesk(t *testing.T, e engine, c *redstart.Client, change ...func(*sqlcache.Config)) *desk {
	t.Helper()
	d := &desk{engine: e, t: t, table: fresh("t"), other: fresh("o")}
	d.cached, d.plain, d.cache = e.open(t, c, change...)
	for _, table := range []string{d.table, d.other} {
		exec(t, d.plain, "CREATE TABLE "+table+" (id bigint PRIMARY KEY, v bigint)")
		exec(t, d.plain, "INSERT INTO "+table+" VALUES (1, 0)")
	}
	return d
}

func (d *desk) query() string { return "/* cache ttl=1h */ SELECT v FROM " + d.table + " WHERE id = 1" }

// behind changes the row where the cache does not see it.
func (d *desk) behind(v int64) {
	d.t.Helper()
	exec(d.t, d.plain, fmt.Sprintf("UPDATE %s SET v = %d WHERE id = 1", d.table, v))
}

// reads checks what a cached query gives.
func (d *desk) reads(what string, want int64) {
	d.t.Helper()
	d.readsIn(what, d.cached, want)
}

func (d *desk) readsIn(what string, db queryer, want int64) {
	d.t.Helper()
	if got := one[int64](d.t, db, d.query()); got != want {
		d.t.Errorf("%s: %d, want %d", what, got, want)
	}
}

// primed has the row cached at a value that the database no longer has.
func (d *desk) primed() {
	d.t.Helper()
	must(d.t, d.cache.Clear(d.t.Context()))
	d.behind(1)
	d.reads("loaded", 1)
	d.behind(2)
	d.reads("cached", 1)
}

// Every write ends what it changed, and nothing else.
func TestWritesInvalidate(t *testing.T) {
	onEngines(t, func(t *testing.T, e engine) {
		d := newDesk(t, e, redis(t))
		update := "UPDATE " + d.table + " SET v = v + 0 WHERE id = 1"
		for what, write := range map[string]func(){
			"exec":             func() { exec(t, d.cached, update) },
			"with an argument": func() { exec(t, d.cached, "UPDATE "+d.table+" SET v = v + "+e.one+" WHERE id = 1", 0) },
			"prepared": func() {
				s, err := d.cached.PrepareContext(t.Context(), update)
				must(t, err)
				defer s.Close()
				_, err = s.ExecContext(t.Context())
				must(t, err)
			},
			"transaction": func() {
				tx, err := d.cached.BeginTx(t.Context(), nil)
				must(t, err)
				exec(t, tx, update)
				must(t, tx.Commit())
			},
			"prepared in a transaction": func() {
				tx, err := d.cached.BeginTx(t.Context(), nil)
				must(t, err)
				s, err := tx.PrepareContext(t.Context(), update)
				must(t, err)
				_, err = s.ExecContext(t.Context())
				must(t, err)
				must(t, tx.Commit())
			},
			"transaction by text": func() {
				c, err := d.cached.Conn(t.Context())
				must(t, err)
				defer c.Close()
				exec(t, c, "BEGIN")
				exec(t, c, update)
				exec(t, c, "COMMIT")
			},
			"comment on another": func() {
				exec(t, d.cached, "UPDATE "+d.other+" SET v = 1 /* cache invalidates="+strings.ToUpper(d.table)+" */")
			},
			"context on another": func() {
				_, err := d.cached.ExecContext(sqlcache.Invalidating(t.Context(), d.table), "UPDATE "+d.other+" SET v = 1")
				must(t, err)
			},
			"DDL":        func() { exec(t, d.cached, "CREATE TABLE "+fresh("x")+" (a int)") },
			"Invalidate": func() { must(t, d.cache.Invalidate(t.Context(), d.table)) },
			"Clear":      func() { must(t, d.cache.Clear(t.Context())) },
		} {
			d.primed()
			write()
			d.reads(what, 2)
		}
		if e.driver != "mysql" {
			d.primed()
			if v := one[int64](t, d.cached, "UPDATE "+d.table+" SET v = v + 0 WHERE id = 1 RETURNING v"); v != 2 {
				t.Errorf("RETURNING %d", v)
			}
			d.reads("returning", 2)
		}
		d.primed()
		exec(t, d.cached, "UPDATE "+d.other+" SET v = 1")
		d.reads("another table was written", 1)
		if v := one[int64](t, d.cached, "SELECT v FROM "+d.table); v != 2 {
			t.Errorf("not asked for, and cached: %d", v)
		}
		if v := oneIn[int64](sqlcache.With(t.Context(), time.Hour, "mine"), t, d.cached, "SELECT v FROM "+d.table); v != 2 {
			t.Errorf("with a tag: %d", v)
		}
		d.behind(3)
		exec(t, d.cached, "UPDATE "+d.table+" SET v = v + 0")
		if v := oneIn[int64](sqlcache.With(t.Context(), time.Hour, "mine"), t, d.cached, "SELECT v FROM "+d.table); v != 2 {
			t.Errorf("with a tag of its own the table ends it: %d", v)
		}
		exec(t, d.cached, "UPDATE "+d.other+" SET v = 1 /* cache invalidates=mine */")
		if v := oneIn[int64](sqlcache.With(t.Context(), time.Hour, "mine"), t, d.cached, "SELECT v FROM "+d.table); v != 3 {
			t.Errorf("its tag does not end it: %d", v)
		}
	})
}

// A transaction sees its own writes, others see them once it has committed, and
// a rollback leaves the cache as it was.
func TestInsideTransactions(t *testing.T) {
	onEngines(t, func(t *testing.T, e engine) {
		if e.driver == "sqlite" {
			t.Skip("one writer blocks the other here; see TestWritesInvalidate")
		}
		d := newDesk(t, e, redis(t))
		begin := func(level sql.IsolationLevel) *sql.Tx {
			t.Helper()
			tx, err := d.cached.BeginTx(t.Context(), &sql.TxOptions{Isolation: level})
			must(t, err)
			return tx
		}
		d.primed()
		tx := begin(sql.LevelReadCommitted)
		d.readsIn("before its first write, at read committed", tx, 1)
		exec(t, tx, "UPDATE "+d.table+" SET v = 10 WHERE id = 1")
		d.readsIn("its own write", tx, 10)
		d.reads("others, meanwhile", 1)
		must(t, tx.Rollback())
		kept := int64(1)
		if e.driver == "mysql" { // not all that it has can be rolled back
			kept = 2
		}
		d.reads("after the rollback", kept)
		d.primed()

		tx = begin(sql.LevelReadCommitted)
		exec(t, tx, "UPDATE "+d.other+" SET v = 10 WHERE id = 1")
		d.readsIn("after any write", tx, 2)
		must(t, tx.Rollback())
		d.reads("after that", 1)
		d.primed()

		for _, level := range []sql.IsolationLevel{sql.LevelRepeatableRead, sql.LevelSerializable} {
			tx = begin(level)
			d.readsIn("in a snapshot", tx, 2)
			must(t, tx.Commit())
			d.reads("a snapshot is not cached", 1)
		}
		if e.driver == "pgx" {
			tx = begin(sql.LevelDefault)
			d.readsIn("the default, which is read committed", tx, 1)
			must(t, tx.Commit())
			c, err := d.cached.Conn(t.Context())
			must(t, err)
			exec(t, c, "BEGIN ISOLATION LEVEL REPEATABLE READ")
			d.readsIn("in a snapshot by text", c, 2)
			exec(t, c, "ROLLBACK")
			exec(t, c, "BEGIN")
			d.readsIn("read committed by text", c, 1)
			exec(t, c, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
			d.readsIn("a level that was set", c, 2)
			exec(t, c, "COMMIT")
			exec(t, c, "BEGIN")
			exec(t, c, "UPDATE "+d.table+" SET v = 11")
			d.readsIn("its own write, by text", c, 11)
			exec(t, c, "ROLLBACK")
			d.readsIn("after a rollback by text", c, 1)
			must(t, c.Close())

			// What the database surely refused leaves the cache as it was.
			_, err = d.cached.ExecContext(t.Context(), "INSERT INTO "+d.table+" VALUES (1, 5)")
			if err == nil {
				t.Fatal("a duplicate was taken")
			}
			d.reads("after a write that was refused", 1)
		}
		tx = begin(sql.LevelReadCommitted)
		exec(t, tx, "UPDATE "+d.table+" SET v = 12 WHERE id = 1")
		must(t, tx.Commit())
		d.reads("after the commit", 12)

		// A miss in a transaction stores nothing.
		must(t, d.cache.Clear(t.Context()))
		tx = begin(sql.LevelReadCommitted)
		d.readsIn("a miss", tx, 12)
		must(t, tx.Commit())
		d.behind(13)
		d.reads("and nothing is cached", 13)
	})
}

// Two that see different rows never share a result.
func TestIdentities(t *testing.T) {
	e := engines()[1] // DISCARD ALL takes the statements that pgx has prepared
	d := newDesk(t, e, redis(t))
	schema := fresh("s")
	exec(t, d.plain, "CREATE SCHEMA "+schema)
	exec(t, d.plain, "CREATE TABLE "+schema+"."+d.table+" (id bigint PRIMARY KEY, v bigint)")
	exec(t, d.plain, "INSERT INTO "+schema+"."+d.table+" VALUES (1, 77)")
	d.primed()
	c, err := d.cached.Conn(t.Context())
	must(t, err)
	defer c.Close()
	d.readsIn("a connection", c, 1)
	exec(t, c, "SET search_path TO "+schema)
	d.readsIn("another search path", c, 77)
	d.readsIn("which is cached", c, 77)
	exec(t, c, "RESET search_path")
	d.readsIn("the first again", c, 1)
	exec(t, c, "BEGIN")
	exec(t, c, "SET search_path TO "+schema)
	exec(t, c, "ROLLBACK")
	d.readsIn("set and rolled back", c, 1)
	exec(t, c, "SET app.tenant = 'x'")
	d.readsIn("a setting of its own", c, 2)
	exec(t, c, "DISCARD ALL")
	d.readsIn("all discarded", c, 1)
	exec(t, c, "CREATE TEMP TABLE "+d.table+" AS SELECT 1 AS id, 99 AS v")
	d.reads("a temporary table ends all", 2)
	d.readsIn("and hides the table", c, 99)
	must(t, c.Raw(func(driverConn any) error {
		if _, ok := sqlcache.Unwrap(driverConn).(*stdlib.Conn); !ok {
			t.Errorf("Unwrap gives a %T", sqlcache.Unwrap(driverConn))
		}
		return nil
	}))
}

// What is too large, or has an error on its way, streams to whoever asked.
func TestCaps(t *testing.T) {
	onEngines(t, func(t *testing.T, e engine) {
		d := newDesk(t, e, redis(t), func(cfg *sqlcache.Config) { cfg.MaxRows, cfg.MaxBytes = 50, 2000 })
		for i := 2; i <= 200; i++ {
			exec(t, d.plain, fmt.Sprintf("INSERT INTO %s VALUES (%d, %d)", d.table, i, i))
		}
		for _, n := range []int{49, 50, 51, 200} {
			text := fmt.Sprintf("/* cache ttl=1h */ SELECT * FROM %s WHERE id <= %d ORDER BY id", d.table, n)
			want := all(t.Context(), d.plain, text)
			before := d.cache.Stats()
			same(t, fmt.Sprint(n, " rows"), all(t.Context(), d.cached, text), want)
			same(t, fmt.Sprint(n, " rows, again"), all(t.Context(), d.cached, text), want)
			now := d.cache.Stats()
			if large := now.TooLarge > before.TooLarge; large != (n > 50) {
				t.Errorf("%d rows: too large %v", n, large)
			}
			if hit := now.Cache.Hits > before.Cache.Hits; hit != (n <= 50) {
				t.Errorf("%d rows: cached %v", n, hit)
			}
		}
		long := "/* cache ttl=1h */ SELECT '" + strings.Repeat("x", 3000) + "' FROM " + d.table + " WHERE id = 1"
		same(t, "a long row", all(t.Context(), d.cached, long), all(t.Context(), d.plain, long))

		// Who closes the rows early has a connection that works.
		rows, err := d.cached.QueryContext(t.Context(), "/* cache ttl=1h */ SELECT * FROM "+d.table)
		must(t, err)
		rows.Next()
		must(t, rows.Close())
		d.reads("after that", 0)
	})
}

// A caller who gives up takes his connection along; who waits for his load has
// the result all the same.
func TestCallerGivesUp(t *testing.T) {
	e := engines()[0]
	d := newDesk(t, e, redis(t))
	d.behind(5)
	slow := "SELECT v FROM " + d.table + ", (SELECT count(*) FROM generate_series(1, 3000000) g) s WHERE id = 1"
	asks := sqlcache.With(t.Context(), time.Hour)
	ctx, cancel := context.WithCancel(asks)
	left := make(chan error, 1)
	go func() {
		rows, err := d.cached.QueryContext(ctx, slow)
		if err == nil {
			err = errors.Join(errors.New("he had a result"), rows.Close())
		}
		left <- err
	}()
	redstarttest.Eventually(t, 10*time.Second, "a load", func() bool { return d.cache.Stats().Cache.Loads == 1 })
	var others sync.WaitGroup
	for range 3 {
		others.Go(func() {
			rows, err := d.cached.QueryContext(asks, slow)
			if err != nil {
				t.Error(err)
				return
			}
			defer rows.Close()
			var v int64
			if !rows.Next() || rows.Scan(&v) != nil || v != 5 {
				t.Errorf("%d, %v", v, rows.Err())
			}
		})
	}
	redstarttest.Eventually(t, 10*time.Second, "others who wait", func() bool { return d.cache.Stats().Cache.Joined == 3 })
	cancel()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Errorf("who gave up got %v", err)
	}
	others.Wait()
	if n := d.cache.Stats().Cache.Loads; n != 1 {
		t.Logf("%d loads", n)
	}
}

// A result that is read as it nears its end is loaded ahead, on a connection of
// the cache's own.
func TestRefresh(t *testing.T) {
	for _, e := range []engine{engines()[0], engines()[2]} {
		t.Run(e.name, func(t *testing.T) {
			d := newDesk(t, e, redis(t), func(cfg *sqlcache.Config) {
				cfg.Refresh, cfg.Jitter = cache.Refresh{Fraction: 0.9}, -1
			})
			text := "/* cache ttl=2s */ SELECT v FROM " + d.table + " WHERE id = " + e.one
			if v := one[int64](t, d.cached, text, 1); v != 0 {
				t.Fatal(v)
			}
			d.behind(1)
			redstarttest.Eventually(t, 10*time.Second, "a refresh", func() bool {
				v := one[int64](t, d.cached, text, 1)
				return v == 1 && d.cache.Stats().Cache.Refreshes > 0
			})
			if s := d.cache.Stats().Cache; s.Misses != 1 {
				t.Errorf("%d misses", s.Misses)
			}
		})
	}
}

// While Redis is away a read goes to the database, and a write is refused before
// that is touched, or proceeds, as configured; then nothing stale is read here.
func TestRedisIsAway(t *testing.T) {
	for name, policy := range map[string]sqlcache.Outage{"refuse": sqlcache.Refuse, "proceed": sqlcache.Proceed} {
		t.Run(name, func(t *testing.T) {
			e := engines()[0]
			server := redstarttest.Run(t, redstarttest.ServerConfig{AOF: "always"})
			d := newDesk(t, e, client(t, server.URL()), func(cfg *sqlcache.Config) { cfg.InOutage = policy })
			d.primed()
			must(t, server.Kill())
			d.reads("away", 2)
			_, err := d.cached.ExecContext(t.Context(), "UPDATE "+d.table+" SET v = 3")
			tx, bad := d.cached.BeginTx(t.Context(), nil)
			must(t, bad)
			exec(t, tx, "UPDATE "+d.other+" SET v = 3")
			commit := tx.Commit()
			if policy == sqlcache.Refuse {
				if redstart.OutcomeOf(err) != redstart.NotApplied || !errors.Is(err, redstart.ErrUnavailable) && !redstart.Away(err) {
					t.Errorf("a write: %v", err)
				}
				if redstart.OutcomeOf(commit) != redstart.NotApplied {
					t.Errorf("a commit: %v", commit)
				}
				d.reads("nothing was written", 2)
				if v := one[int64](t, d.plain, "SELECT v FROM "+d.other); v != 0 {
					t.Errorf("the other table has %d", v)
				}
			} else {
				must(t, err)
				must(t, commit)
				d.reads("it was written", 3)
			}
			must(t, server.Restart(t.Context()))
			redstarttest.Eventually(t, 10*time.Second, "writes again", func() bool {
				_, err := d.cached.ExecContext(t.Context(), "UPDATE "+d.other+" SET v = 4")
				return err == nil
			})
			want := int64(1) // Redis still has it, and the database's change went past the cache
			if policy == sqlcache.Proceed {
				want = 3
			}
			d.reads("afterwards", want)
			t.Logf("%+v", d.cache.Stats())
		})
	}
}
