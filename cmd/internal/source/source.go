// Package source is the database behind the lab's caches: SQLite with a stated latency per query, which counts what is
// loaded from it and can hold a load in flight while something else happens.
package source

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"time"

	_ "modernc.org/sqlite" // the driver "sqlite"
)

// ErrNoRow is returned by Load for a key that has no row.
var ErrNoRow = errors.New("source: no such row")

// Row is what the service reads: a version, which rises by one with every write, and a body.
type Row struct {
	Version int64  `json:"version"`
	Body    string `json:"body"`
}

// Config describes the database. All fields are needed.
type Config struct {
	// Dir is an empty directory for the database's files.
	Dir string
	// Latency is the time of one query besides SQLite's own: half on the way there, half on the way back.
	Latency time.Duration
	// Body is the size of a row's body in bytes.
	Body int
	// OnLoad, if not nil, is called when a load begins.
	OnLoad func()
}

// Source is the database. It is safe for use by many goroutines.
type Source struct {
	cfg    Config
	db     *sql.DB
	load   *sql.Stmt
	update *sql.Stmt

	mu      sync.Mutex
	holds   map[string]*Hold
	loads   map[string]int
	total   int
	running int
	most    int
}

// Open creates the database with a row of version 1 for every key.
func Open(ctx context.Context, cfg Config, keys []string) (*Source, error) {
	// The lab's database lives as long as one run: no need to wait for a disk.
	dsn := "file:" + filepath.Join(cfg.Dir, "lab.sqlite") +
		"?_pragma=journal_mode(WAL)&_pragma=synchronous(OFF)&_pragma=busy_timeout(10000)&_txlock=immediate"
	db, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, fmt.Errorf("source: open: %w", err)
	}
	db.SetMaxOpenConns(8)
	db.SetMaxIdleConns(8)
	s := &Source{cfg: cfg, db: db, holds: make(map[string]*Hold), loads: make(map[string]int)}
	if err := s.fill(ctx, keys); err != nil {
		return nil, errors.Join(fmt.Errorf("source: fill: %w", err), db.Close())
	}
	s.load, err = db.PrepareContext(ctx, "SELECT version, body FROM rows WHERE key = ?")
	if err == nil {
		s.update, err = db.PrepareContext(ctx, "UPDATE rows SET version = version + 1 WHERE key = ? RETURNING version")
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("source: prepare: %w", err), db.Close())
	}
	return s, nil
}

func (s *Source) fill(ctx context.Context, keys []string) error {
	if _, err := s.db.ExecContext(ctx, "CREATE TABLE rows (key TEXT PRIMARY KEY, version INTEGER NOT NULL, body TEXT NOT NULL) WITHOUT ROWID"); err != nil {
		return err
	}
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // after Commit it only says so
	insert, err := tx.PrepareContext(ctx, "INSERT INTO rows VALUES (?, 1, ?)")
	if err != nil {
		return err
	}
	defer insert.Close()
	for _, k := range keys {
		if _, err := insert.ExecContext(ctx, k, Body(k, s.cfg.Body)); err != nil {
			return fmt.Errorf("row %q: %w", k, err)
		}
	}
	return tx.Commit()
}

// Body is the body of a row of the key: it repeats the key, so that a value that belongs to another key is seen at once.
func Body(key string, size int) string {
	if size <= 0 {
		return ""
	}
	return strings.Repeat(key+" ", size/(len(key)+1)+1)[:size]
}

// Load reads the row of a key, in the stated latency, and counts it.
func (s *Source) Load(ctx context.Context, key string) (Row, error) {
	hold := s.begin(key)
	defer s.end()
	if s.cfg.OnLoad != nil {
		s.cfg.OnLoad()
	}
	if err := sleep(ctx, s.cfg.Latency/2); err != nil {
		return Row{}, err
	}
	var r Row
	err := s.load.QueryRowContext(ctx, key).Scan(&r.Version, &r.Body)
	if errors.Is(err, sql.ErrNoRows) {
		return Row{}, fmt.Errorf("%w: %q", ErrNoRow, key)
	}
	if err != nil {
		return Row{}, fmt.Errorf("source: load: %w", err)
	}
	if hold != nil {
		close(hold.read)
	}
	if err := sleep(ctx, s.cfg.Latency/2); err != nil {
		return Row{}, err
	}
	if hold != nil {
		select {
		case <-hold.released:
		case <-ctx.Done():
			return Row{}, ctx.Err()
		}
		close(hold.returned)
	}
	return r, nil
}

// Update writes the row of a key and returns its new version, which is committed by then. It takes no latency of its
// own: the lab measures readers.
func (s *Source) Update(ctx context.Context, key string) (int64, error) {
	var v int64
	if err := s.update.QueryRowContext(ctx, key).Scan(&v); err != nil {
		return 0, fmt.Errorf("source: update: %w", err)
	}
	return v, nil
}

// Loads returns how often the key was loaded since the last Reset.
func (s *Source) Loads(key string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.loads[key]
}

// Total returns how many loads there were since the last Reset, and the most at one time.
func (s *Source) Total() (loads, atOnce int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.total, s.most
}

// Reset sets the counters to zero; rows stay as they are.
func (s *Source) Reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.loads)
	s.total, s.most = 0, s.running
}

// Close closes the database. Its files belong to whoever made the directory.
func (s *Source) Close() error {
	return errors.Join(s.load.Close(), s.update.Close(), s.db.Close())
}

func (s *Source) begin(key string) *Hold {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.loads[key]++
	s.total++
	s.running++
	s.most = max(s.most, s.running)
	h := s.holds[key]
	delete(s.holds, key)
	return h
}

func (s *Source) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running--
}

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
