// Package sqlcachesqlx is a music store on sqlx whose reads are cached by package
// sqlcache: the statements are written by hand, so each says in a comment whether
// it may be cached, for how long, and under which tags. sqlx is given a *sql.DB
// and does not know of the cache.
package sqlcachesqlx

import (
	"context"
	"fmt"
	"strconv"

	"github.com/jmoiron/sqlx"
	_ "modernc.org/sqlite" // the driver beneath

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/sqlcache"
)

// Track is what the store shows of a track.
type Track struct {
	ID    int64  `db:"id"`
	Name  string `db:"name"`
	Album string `db:"album"`
	Cents int64  `db:"cents"`
}

// Store is the music store.
type Store struct{ db *sqlx.DB }

// Open opens the store's database, through the cache.
func Open(client *redstart.Client, dsn string) (*Store, error) {
	cached, err := sqlcache.New(client, sqlcache.Config{Database: "music", Dialect: sqlcache.SQLite})
	if err != nil {
		return nil, err
	}
	db, err := cached.Open("sqlite", dsn)
	if err != nil {
		return nil, err
	}
	return &Store{sqlx.NewDb(db, "sqlite")}, nil
}

// Close closes the database.
func (s *Store) Close() error { return s.db.Close() }

// Prepare makes the tables.
func (s *Store) Prepare(ctx context.Context) error {
	_, err := s.db.ExecContext(ctx, `
		create table if not exists album (id integer primary key, title text not null);
		create table if not exists track (id integer primary key, album integer not null, name text not null, cents integer not null)`)
	return err
}

// Add adds an album and its tracks.
func (s *Store) Add(ctx context.Context, title string, tracks ...Track) error {
	tx, err := s.db.BeginTxx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // after a commit it says that there is nothing to do
	var album int64
	if err := tx.GetContext(ctx, &album, `insert into album (title) values (?) returning id`, title); err != nil {
		return fmt.Errorf("add %q: %w", title, err)
	}
	for _, t := range tracks {
		t.Album = strconv.FormatInt(album, 10)
		if _, err := tx.NamedExecContext(ctx, `insert into track (id, album, name, cents) values (:id, :album, :name, :cents)`, t); err != nil {
			return fmt.Errorf("add %q: %w", t.Name, err)
		}
	}
	return tx.Commit()
}

// Cheapest gives the cheapest tracks. The tags are the tables of the statement.
func (s *Store) Cheapest(ctx context.Context, n int) (tracks []Track, err error) {
	err = s.db.SelectContext(ctx, &tracks, `/* cache ttl=1m */
		select t.id, t.name, a.title as album, t.cents from track t join album a on a.id = t.album
		order by t.cents, t.id limit ?`, n)
	return tracks, err
}

// Titles gives the albums' titles, under a tag of its own that only Retitle ends.
func (s *Store) Titles(ctx context.Context) (titles []string, err error) {
	err = s.db.SelectContext(ctx, &titles, `/* cache ttl=1h tags=album-titles */ select title from album order by title`)
	return titles, err
}

// Reprice sets prices in one transaction. What it reads in it after its first
// write comes from the database.
func (s *Store) Reprice(ctx context.Context, prices map[int64]int64) error {
	tx, err := s.db.BeginTxx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // after a commit it says that there is nothing to do
	for id, cents := range prices {
		if _, err := tx.ExecContext(ctx, `update track set cents = ? where id = ?`, cents, id); err != nil {
			return err
		}
		var now int64
		if err := tx.GetContext(ctx, &now, `/* cache ttl=1m */ select cents from track where id = ?`, id); err != nil {
			return fmt.Errorf("reprice track %d: %w", id, err)
		}
		if now != cents {
			return fmt.Errorf("track %d costs %d, and not %d", id, now, cents)
		}
	}
	return tx.Commit()
}

// Retitle gives an album another title.
func (s *Store) Retitle(ctx context.Context, old, title string) error {
	_, err := s.db.ExecContext(ctx, `/* cache invalidates=album-titles */ update album set title = ? where title = ?`, title, old)
	return err
}
