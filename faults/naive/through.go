package naive

import (
	"context"
	"time"
)

// CacheThenDatabase is write-through as tutorials have it: the new value goes into
// the cache, then into the database; whatever the database says, the cache has it.
type CacheThenDatabase struct {
	CacheAside

	Store func(ctx context.Context, key, value string) error
}

// Write is the recipe.
func (c CacheThenDatabase) Write(ctx context.Context, key, value string) error {
	seconds := max(int64(c.TTL/time.Second), 1)
	if err := c.Client.Do(ctx, c.Client.B().Setex().Key(key).Seconds(seconds).Value(value).Build()).Error(); err != nil {
		return err
	}
	return c.Store(ctx, key, value)
}
