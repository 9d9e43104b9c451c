package besidegoredis

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	oldcache "github.com/go-redis/cache/v9"
	"github.com/redis/go-redis/v9"
	"github.com/redis/rueidis"
)

// Product is what the catalog caches.
type Product struct {
	ID    int64  `json:"id"`
	Name  string `json:"name"`
	Cents int64  `json:"cents"`
}

// ttl is how long an entry lives, whoever writes it.
const ttl = 10 * time.Minute

// Old is the cache of before: how it reads and writes entries, and how
// Redstart is to read them.
type Old interface {
	// Get is an old reader.
	Get(ctx context.Context, key string) (Product, error)
	// Set writes an entry in the old form.
	Set(ctx context.Context, key string, p Product) error
	// Adopt decodes an entry of the old form; it becomes cache.Config.Adopt.
	Adopt(raw []byte) (Product, error)
}

// PlainJSON is the cache written by hand: JSON by SET.
type PlainJSON struct{ Redis *redis.Client }

// Get is GET and Unmarshal.
func (o PlainJSON) Get(ctx context.Context, key string) (p Product, err error) {
	raw, err := o.Redis.Get(ctx, key).Bytes()
	if err != nil {
		return p, err
	}
	err = json.Unmarshal(raw, &p)
	return p, err
}

// Set is Marshal and SET.
func (o PlainJSON) Set(ctx context.Context, key string, p Product) error {
	raw, err := json.Marshal(p)
	if err != nil {
		return err
	}
	return o.Redis.Set(ctx, key, raw, ttl).Err()
}

// Adopt reads what Set wrote.
func (PlainJSON) Adopt(raw []byte) (p Product, err error) {
	err = json.Unmarshal(raw, &p)
	return whole(p, err)
}

// GoRedisCache is the cache of github.com/go-redis/cache: MessagePack,
// compressed when long.
type GoRedisCache struct{ Cache *oldcache.Cache }

// Get is Cache.Get.
func (o GoRedisCache) Get(ctx context.Context, key string) (p Product, err error) {
	err = o.Cache.Get(ctx, key, &p)
	return p, err
}

// Set is Cache.Set.
func (o GoRedisCache) Set(ctx context.Context, key string, p Product) error {
	return o.Cache.Set(&oldcache.Item{Ctx: ctx, Key: key, Value: p, TTL: ttl})
}

// Adopt reads what Set wrote. Unmarshal needs no server.
func (o GoRedisCache) Adopt(raw []byte) (p Product, err error) {
	err = o.Cache.Unmarshal(raw, &p)
	return whole(p, err)
}

// whole refuses what decodes without being a product: an empty string,
// "null", "{}" and another thing's fields decode without an error. The miss that it
// makes of them is safe, the empty product would be served.
func whole(p Product, err error) (Product, error) {
	if err == nil && p.ID == 0 {
		err = errNoProduct
	}
	return p, err
}

var errNoProduct = errors.New("besidegoredis: not a product")

// Missing reports whether err says that a key is not there, whichever client
// said it. errors.Is with redis.Nil alone takes Redstart's nil for a failure;
// where calls of both clients end in one place, ask this.
func Missing(err error) bool {
	return errors.Is(err, redis.Nil) || errors.Is(err, rueidis.Nil) || errors.Is(err, oldcache.ErrCacheMiss)
}
