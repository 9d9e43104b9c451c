package ratelimit

import (
	"context"
	"fmt"
	"time"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/key"
	"github.com/redstart-go/redstart/limit"

	"github.com/redstart-go/redstart/cmd/internal/chart"
)

// timeout is ten times the default: that the machine of the lab is busy is not what the lab is about.
const timeout = time.Second

// ours is Redstart's limiter as its documentation shows it, with its defaults.
func ours() recipe {
	return recipe{
		name:     "redstart",
		tone:     chart.Ours,
		promises: true,
		about: "GCRA: one number for each client, the time at which its allowance is whole again, decided by one script on the server's clock. There are no " +
			"windows, so there is no edge. Who was denied is told when to come back, and until then a process answers him without asking.",
		open: func(ctx context.Context, s stand) (limiter, error) {
			const template = "limit:{<id>}"
			t, err := key.Parse(s.namespace + ":" + template)
			if err != nil {
				return nil, err
			}
			client, err := redstart.Open(ctx, s.url, redstart.Config{Namespace: s.namespace, ClientName: "redstart-lab"})
			if err != nil {
				return nil, err
			}
			l, err := limit.New(client, limit.Config{Key: template, Limits: []limit.Limit{{Rate: int64(s.limit), Per: s.per}}, Timeout: timeout})
			if err != nil {
				client.Close()
				return nil, fmt.Errorf("make the limiter: %w", err)
			}
			return &bucket{client: client, limiter: l, template: t}, nil
		},
	}
}

type bucket struct {
	client   *redstart.Client
	limiter  *limit.Limiter
	template *key.Template
}

// Take takes one. What was let through because the server did not answer is an error here: that is no decision of the limit.
func (b *bucket) Take(ctx context.Context, id string) (verdict, error) {
	d, err := b.limiter.Take(ctx, id, 1)
	if err == nil {
		err = d.Err
	}
	return verdict{granted: d.Allowed, free: d.Source == limit.SourceDenied}, err
}

func (b *bucket) Keys(ids []string) []string {
	var out []string
	for _, id := range ids {
		if k, err := b.template.Key(id); err == nil { // one that cannot be built was not made either
			out = append(out, k)
		}
	}
	return out
}

func (b *bucket) Close() { b.client.Close() }
