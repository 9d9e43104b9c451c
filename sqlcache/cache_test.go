package sqlcache_test

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/embedded"
	"github.com/redstart-go/redstart/redstarttest"
	"github.com/redstart-go/redstart/sqlcache"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// onServers runs a test on the embedded server and on every server found.
func onServers(t *testing.T, test func(t *testing.T, c *redstart.Client)) {
	t.Helper()
	with := func(t *testing.T, url string) {
		c, err := redstart.Open(context.Background(), url, redstart.Config{})
		must(t, err)
		defer c.Close()
		test(t, c)
	}
	t.Run("embedded", func(t *testing.T) {
		s, err := embedded.Start(embedded.Config{})
		must(t, err)
		defer s.Close()
		with(t, s.URL())
	})
	launchers := redstarttest.Launchers()
	if len(launchers) == 0 {
		t.Run("redis-server", func(t *testing.T) { redstarttest.Run(t, redstarttest.ServerConfig{}) })
	}
	for _, l := range launchers {
		t.Run(l.Name, func(t *testing.T) { with(t, redstarttest.Run(t, redstarttest.ServerConfig{Path: l.Path}).URL()) })
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func open(t *testing.T, c *redstart.Client, change ...func(*sqlcache.Config)) (*toy, *sql.DB, *sqlcache.Cache) {
	t.Helper()
	cfg := sqlcache.Config{Database: "music", Dialect: sqlcache.Other}
	for _, f := range change {
		f(&cfg)
	}
	cache, err := sqlcache.New(c, cfg)
	must(t, err)
	d := newToy()
	db, err := cache.OpenDB(d)
	must(t, err)
	t.Cleanup(func() { must(t, db.Close()) })
	return d, db, cache
}

const (
	plain = "SELECT title FROM track WHERE id = ?"
	asks  = "/* cache ttl=1h */ " + plain
)

func title(t *testing.T, db *sql.DB, text string, id int64) (s string) {
	t.Helper()
	must(t, db.QueryRowContext(t.Context(), text, id).Scan(&s))
	return s
}

func TestCached(t *testing.T) {
	onServers(t, func(t *testing.T, c *redstart.Client) {
		d, db, cache := open(t, c, func(cfg *sqlcache.Config) { cfg.NearBytes = 1 << 20 })
		for range 5 {
			if s := title(t, db, asks, 1) + title(t, db, asks, 2); s != "So WhatNaima" {
				t.Errorf("%q", s)
			}
		}
		if n := d.queries.Load(); n != 2 {
			t.Errorf("%d queries", n)
		}
		_, err := db.ExecContext(t.Context(), "UPDATE track SET title = ? WHERE id = ?", "new", 1)
		must(t, err)
		if s := title(t, db, asks, 1); s != "new" {
			t.Errorf("after the write: %q", s)
		}
		for range 3 {
			if _, err := db.QueryContext(t.Context(), "/* cache ttl=1h */ SELECT a FROM missing"); err == nil || err.Error() != "no such table" { //nolint:sqlclosecheck,rowserrcheck // there are none
				t.Errorf("%v", err)
			}
		}
		if n := d.queries.Load(); n != 6 {
			t.Errorf("%d queries: an error was cached", n)
		}
		if s := cache.Stats(); s.Cache.Loads < 3 || s.Invalidations != 1 {
			t.Errorf("%+v", s)
		}
	})
}

// A comment or a context that asks for what there is not fails the statement before
// the database hears of it.
func TestBadOptions(t *testing.T) {
	onServers(t, func(t *testing.T, c *redstart.Client) {
		d, db, _ := open(t, c)
		for text, ctx := range map[string]context.Context{
			"/* cache ttl=30 */ " + plain:                     t.Context(),
			"/* cache tags= */ " + plain:                      t.Context(),
			"UPDATE track SET a = 1 /* cache invalidate=x */": t.Context(),
			plain:                         sqlcache.With(t.Context(), 0),
			plain + " ":                   sqlcache.With(t.Context(), time.Second, ""),
			"SELECT a FROM track LIMIT 1": sqlcache.With(t.Context(), -1),
		} {
			_, err := db.QueryContext(ctx, text) //nolint:sqlclosecheck,rowserrcheck // there are none
			if redstart.OutcomeOf(err) != redstart.NotApplied {
				t.Errorf("%s: %v", text, err)
			}
			if d.heard.Load() != nil {
				t.Fatalf("the database heard %q", *d.heard.Load())
			}
		}
	})
}

// A connection that was lost is replaced as package sql does, by the cache too.
func TestBadConnections(t *testing.T) {
	onServers(t, func(t *testing.T, c *redstart.Client) {
		d, db, _ := open(t, c)
		d.bad.Store(1)
		if s := title(t, db, asks, 1); s != "So What" {
			t.Errorf("%q", s)
		}
		d.bad.Store(2)
		if s := title(t, db, plain, 1); s != "So What" {
			t.Errorf("%q", s)
		}
		_, err := db.ExecContext(t.Context(), "UPDATE track SET title = ? WHERE id = ?", "new", 1)
		must(t, err)
		if s := title(t, db, asks, 1); s != "new" {
			t.Errorf("after the write: %q", s)
		}
	})
}

func TestConfig(t *testing.T) {
	s, err := embedded.Start(embedded.Config{})
	must(t, err)
	defer s.Close()
	c, err := redstart.Open(t.Context(), s.URL(), redstart.Config{})
	must(t, err)
	defer c.Close()
	_, err = sqlcache.New(c, sqlcache.Config{
		Database: "a b", Prefix: "<x>", Dialect: 77, InOutage: 9, TTL: -1, MaxRows: -1, MaxBytes: -1, Connections: -1, NearBytes: -1,
		Also: map[string][]string{"a": {""}},
	})
	for _, field := range []string{"Database", "Prefix", "Dialect", "InOutage", "TTL", "MaxRows", "MaxBytes", "Connections", "NearBytes", "Also"} {
		if err == nil || !strings.Contains(err.Error(), "config: "+field+":") {
			t.Errorf("%s is not reported: %v", field, err)
		}
	}
	cache, err := sqlcache.New(c, sqlcache.Config{Database: "x"})
	must(t, err)
	var e *redstart.Error
	if _, err := cache.OpenDB(newToy()); !errors.As(err, &e) || !strings.Contains(err.Error(), "Dialect") {
		t.Errorf("a driver nobody knows: %v", err)
	}
}

// What passes through allocates nothing more than without the cache.
func TestPassThroughAllocates(t *testing.T) {
	s, err := embedded.Start(embedded.Config{})
	must(t, err)
	defer s.Close()
	c, err := redstart.Open(t.Context(), s.URL(), redstart.Config{})
	must(t, err)
	defer c.Close()
	d, db, _ := open(t, c)
	without := sql.OpenDB(d)
	defer without.Close()
	count := func(db *sql.DB) float64 {
		return testing.AllocsPerRun(200, func() { title(t, db, plain, 1) })
	}
	if with, bare := count(db), count(without); with > bare {
		t.Errorf("%v allocations, %v without", with, bare)
	}
}

// BenchmarkPassThrough is a query that did not ask for the cache, and the same
// without it.
func BenchmarkPassThrough(b *testing.B) {
	s, err := embedded.Start(embedded.Config{})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	c, err := redstart.Open(b.Context(), s.URL(), redstart.Config{})
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	cache, err := sqlcache.New(c, sqlcache.Config{Database: "music", Dialect: sqlcache.Other})
	if err != nil {
		b.Fatal(err)
	}
	d := newToy()
	with, err := cache.OpenDB(d)
	if err != nil {
		b.Fatal(err)
	}
	defer with.Close()
	bare := sql.OpenDB(d)
	defer bare.Close()
	long := plain + " AND genre IN (" + strings.Repeat("'rock', ", 100) + "'pop')"
	for name, db := range map[string]*sql.DB{"bare": bare, "through": with} {
		for size, text := range map[string]string{"short": plain, "long": long} {
			b.Run(name+"/"+size, func(b *testing.B) {
				b.ReportAllocs()
				var s string
				for b.Loop() {
					if err := db.QueryRowContext(b.Context(), text, int64(1)).Scan(&s); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
