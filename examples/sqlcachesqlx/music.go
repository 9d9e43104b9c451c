// Package sqlcachesqlx is a music store on sqlx whose reads are cached by a
// comment in their statement. A row that says what it wants is all that changes.
package sqlcachesqlx

import (
	"context"
	"time"

	"github.com/jmoiron/sqlx"
	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/sqlcache"
)

// Track is a row.
type Track struct {
	ID    int64   `db:"id"`
	Title string  `db:"title"`
	Genre string  `db:"genre"`
	Price float64 `db:"price"`
}

// Sales is a row of a report.
type Sales struct {
	Genre string  `db:"genre"`
	Total float64 `db:"total"`
}

// Store is the music store.
type Store struct {
	db    *sqlx.DB
	Cache *sqlcache.Cache
}

// Open gives the store in a file, through a cache.
func Open(ctx context.Context, client *redstart.Client, file string) (*Store, error) {
	cache, err := sqlcache.New(client, sqlcache.Config{
		Database: "music", TTL: time.Minute,
		// The cache does not see through a view.
		Also: map[string][]string{"track": {"sales"}},
	})
	if err != nil {
		return nil, err
	}
	pool, err := cache.Open("sqlite", file)
	if err != nil {
		return nil, err
	}
	db := sqlx.NewDb(pool, "sqlite")
	_, err = db.ExecContext(ctx, `CREATE TABLE IF NOT EXISTS track (id integer PRIMARY KEY, title text, genre text, price real);
		CREATE VIEW IF NOT EXISTS sales AS SELECT genre, sum(price) AS total FROM track GROUP BY genre`)
	return &Store{db: db, Cache: cache}, err
}

// Close ends the use of the file.
func (s *Store) Close() error { return s.db.Close() }

// Find gives the tracks of some genres.
func (s *Store) Find(ctx context.Context, genres ...string) (tracks []Track, err error) {
	text, args, err := sqlx.In("/* cache ttl=30s */ SELECT * FROM track WHERE genre IN (?) ORDER BY id", genres)
	if err != nil {
		return nil, err
	}
	return tracks, s.db.SelectContext(ctx, &tracks, s.db.Rebind(text), args...)
}

// Report gives the sales by genre.
func (s *Store) Report(ctx context.Context) (sales []Sales, err error) {
	return sales, s.db.SelectContext(ctx, &sales, "/* cache ttl=5m */ SELECT * FROM sales ORDER BY genre")
}

// Add adds tracks.
func (s *Store) Add(ctx context.Context, tracks ...Track) error {
	_, err := s.db.NamedExecContext(ctx, "INSERT INTO track (title, genre, price) VALUES (:title, :genre, :price)", tracks)
	return err
}
