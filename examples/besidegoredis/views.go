package besidegoredis

import (
	"context"
	"errors"
	"fmt"

	"github.com/redis/rueidis/rueidiscompat"

	"github.com/redstart-go/redstart"
)

// Views counts how often products are looked at. It was written for go-redis;
// to move it, redis.Cmdable became rueidiscompat.Cmdable and so on.
type Views struct{ redis rueidiscompat.Cmdable }

// NewViews counts through client. client.FailFast() makes views that fail at
// once while the server is away, in place of waiting for it.
func NewViews(client *redstart.Client) Views { return Views{rueidiscompat.NewAdapter(client)} }

func viewsKey(id int64) string { return fmt.Sprintf("shop:product:%d:views", id) }

// Of gives a product's views.
func (v Views) Of(ctx context.Context, id int64) (int64, error) {
	n, err := v.redis.Get(ctx, viewsKey(id)).Int64()
	if errors.Is(err, rueidiscompat.Nil) {
		return 0, nil
	}
	return n, err
}

// Add counts one view more of each product, in one round trip, and gives their
// new counts.
func (v Views) Add(ctx context.Context, ids ...int64) ([]int64, error) {
	replies := make([]*rueidiscompat.IntCmd, len(ids))
	if _, err := v.redis.Pipelined(ctx, func(p rueidiscompat.Pipeliner) error {
		for i, id := range ids {
			replies[i] = p.Incr(ctx, viewsKey(id))
		}
		return nil
	}); err != nil {
		return nil, err
	}
	counts := make([]int64, len(ids))
	for i, reply := range replies {
		counts[i] = reply.Val()
	}
	return counts, nil
}

// Merge gives the views of one product to another, both or neither.
// rueidiscompat.TxFailedErr says that the first one changed meanwhile and that
// nothing was done.
func (v Views) Merge(ctx context.Context, from, to int64) error {
	return v.redis.Watch(ctx, func(tx rueidiscompat.Tx) error {
		n, err := tx.Get(ctx, viewsKey(from)).Int64()
		if errors.Is(err, rueidiscompat.Nil) {
			return nil
		} else if err != nil {
			return err
		}
		_, err = tx.TxPipelined(ctx, func(p rueidiscompat.Pipeliner) error {
			p.IncrBy(ctx, viewsKey(to), n)
			p.Del(ctx, viewsKey(from))
			return nil
		})
		return err
	}, viewsKey(from))
}

// AddUpTo counts one view more unless there are limit already.
func (v Views) AddUpTo(ctx context.Context, id, limit int64) (int64, error) {
	return v.redis.Eval(ctx, addUpTo, []string{viewsKey(id)}, limit).Int64()
}

// KEYS[1] the count, ARGV[1] the limit; the reply is the count.
const addUpTo = `
local n = tonumber(redis.call('GET', KEYS[1]) or 0)
if n >= tonumber(ARGV[1]) then return n end
return redis.call('INCR', KEYS[1])
`
