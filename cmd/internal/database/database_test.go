package database

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	servers "github.com/redstart-go/redstart/redstarttest/database"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func fill(t *testing.T, p Place) {
	t.Helper()
	db, err := p.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, s := range []string{"CREATE TABLE things (id INTEGER, name TEXT)", "INSERT INTO things VALUES (1, 'one')"} {
		if _, err := db.ExecContext(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
}

func names(ctx context.Context, p Place, statement string, args ...any) (string, error) {
	db, err := p.Open()
	if err != nil {
		return "", err
	}
	defer db.Close()
	var name string
	err = db.QueryRowContext(ctx, p.Bind(statement), args...).Scan(&name)
	return name, err
}

func TestGivenFileIsCopied(t *testing.T) {
	given := Place{Kind: SQLite, Path: filepath.Join(t.TempDir(), "shop #1?.sqlite")}
	fill(t, given)
	before, err := os.ReadFile(given.Path)
	if err != nil {
		t.Fatal(err)
	}
	p, err := Make(t.Context(), given.Path, true)
	if err != nil {
		t.Fatal(err)
	}
	if p.Empty || !strings.HasPrefix(p.Label, "SQLite 3.") || !strings.HasSuffix(p.Label, ", a copy of shop #1?.sqlite") {
		t.Errorf("%+v", p)
	}
	db, err := p.Open()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), "UPDATE things SET name = 'two'"); err != nil {
		t.Error(err)
	}
	db.Close()
	if name, err := names(t.Context(), p.Place, "SELECT name FROM things WHERE id = ?", 1); name != "two" || err != nil {
		t.Errorf("the copy has %q, %v", name, err)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(p.dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder is left: %v", err)
	}
	after, err := os.ReadFile(given.Path)
	if err != nil || string(after) != string(before) {
		t.Errorf("what was given has changed: %v", err)
	}
}

func TestEmptyPlace(t *testing.T) {
	p, err := Make(t.Context(), "", false)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if !p.Empty {
		t.Errorf("%+v", p)
	}
	fill(t, p.Place)
}

func TestWrongChoices(t *testing.T) {
	text := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(text, []byte("no database, and long enough to see it"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, choice := range []string{"mysql://localhost/x", "no/such/file", t.TempDir(), text, "postgres://host:port/x"} {
		if _, err := Make(t.Context(), choice, false); !errors.Is(err, ErrChoice) {
			t.Errorf("%s: %v", choice, err)
		}
	}
}

func TestPostgres(t *testing.T) {
	given := servers.RunPostgres(t, servers.Config{})
	p, err := Make(t.Context(), given.DSN(), true)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(p.Label, "PostgreSQL 1") || !strings.HasSuffix(p.Label, ", a schema of its own") {
		t.Errorf("label %q", p.Label)
	}
	fill(t, p.Place)
	if name, err := names(t.Context(), p.Place, "SELECT name FROM things WHERE id = ? AND name = ?", 1, "one"); name != "one" || err != nil {
		t.Errorf("got %q, %v", name, err)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	away := Place{Kind: Postgres, URL: given.DSN()}
	if _, err := names(t.Context(), away, "SELECT schema_name FROM information_schema.schemata WHERE schema_name = ?", p.Schema); !errors.Is(err, sql.ErrNoRows) {
		t.Errorf("the schema is left: %v", err)
	}
}
