package ratelimit

import (
	"context"
	_ "embed"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/redis/rueidis"

	"github.com/redstart-go/redstart/cmd/internal/chart"
	"github.com/redstart-go/redstart/cmd/internal/lab"
)

// getIncr is the limit as tutorials print it, line by line:
//
//	key = f"rate_limit:{user}:{now // window * window}"
//	count = redis.get(key)
//	if count is not None and int(count) >= limit: return False
//	redis.pipeline().incr(key).expire(key, window).execute()
//	return True
func getIncr() recipe {
	return recipe{
		name: "get/incr",
		tone: chart.First,
		about: "A counter for each client and window: GET, compare, and if there is room INCR and EXPIRE. All who look before the first has counted " +
			"get in. And a window knows nothing of the one before: what it may grant at its end the next may grant again at once.",
		open: func(_ context.Context, s stand) (limiter, error) {
			c, err := lab.PlainClient(s.url)
			if err != nil {
				return nil, fmt.Errorf("connect the recipe: %w", err)
			}
			return &counter{stand: s, client: c}, nil
		},
	}
}

type counter struct {
	stand
	client rueidis.Client

	mu   sync.Mutex
	made []string // one a client and window
}

func (c *counter) Take(ctx context.Context, id string) (verdict, error) {
	key := fmt.Sprintf("%s:rate_limit:%s:%d", c.namespace, id, time.Now().Truncate(c.per).UnixMilli())
	n, err := c.client.Do(ctx, c.client.B().Get().Key(key).Build()).AsInt64()
	switch {
	case err != nil && !rueidis.IsRedisNil(err):
		return verdict{}, err
	case n >= int64(c.limit):
		return verdict{}, nil
	}
	replies := c.client.DoMulti(ctx,
		c.client.B().Incr().Key(key).Build(),
		c.client.B().Pexpire().Key(key).Milliseconds(c.per.Milliseconds()).Build())
	n, err = replies[0].AsInt64()
	if n == 1 {
		c.mu.Lock()
		c.made = append(c.made, key)
		c.mu.Unlock()
	}
	return verdict{granted: err == nil}, err
}

func (c *counter) Keys([]string) []string { return c.made }

func (c *counter) Close() { c.client.Close() }

//go:embed lua/counter.lua
var counterText string

// luaCounter is the same as the script that is printed as its cure.
func luaCounter() recipe {
	return recipe{
		name: "counter in Lua",
		tone: chart.Second,
		about: "The same in one script: GET, SETEX when there is nothing, compare, INCR. Nobody gets in between, and a client's window begins with its " +
			"first request. That one window knows nothing of the one before is as it was.",
		open: func(_ context.Context, s stand) (limiter, error) {
			c, err := lab.PlainClient(s.url)
			if err != nil {
				return nil, fmt.Errorf("connect the recipe: %w", err)
			}
			return &scripted{stand: s, client: c, script: rueidis.NewLuaScript(counterText)}, nil
		},
	}
}

type scripted struct {
	stand
	client rueidis.Client
	script *rueidis.Lua
}

func (s *scripted) key(id string) string { return s.namespace + ":rate_limit:" + id }

func (s *scripted) Take(ctx context.Context, id string) (verdict, error) {
	n, err := s.script.Exec(ctx, s.client, []string{s.key(id)},
		[]string{strconv.Itoa(s.limit), strconv.FormatInt(s.per.Milliseconds(), 10)}).AsInt64()
	return verdict{granted: err == nil && n == 1}, err
}

func (s *scripted) Keys(ids []string) []string {
	out := make([]string, len(ids))
	for i, id := range ids {
		out[i] = s.key(id)
	}
	return out
}

func (s *scripted) Close() { s.client.Close() }
