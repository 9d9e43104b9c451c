// Package sqlcache tests sqlcache on real databases, whose drivers the root
// module does not have.
package sqlcache

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	_ "github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib"
	"go.uber.org/goleak"
	_ "modernc.org/sqlite"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/redstarttest"
	"github.com/redstart-go/redstart/redstarttest/database"
	"github.com/redstart-go/redstart/sqlcache"
)

// The databases are started by the first test that needs them and serve all.
var (
	mu      sync.Mutex
	running []*database.Server
	dsn     = map[string]string{}
	names   int
)

func TestMain(m *testing.M) {
	code := m.Run()
	for _, s := range running {
		if err := s.Close(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// shared is a TB that leaves the clean-up to TestMain.
type shared struct{ *testing.T }

func (shared) Cleanup(func()) {}

// engine is a database, and the words in which it differs.
type engine struct {
	name   string
	driver string
	args   string // behind the DSN
	one    string // the first parameter
	two    string
}

func engines() []engine {
	return []engine{
		{"postgres", "pgx", "", "$1", "$2"},
		{"postgres, simple protocol", "pgx", "&default_query_exec_mode=simple_protocol", "$1", "$2"},
		{"sqlite", "sqlite", "", "?", "?"},
		{"mariadb", "mysql", "?parseTime=true", "?", "?"},
		{"mariadb, interpolated", "mysql", "?parseTime=true&interpolateParams=true", "?", "?"},
	}
}

// source gives the DSN of a database of the engine.
func (e engine) source(t *testing.T) string {
	t.Helper()
	if e.driver == "sqlite" {
		return "file:" + filepath.Join(t.TempDir(), "d.sqlite") + "?_pragma=busy_timeout(20000)&_pragma=journal_mode(wal)"
	}
	mu.Lock()
	defer mu.Unlock()
	run := database.RunPostgres
	if e.driver == "mysql" {
		run = database.RunMariaDB
	}
	if dsn[e.driver] == "" {
		s := run(shared{t}, database.Config{Unix: true, NoSync: true})
		running = append(running, s)
		dsn[e.driver] = s.DSN()
	}
	return dsn[e.driver] + e.args
}

// fresh gives a name that nothing else of the run has.
func fresh(name string) string {
	mu.Lock()
	defer mu.Unlock()
	names++
	return fmt.Sprintf("%s_%d", name, names)
}

// redis gives a client on a server of the test's own.
func redis(t *testing.T) *redstart.Client {
	t.Helper()
	return client(t, redstarttest.Run(t, redstarttest.ServerConfig{}).URL())
}

func client(t *testing.T, url string) *redstart.Client {
	t.Helper()
	c, err := redstart.Open(context.Background(), url, redstart.Config{})
	must(t, err)
	t.Cleanup(c.Close)
	return c
}

// open gives a database through a cache, and the same without.
func (e engine) open(t *testing.T, c *redstart.Client, change ...func(*sqlcache.Config)) (cached, plain *sql.DB, cache *sqlcache.Cache) {
	t.Helper()
	source := e.source(t)
	cfg := sqlcache.Config{Database: fresh("db")}
	for _, f := range change {
		f(&cfg)
	}
	cache, err := sqlcache.New(c, cfg)
	must(t, err)
	cached, err = cache.Open(e.driver, source)
	must(t, err)
	plain, err = sql.Open(e.driver, source)
	must(t, err)
	t.Cleanup(func() {
		must(t, cached.Close())
		must(t, plain.Close())
	})
	return cached, plain, cache
}

// both runs a test on each engine.
func onEngines(t *testing.T, test func(t *testing.T, e engine)) {
	t.Helper()
	for _, e := range engines() {
		t.Run(e.name, func(t *testing.T) { test(t, e) })
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func exec(
	t *testing.T, db interface {
		ExecContext(context.Context, string, ...any) (sql.Result, error)
	}, text string, args ...any,
) {
	t.Helper()
	if _, err := db.ExecContext(t.Context(), text, args...); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
}

type queryer interface {
	QueryContext(context.Context, string, ...any) (*sql.Rows, error)
}

// one gives the only value of a result.
func one[T any](t *testing.T, db queryer, text string, args ...any) (v T) {
	t.Helper()
	return oneIn[T](t.Context(), t, db, text, args...)
}

func oneIn[T any](ctx context.Context, t *testing.T, db queryer, text string, args ...any) (v T) {
	t.Helper()
	rows, err := db.QueryContext(ctx, text, args...)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	defer rows.Close()
	if !rows.Next() {
		t.Fatalf("%s: no row: %v", text, rows.Err())
	}
	must(t, rows.Scan(&v))
	return v
}
