// Package sqlcachegorm is a music store on GORM whose reads are cached: GORM gets
// a *sql.DB that passes the cache, and knows nothing of it. A read asks for the
// cache by its context, for GORM's statements have no comments; what GORM writes
// ends what was read of the same tables, alone and in its transactions.
package sqlcachegorm

import (
	"context"
	"time"

	"github.com/glebarez/sqlite"
	"gorm.io/gorm"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/sqlcache"
)

// Album has tracks.
type Album struct {
	ID     uint
	Title  string
	Tracks []Track
}

// Track belongs to an album.
type Track struct {
	ID      uint
	AlbumID uint
	Title   string
	Price   float64
}

// Store is the music store.
type Store struct {
	db    *gorm.DB
	Cache *sqlcache.Cache
}

// Open gives the store in a file, through a cache.
func Open(client *redstart.Client, file string) (*Store, error) {
	cache, err := sqlcache.New(client, sqlcache.Config{Database: "music", TTL: time.Minute})
	if err != nil {
		return nil, err
	}
	pool, err := cache.Open("sqlite", file)
	if err != nil {
		return nil, err
	}
	db, err := gorm.Open(sqlite.Dialector{Conn: pool}, &gorm.Config{})
	if err != nil {
		return nil, err
	}
	return &Store{db: db, Cache: cache}, db.AutoMigrate(&Album{}, &Track{})
}

// Close ends the use of the file.
func (s *Store) Close() error {
	pool, err := s.db.DB()
	if err != nil {
		return err
	}
	return pool.Close()
}

// Album gives an album with its tracks: two statements of GORM's, each of which
// may come from the cache.
func (s *Store) Album(ctx context.Context, id uint) (a Album, err error) {
	err = s.db.WithContext(sqlcache.With(ctx, time.Minute)).Preload("Tracks").First(&a, id).Error
	return a, err
}

// Add adds an album.
func (s *Store) Add(ctx context.Context, a *Album) error {
	return s.db.WithContext(ctx).Create(a).Error
}

// Discount lowers the prices of an album's tracks, unless check refuses what they
// then are: in one transaction, which sees its own writes.
func (s *Store) Discount(ctx context.Context, id uint, factor float64, check func(tracks []Track) error) error {
	return s.db.WithContext(ctx).Transaction(func(tx *gorm.DB) error {
		if err := tx.Model(&Track{}).Where("album_id = ?", id).Update("price", gorm.Expr("price * ?", factor)).Error; err != nil {
			return err
		}
		var tracks []Track
		if err := tx.WithContext(sqlcache.With(ctx, time.Minute)).Where("album_id = ?", id).Find(&tracks).Error; err != nil {
			return err
		}
		return check(tracks)
	})
}
