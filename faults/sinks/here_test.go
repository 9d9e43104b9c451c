package sinks

import (
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	_ "github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib"
	"go.uber.org/goleak"
	_ "modernc.org/sqlite"

	"github.com/redstart-go/redstart/cache/journal/sqlsink"
	"github.com/redstart-go/redstart/redstarttest/database"
)

// The databases are started by the first test that needs them and serve all.
var (
	mu      sync.Mutex
	running []*database.Server
	dsn     = map[string]string{}
	tables  int
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

// dialect is a database and the words in which it differs.
type dialect struct {
	name    string
	dialect sqlsink.Dialect
	big     string // the column types
	text    string
	bytes   string
	key     string // of a text that is a key
	quote   func(string) string
	dsn     string // what is added to the server's
}

func dialects() []dialect {
	ansi := func(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }
	back := func(s string) string { return "`" + strings.ReplaceAll(s, "`", "``") + "`" }
	return []dialect{
		{"postgres", sqlsink.Postgres, "bigint", "text", "bytea", "text", ansi, ""},
		{"postgres, simple protocol", sqlsink.Postgres, "bigint", "text", "bytea", "text", ansi, "&default_query_exec_mode=simple_protocol"},
		{"sqlite", sqlsink.SQLite, "integer", "text", "blob", "text", ansi, ""},
		{"mariadb", sqlsink.MySQL, "bigint", "longtext", "longblob", "varchar(300) character set utf8mb4 collate utf8mb4_nopad_bin", back, "?parseTime=true"},
	}
}

// open gives a database of the dialect.
func (d dialect) open(t *testing.T) *sql.DB {
	t.Helper()
	driver, name := "sqlite", "file:"+filepath.Join(t.TempDir(), "d.sqlite")+"?_pragma=busy_timeout(20000)&_pragma=journal_mode(wal)"
	if d.dialect != sqlsink.SQLite {
		driver, name = d.server(t)
	}
	db, err := sql.Open(driver, name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func (d dialect) server(t *testing.T) (driver, name string) {
	t.Helper()
	mu.Lock()
	defer mu.Unlock()
	driver = "pgx"
	run := database.RunPostgres
	if d.dialect == sqlsink.MySQL {
		driver, run = "mysql", database.RunMariaDB
	}
	if dsn[driver] == "" {
		cfg := database.Config{Unix: true, NoSync: true}
		if d.dialect == sqlsink.Postgres { // it looks for deadlocks once a second otherwise
			cfg.Args = []string{"-c", "deadlock_timeout=30ms"}
		}
		s := run(shared{t}, cfg)
		running = append(running, s)
		dsn[driver] = s.DSN()
	}
	return driver, dsn[driver] + d.dsn
}

// fresh gives a name that no other table of the run has.
func fresh(name string) string {
	mu.Lock()
	defer mu.Unlock()
	tables++
	return fmt.Sprintf("%s_%d", name, tables)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func exec(t *testing.T, db *sql.DB, text string, args ...any) {
	t.Helper()
	if _, err := db.ExecContext(t.Context(), text, args...); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
}
