package naive

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/rueidis"
)

// Counter is the limit of the tutorials: GET, compare, INCR, and EXPIRE when the
// key is new.
type Counter struct {
	Client rueidis.Client
	Limit  int64 // in each window
	Window time.Duration
}

// Take is the recipe.
func (c Counter) Take(ctx context.Context, key string) (bool, error) {
	n, err := c.Client.Do(ctx, c.Client.B().Get().Key(key).Build()).AsInt64()
	if err != nil && !rueidis.IsRedisNil(err) {
		return false, err
	}
	if n >= c.Limit {
		return false, nil
	}
	n, err = c.Client.Do(ctx, c.Client.B().Incr().Key(key).Build()).AsInt64()
	if err != nil {
		return false, err
	}
	if n == 1 {
		err = c.Client.Do(ctx, c.Client.B().Expire().Key(key).Seconds(max(int64(c.Window/time.Second), 1)).Build()).Error()
	}
	return err == nil, err
}

// ClientWindow is the fixed window whose number each client reads off its own
// clock: INCR and EXPIRE.
type ClientWindow struct {
	Counter

	Now func() time.Time
}

// Take is the recipe.
func (c ClientWindow) Take(ctx context.Context, key string) (bool, error) {
	key += ":" + strconv.FormatInt(c.Now().UnixNano()/int64(c.Window), 10)
	n, err := c.Client.Do(ctx, c.Client.B().Incr().Key(key).Build()).AsInt64()
	if err != nil {
		return false, err
	}
	err = c.Client.Do(ctx, c.Client.B().Expire().Key(key).Seconds(max(int64(c.Window/time.Second), 1)).Build()).Error()
	return err == nil && n <= c.Limit, err
}

// SortedLog is the sliding log in a sorted set by the client's clock: remove what
// is old, add this one, count. What is denied was added too.
type SortedLog struct{ ClientWindow }

// Take is the recipe.
func (s SortedLog) Take(ctx context.Context, key string) (bool, error) {
	now := s.Now().UnixNano()
	b := s.Client.B
	replies := s.Client.DoMulti(ctx,
		b().Zremrangebyscore().Key(key).Min("0").Max(strconv.FormatInt(now-int64(s.Window), 10)).Build(),
		b().Zadd().Key(key).ScoreMember().ScoreMember(float64(now), strconv.FormatInt(now, 10)).Build(),
		b().Zcard().Key(key).Build(),
		b().Expire().Key(key).Seconds(max(int64(s.Window/time.Second), 1)).Build())
	n, err := replies[2].AsInt64()
	return err == nil && n <= s.Limit, err
}

// InTurn asks one limit after the other, until one denies.
type InTurn []Counter

// Take is the recipe.
func (all InTurn) Take(ctx context.Context, key string) (bool, error) {
	for i, c := range all {
		if ok, err := c.Take(ctx, fmt.Sprint(key, ":", i)); !ok {
			return false, err
		}
	}
	return true, nil
}
