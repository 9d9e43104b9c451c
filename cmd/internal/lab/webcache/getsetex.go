package webcache

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/redis/rueidis"

	"github.com/redstart-go/redstart/cmd/internal/chart"
	"github.com/redstart-go/redstart/cmd/internal/lab"
	"github.com/redstart-go/redstart/cmd/internal/source"
)

// getSetex is cache-aside as tutorials print it, line by line:
//
//	cached = redis.get(key)
//	if cached: return deserialize(cached)
//	data = db.query(...)
//	redis.setex(key, TTL, serialize(data))
//	return data
func getSetex() recipe {
	return recipe{
		name: "get/setex",
		tone: chart.First,
		about: "GET; on a miss query the database, SETEX, return. Everyone who misses queries. A slow query writes its old value after the " +
			"row was changed and the key deleted, and every reader gets it until it expires.",
		open: func(_ context.Context, s stand) (contestant, error) {
			p, err := newPlain(s)
			return &aside{p}, err
		},
	}
}

type aside struct{ *plain }

func (a *aside) Read(ctx context.Context, id string) (source.Row, origin, error) {
	key := a.key(id)
	row, ok, err := a.get(ctx, key)
	if err != nil || ok {
		return row, fromServer, err
	}
	row, err = a.load(ctx, id)
	return row, fromSource, err
}

func (a *aside) Keys(id string) []string { return []string{a.key(id)} }

// plain is what all recipes are made of: a plain client, JSON, keys by format string.
type plain struct {
	stand
	client rueidis.Client
}

func newPlain(s stand) (*plain, error) {
	c, err := lab.PlainClient(s.url)
	if err != nil {
		return nil, fmt.Errorf("connect the recipe: %w", err)
	}
	return &plain{stand: s, client: c}, nil
}

func (p *plain) key(id string) string { return fmt.Sprintf("%s:row:%s", p.namespace, id) }

func (p *plain) get(ctx context.Context, key string) (row source.Row, ok bool, err error) {
	raw, err := p.client.Do(ctx, p.client.B().Get().Key(key).Build()).AsBytes()
	switch {
	case rueidis.IsRedisNil(err), err == nil && len(raw) == 0:
		return row, false, nil
	case err != nil:
		return row, false, err
	}
	if err := json.Unmarshal(raw, &row); err != nil {
		return row, false, err
	}
	return row, true, nil
}

// load queries the database and caches what it says.
func (p *plain) load(ctx context.Context, id string) (source.Row, error) {
	row, err := p.source.Load(ctx, id)
	if err != nil {
		return row, err
	}
	return row, p.setex(ctx, p.key(id), row)
}

func (p *plain) setex(ctx context.Context, key string, row source.Row) error {
	raw, err := json.Marshal(row)
	if err != nil {
		return err
	}
	return p.client.Do(ctx, p.client.B().Setex().Key(key).Seconds(int64(p.ttl/time.Second)).Value(rueidis.BinaryString(raw)).Build()).Error()
}

func (p *plain) Invalidate(ctx context.Context, id string) error {
	return p.client.Do(ctx, p.client.B().Del().Key(p.key(id)).Build()).Error()
}

func (p *plain) Close() { p.client.Close() }
