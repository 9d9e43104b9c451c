// Package database is where a scenario of the lab keeps its rows: SQLite in a folder of its own, or a schema of its own in
// somebody's PostgreSQL. What was given is never changed, and nothing is left behind.
package database

import (
	"context"
	"crypto/rand"
	"database/sql"
	"database/sql/driver"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"modernc.org/sqlite"
)

// Kind is which database it is.
type Kind string

// The kinds.
const (
	SQLite   Kind = "SQLite"
	Postgres Kind = "PostgreSQL"
)

// Place says where a database is, so that another process can open it too. It may hold a password: it is not for people.
type Place struct {
	Kind Kind `json:"kind"`
	// Path is that of the file, URL and Schema those of a PostgreSQL.
	Path   string `json:"path,omitempty"`
	URL    string `json:"url,omitempty"`
	Schema string `json:"schema,omitempty"`
	// Durable is whether a commit waits for the disk, where the place decides it.
	Durable bool `json:"durable,omitempty"`
}

// Private is a Place of the lab's own.
type Private struct {
	Place
	// Label is what it is, for people.
	Label string
	// Empty is set when nothing is in it, else it is a copy of the file that was given.
	Empty bool
	dir   string
}

// ErrChoice is wrapped by errors about what the user chose: his to correct.
var ErrChoice = errors.New("--database takes a file of SQLite or postgres://…")

// Make makes a place for the user's choice: "" an empty file of SQLite, a path a copy of that file, and a URL an empty
// schema of PostgreSQL.
func Make(ctx context.Context, choice string, durable bool) (_ *Private, err error) {
	p := &Private{Place: Place{Kind: SQLite, Durable: durable}, Empty: true}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.Close())
		}
	}()
	if isPostgres(choice) {
		p.Kind, p.URL = Postgres, choice
		if _, err := pgx.ParseConfig(choice); err != nil {
			return p, fmt.Errorf("%w: %w", ErrChoice, err)
		}
		return p, p.makeSchema(ctx)
	}
	if strings.Contains(choice, "://") {
		return p, ErrChoice
	}
	if p.dir, err = os.MkdirTemp("", "redstart-lab-"); err != nil {
		return p, err
	}
	p.Path = filepath.Join(p.dir, "lab.sqlite")
	if choice != "" {
		p.Empty = false
		if err := copyOf(ctx, choice, p.Path); err != nil {
			return p, err
		}
	}
	version, err := p.ask(ctx, "SELECT sqlite_version()")
	if err != nil {
		return p, err
	}
	p.Label = "SQLite " + version
	if choice != "" {
		p.Label += ", a copy of " + filepath.Base(choice)
	}
	return p, nil
}

func isPostgres(choice string) bool {
	return strings.HasPrefix(choice, "postgres://") || strings.HasPrefix(choice, "postgresql://")
}

// copyOf copies a database by its own reading of it, so that one in use is copied as of one moment.
func copyOf(ctx context.Context, from, to string) error {
	info, err := os.Stat(from)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrChoice, err)
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%w: %s is no file", ErrChoice, from)
	}
	abs, err := filepath.Abs(from)
	if err != nil {
		return err
	}
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Path: abs, RawQuery: "mode=ro"}).String())
	if err != nil {
		return err
	}
	defer db.Close()
	if _, err := db.ExecContext(ctx, "VACUUM INTO ?", to); err != nil {
		return fmt.Errorf("%w: copy %s: %w", ErrChoice, from, err)
	}
	return nil
}

func (p *Private) makeSchema(ctx context.Context) error {
	var b [6]byte
	rand.Read(b[:]) // it never fails
	schema := "redstart_lab_" + hex.EncodeToString(b[:])
	if err := p.outside(ctx, "CREATE SCHEMA "+schema); err != nil {
		return fmt.Errorf("make a schema: %w", err)
	}
	p.Schema = schema
	version, err := p.ask(ctx, "SELECT current_setting('server_version')")
	version, _, _ = strings.Cut(version, " ") // Debian writes its own behind it
	p.Label = "PostgreSQL " + version + ", a schema of its own"
	return err
}

// outside runs a statement outside of the schema.
func (p *Private) outside(ctx context.Context, statement string) error {
	away := p.Place
	away.Schema = ""
	db, err := away.Open()
	if err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, statement)
	return errors.Join(err, db.Close())
}

func (p *Private) ask(ctx context.Context, question string) (string, error) {
	db, err := p.Open()
	if err != nil {
		return "", err
	}
	var answer string
	err = db.QueryRowContext(ctx, question).Scan(&answer)
	return answer, errors.Join(err, db.Close())
}

// Close removes what Make made.
func (p *Private) Close() error {
	if p.Schema != "" {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := p.outside(ctx, "DROP SCHEMA "+p.Schema+" CASCADE"); err != nil {
			return fmt.Errorf("drop the schema %s: %w", p.Schema, err)
		}
	}
	if p.dir != "" {
		return os.RemoveAll(p.dir)
	}
	return nil
}

// Connector opens connections to the place, for a driver that stands in front of it.
func (p Place) Connector() (driver.Connector, error) {
	if p.Kind == SQLite {
		synchronous := "OFF" // it lives as long as one run
		if p.Durable {
			synchronous = "FULL"
		}
		u := url.URL{Scheme: "file", Path: p.Path}
		return file(u.String() + "?_pragma=journal_mode(WAL)&_pragma=synchronous(" + synchronous + ")&_pragma=busy_timeout(10000)&_txlock=immediate"), nil
	}
	cfg, err := pgx.ParseConfig(p.URL)
	if err != nil {
		return nil, err
	}
	if p.Schema != "" {
		cfg.RuntimeParams["search_path"] = p.Schema
	}
	cfg.RuntimeParams["application_name"] = "redstart-lab"
	return stdlib.GetConnector(*cfg), nil
}

// Open opens it for up to eight callers at a time.
func (p Place) Open() (*sql.DB, error) {
	c, err := p.Connector()
	if err != nil {
		return nil, err
	}
	return Sized(sql.OpenDB(c)), nil
}

// Connections is how many there are at a time.
const Connections = 8

// Sized gives a database as many connections as the lab's databases have.
func Sized(db *sql.DB) *sql.DB {
	db.SetMaxOpenConns(Connections)
	db.SetMaxIdleConns(Connections)
	return db
}

// Bind writes a statement's question marks as the database wants them. It knows no literals: there must be none in them.
func (p Place) Bind(statement string) string {
	if p.Kind != Postgres {
		return statement
	}
	var b strings.Builder
	n := 0
	for _, r := range statement {
		if r != '?' {
			b.WriteRune(r)
			continue
		}
		n++
		b.WriteString("$" + strconv.Itoa(n))
	}
	return b.String()
}

// file is the connector of a DSN.
type file string

func (f file) Connect(context.Context) (driver.Conn, error) { return f.Driver().Open(string(f)) }

func (f file) Driver() driver.Driver { return &sqlite.Driver{} }
