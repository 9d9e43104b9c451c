package webcache

import (
	"context"
	"fmt"
	"time"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/cache"
	"github.com/redstart-go/redstart/key"

	"github.com/redstart-go/redstart/cmd/internal/chart"
	"github.com/redstart-go/redstart/cmd/internal/source"
)

const (
	oursName = "redstart"
	// maxStale is the near tier's default, written out because the lab holds it to it.
	maxStale = 2 * time.Second
	// nearItems is more than a trace has keys, as a rule.
	nearItems = 10_000
)

// ours is Redstart's cache as its documentation shows it, with its defaults.
func ours() recipe {
	return recipe{
		name: oursName,
		tone: chart.Ours,
		word: &word{},
		about: "One load per cold key across all instances, under a lease; the value is filled by compare-and-set, so that a load which an " +
			"invalidation overtook fills nothing. Waiters are woken. Without the server a bounded number of loads goes to the database.",
		open: openOurs(cache.Config[string, source.Row]{}),
	}
}

// oursNear keeps values in the process as well.
func oursNear() recipe {
	return recipe{
		name: oursName + " near",
		tone: chart.Ours,
		word: &word{lag: maxStale},
		about: "The same, with decoded values kept in each instance. The server tells of what changed: the instance that invalidates reads nothing " +
			"older from then on, the others until they have been told, and " + chart.Duration(maxStale) + " at most.",
		open: openOurs(cache.Config[string, source.Row]{Near: cache.Near[string, source.Row]{Items: nearItems, MaxStale: maxStale}}),
	}
}

// oursRefresh loads values ahead of their end.
func oursRefresh() recipe {
	return recipe{
		name: oursName + " refresh",
		tone: chart.Ours,
		word: &word{},
		about: "The same, and a read in the last fifth of a value's life starts a load in the background: one for all instances, whose value is " +
			"dropped when an invalidation comes between.",
		open: openOurs(cache.Config[string, source.Row]{Refresh: cache.Refresh{Fraction: refreshFraction}}),
	}
}

// openOurs makes an instance with what cfg asks for.
func openOurs(cfg cache.Config[string, source.Row]) func(context.Context, stand) (contestant, error) {
	return func(ctx context.Context, s stand) (contestant, error) {
		template, err := key.Parse(s.namespace + ":row:<id>")
		if err != nil {
			return nil, err
		}
		client, err := redstart.Open(ctx, s.url, redstart.Config{Namespace: s.namespace, ClientName: "redstart-lab"})
		if err != nil {
			return nil, err
		}
		cfg := cfg
		cfg.Key, cfg.TTL, cfg.Load = "row:<id>", s.ttl, s.source.Load
		c, err := cache.New(client, cfg)
		if err != nil {
			client.Close()
			return nil, fmt.Errorf("make the cache: %w", err)
		}
		return &cached{client: client, cache: c, template: template}, nil
	}
}

type cached struct {
	client   *redstart.Client
	cache    *cache.Cache[string, source.Row]
	template *key.Template
}

// Read is Get, which gives the value of an entry.
func (c *cached) Read(ctx context.Context, id string) (source.Row, origin, error) {
	e, err := c.cache.GetEntry(ctx, id)
	from := fromSource
	switch e.Tier {
	case cache.TierNear:
		from = fromNear
	case cache.TierRedis:
		from = fromServer
	case cache.TierSource:
	}
	return e.Value, from, err
}

func (c *cached) Invalidate(ctx context.Context, id string) error { return c.cache.Invalidate(ctx, id) }

func (c *cached) Keys(id string) []string {
	k, err := c.template.Key(id)
	if err != nil {
		return nil // a key that cannot be built was not made either
	}
	return []string{k}
}

func (c *cached) Close() { c.client.Close() }
