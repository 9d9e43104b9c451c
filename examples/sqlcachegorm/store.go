// Package sqlcachegorm is a music store on GORM whose reads are cached by package
// sqlcache. GORM is given a *sql.DB and does not know of the cache:
//
//   - a read asks for it by its context, [sqlcache.With], because GORM writes the
//     statements and no comment can be put into them;
//   - a write, of whatever kind, ends what it changes by the tables that GORM's
//     statements name, a transaction at its commit.
//
// With another database only the dialector and the driver's name change:
// postgres.New(postgres.Config{Conn: db}), and "pgx".
package sqlcachegorm

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/glebarez/sqlite" // a dialector, and the driver "sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/sqlcache"
)

// Album has tracks.
type Album struct {
	ID     int64
	Title  string
	Tracks []Track
}

// Track is one of an album's.
type Track struct {
	ID      int64
	AlbumID int64
	Name    string
	Seconds int
	Plays   int64
	Added   time.Time
}

// Store is the music store.
type Store struct {
	orm *gorm.DB
	sql *sql.DB
}

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
	orm, err := gorm.Open(sqlite.Dialector{Conn: db}, &gorm.Config{
		Logger: logger.Default.LogMode(logger.Silent), // what goes wrong, the caller is told
	})
	if err != nil {
		_ = db.Close()
		return nil, fmt.Errorf("open the store: %w", err)
	}
	return &Store{orm, db}, nil
}

// Close closes the database.
func (s *Store) Close() error { return s.sql.Close() }

// Prepare makes the tables.
func (s *Store) Prepare(ctx context.Context) error {
	return s.orm.WithContext(ctx).AutoMigrate(&Album{}, &Track{})
}

// Add adds an album with its tracks, in the transaction that GORM makes of it.
func (s *Store) Add(ctx context.Context, a *Album) error {
	return s.orm.WithContext(ctx).Create(a).Error
}

// Album gives an album with its tracks: two statements, each cached under the
// table that it names.
func (s *Store) Album(ctx context.Context, id int64) (a Album, err error) {
	ctx = sqlcache.With(ctx, 10*time.Minute)
	err = s.orm.WithContext(ctx).Preload("Tracks", func(q *gorm.DB) *gorm.DB { return q.Order("id") }).First(&a, id).Error
	return a, err
}

// Longest gives the longest tracks.
func (s *Store) Longest(ctx context.Context, n int) (tracks []Track, err error) {
	err = s.orm.WithContext(sqlcache.With(ctx, time.Minute)).Order("seconds desc, id").Limit(n).Find(&tracks).Error
	return tracks, err
}

// Played counts what was played; all of it or, after an error, none.
func (s *Store) Played(ctx context.Context, ids ...int64) error {
	return s.orm.WithContext(ctx).Transaction(func(tx *gorm.DB) error {
		for _, id := range ids {
			r := tx.Model(&Track{}).Where("id = ?", id).Update("plays", gorm.Expr("plays + 1"))
			if r.Error != nil {
				return r.Error
			}
			if r.RowsAffected == 0 {
				return fmt.Errorf("play track %d: %w", id, gorm.ErrRecordNotFound)
			}
		}
		return nil
	})
}

// Rename gives an album another title.
func (s *Store) Rename(ctx context.Context, id int64, title string) error {
	return s.orm.WithContext(ctx).Model(&Album{ID: id}).Update("title", title).Error
}
