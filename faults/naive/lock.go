package naive

import (
	"context"
	"time"

	"github.com/redis/rueidis"
)

// Lock is: SET key NX EX; who does not get it sleeps 100 ms and tries again; who
// is done deletes the key, without looking whose it is.
type Lock struct {
	Client rueidis.Client
	Expiry time.Duration // in seconds
	Pause  time.Duration // 100 ms in the recipe
}

// Acquire is the recipe. It waits until ctx ends.
func (l Lock) Acquire(ctx context.Context, key string) error {
	for {
		err := l.Client.Do(ctx, l.Client.B().Set().Key(key).Value("1").Nx().ExSeconds(int64(l.Expiry/time.Second)).Build()).Error()
		if err == nil || !rueidis.IsRedisNil(err) {
			return err
		}
		select {
		case <-time.After(l.Pause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Release is the recipe.
func (l Lock) Release(ctx context.Context, key string) error {
	return l.Client.Do(ctx, l.Client.B().Del().Key(key).Build()).Error()
}

// Token is the fencing token of those who add one to the recipe: INCR.
func (l Lock) Token(ctx context.Context, key string) (int64, error) {
	return l.Client.Do(ctx, l.Client.B().Incr().Key(key+":token").Build()).AsInt64()
}
