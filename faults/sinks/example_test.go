package sinks

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/cache"
	"github.com/redstart-go/redstart/cache/journal"
	"github.com/redstart-go/redstart/cache/journal/sqlsink"
	"github.com/redstart-go/redstart/embedded"
)

type album struct {
	Title  string
	Artist int64
}

// Albums are written to the journal, and to SQLite behind the writer's back.
func Example() {
	title, err := writeBehind(context.Background())
	fmt.Println(title, err)
	// Output: Kind of Blue (remastered) <nil>
}

func writeBehind(ctx context.Context) (title string, err error) {
	dir, err := os.MkdirTemp("", "albums")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	db, err := sql.Open("sqlite", filepath.Join(dir, "albums.sqlite"))
	if err != nil {
		return "", err
	}
	defer db.Close()
	if _, err := db.ExecContext(ctx, "CREATE TABLE album (id INTEGER PRIMARY KEY, title TEXT, artist_id INTEGER, version INTEGER)"); err != nil {
		return "", err
	}

	// Where changes go.
	sink, err := sqlsink.New(db, sqlsink.Config[int64, album]{
		Dialect: sqlsink.SQLite,
		Table:   "album",
		Key:     []string{"id"},
		Columns: []string{"title", "artist_id"},
		Row:     func(_ int64, a album) ([]any, error) { return []any{a.Title, a.Artist}, nil },
	})
	if err != nil {
		return "", err
	}
	if err := sink.Prepare(ctx); err != nil {
		return "", err
	}

	// The journal in front of it. A service opens a server that keeps an append-only file.
	server, err := embedded.Start(embedded.Config{})
	if err != nil {
		return "", err
	}
	defer server.Close()
	client, err := redstart.Open(ctx, server.URL(), redstart.Config{})
	if err != nil {
		return "", err
	}
	defer client.Close()
	albums, err := journal.New(client, journal.Config[int64, album]{
		Name: "albums", Sink: sink,
		Partitions:      1,    // SQLite has one writer
		UnknownEviction: true, // the embedded server does not say whether it evicts
		Cache: cache.Config[int64, album]{
			Key: "album:<id>",
			Load: func(ctx context.Context, id int64) (a album, err error) {
				err = db.QueryRowContext(ctx, "SELECT title, artist_id FROM album WHERE id = ?", id).Scan(&a.Title, &a.Artist)
				if errors.Is(err, sql.ErrNoRows) {
					err = cache.ErrNotFound
				}
				return a, err
			},
		},
	})
	if err != nil {
		return "", err
	}
	running, stop := context.WithCancel(ctx)
	flusher := make(chan error, 1)
	go func() { flusher <- albums.Run(running) }()
	defer func() {
		stop()
		err = errors.Join(err, <-flusher)
	}()

	if err := albums.Put(ctx, 1, album{"Kind of Blue", 7}); err != nil {
		return "", err
	}
	if err := albums.Put(ctx, 1, album{"Kind of Blue (remastered)", 7}); err != nil {
		return "", err
	}
	if err := albums.Flush(ctx); err != nil { // a service has no need to wait
		return "", err
	}
	err = db.QueryRowContext(ctx, "SELECT title FROM album WHERE id = 1").Scan(&title)
	return title, err
}
