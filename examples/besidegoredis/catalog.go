package besidegoredis

import (
	"context"
	"fmt"

	"github.com/redis/go-redis/v9"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/cache"
)

// Step is how far this process has moved.
type Step uint8

const (
	// ReadBoth reads entries of both forms, and fills as ever.
	ReadBoth Step = iota
	// FillNew leaves reading, loading and filling to Redstart.
	FillNew
)

// Source is where products come from: a database. For a product that does not
// exist, Product gives cache.ErrNotFound.
type Source interface {
	Product(ctx context.Context, id int64) (Product, error)
	Rename(ctx context.Context, id int64, name string) error
	Reprice(ctx context.Context, id, cents int64) error
}

// Config is what a Catalog works with; every field is needed, but for Step.
type Config struct {
	Redis  *redis.Client // the client of before
	Old    Old           // the cache of before
	Source Source
	Step   Step // default: ReadBoth
}

// Catalog reads products through one cache that two clients share.
type Catalog struct {
	cfg      Config
	products *cache.Cache[int64, Product]
}

// New makes a catalog; client has the Namespace "shop".
func New(client *redstart.Client, cfg Config) (*Catalog, error) {
	products, err := cache.New(client, cache.Config[int64, Product]{
		Key:   "product:<id>",
		TTL:   ttl,
		Load:  cfg.Source.Product,
		Adopt: cfg.Old.Adopt,
	})
	if err != nil {
		return nil, err
	}
	return &Catalog{cfg: cfg, products: products}, nil
}

// Key is a product's key, as the code of before builds it.
func Key(id int64) string { return fmt.Sprintf("shop:product:%d", id) }

// Product gives a product; cache.ErrNotFound says that there is none.
func (c *Catalog) Product(ctx context.Context, id int64) (Product, error) {
	if c.cfg.Step == FillNew {
		return c.products.Get(ctx, id)
	}
	if p, cached, err := c.products.Peek(ctx, id); cached {
		return p, err
	}
	// The recipe of before: a failed GET is a miss, a failed SET costs the next reader a load.
	p, err := c.cfg.Source.Product(ctx, id)
	if err == nil {
		_ = c.cfg.Old.Set(ctx, Key(id), p)
	}
	return p, err
}

// Rename has not moved: it invalidates with go-redis.
func (c *Catalog) Rename(ctx context.Context, id int64, name string) error {
	if err := c.cfg.Source.Rename(ctx, id, name); err != nil {
		return err
	}
	return c.cfg.Redis.Del(ctx, Key(id)).Err()
}

// Reprice has moved.
func (c *Catalog) Reprice(ctx context.Context, id, cents int64) error {
	if err := c.cfg.Source.Reprice(ctx, id, cents); err != nil {
		return err
	}
	return c.products.Invalidate(ctx, id)
}
