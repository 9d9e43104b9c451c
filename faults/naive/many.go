package naive

import (
	"context"
	"time"

	"github.com/redis/rueidis"
)

// Many is: MGET, then one query for what this caller misses, then a pipeline of
// SETEX.
type Many struct {
	Client rueidis.Client
	TTL    time.Duration
	Load   func(ctx context.Context, keys []string) (map[string]string, error) // one query; a row it does not give is not there
}

// GetMany is the recipe; what is not in the map does not exist.
func (m Many) GetMany(ctx context.Context, keys []string) (map[string]string, error) {
	cached, err := m.Client.Do(ctx, m.Client.B().Mget().Key(keys...).Build()).ToArray()
	if err != nil {
		return nil, err
	}
	values := map[string]string{}
	var missing []string
	for i, c := range cached {
		if v, err := c.ToString(); err == nil && v != "" {
			values[keys[i]] = v
		} else {
			missing = append(missing, keys[i])
		}
	}
	if len(missing) == 0 {
		return values, nil
	}
	rows, err := m.Load(ctx, missing)
	if err != nil {
		return nil, err
	}
	seconds := max(int64(m.TTL/time.Second), 1)
	var pipeline rueidis.Commands
	for key, v := range rows {
		values[key] = v
		pipeline = append(pipeline, m.Client.B().Setex().Key(key).Seconds(seconds).Value(v).Build())
	}
	for _, r := range m.Client.DoMulti(ctx, pipeline...) {
		if err := r.Error(); err != nil {
			return nil, err
		}
	}
	return values, nil
}

// Invalidate deletes the key.
func (m Many) Invalidate(ctx context.Context, key string) error {
	return m.Client.Do(ctx, m.Client.B().Del().Key(key).Build()).Error()
}
