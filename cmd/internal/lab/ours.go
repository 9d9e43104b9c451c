package lab

import (
	"context"
	"fmt"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/cache"
	"github.com/redstart-go/redstart/key"

	"github.com/redstart-go/redstart/cmd/internal/chart"
	"github.com/redstart-go/redstart/cmd/internal/source"
)

// ours is Redstart's cache as its documentation shows it, with its defaults.
func ours() recipe {
	return recipe{
		name: "redstart",
		tone: chart.Ours,
		about: "One load per cold key across all instances, under a lease; the value is filled by compare-and-set, so that a load which an " +
			"invalidation overtook fills nothing. Waiters are woken. Without the server a bounded number of loads goes to the database.",
		open: func(ctx context.Context, s stand) (contestant, error) {
			template, err := key.Parse(s.namespace + ":row:<id>")
			if err != nil {
				return nil, err
			}
			client, err := redstart.Open(ctx, s.url, redstart.Config{Namespace: s.namespace, ClientName: "redstart-lab"})
			if err != nil {
				return nil, err
			}
			c, err := cache.New(client, cache.Config[string, source.Row]{Key: "row:<id>", TTL: s.ttl, Load: s.source.Load})
			if err != nil {
				client.Close()
				return nil, fmt.Errorf("make the cache: %w", err)
			}
			return &cached{client: client, cache: c, template: template}, nil
		},
	}
}

type cached struct {
	client   *redstart.Client
	cache    *cache.Cache[string, source.Row]
	template *key.Template
}

func (c *cached) Read(ctx context.Context, id string) (source.Row, error) {
	return c.cache.Get(ctx, id)
}

func (c *cached) Invalidate(ctx context.Context, id string) error { return c.cache.Invalidate(ctx, id) }

func (c *cached) Hits() int { return int(c.cache.Stats().Hits) }

func (c *cached) Keys(id string) []string {
	k, err := c.template.Key(id)
	if err != nil {
		return nil // a key that cannot be built was not made either
	}
	return []string{k}
}

func (c *cached) Close() { c.client.Close() }
