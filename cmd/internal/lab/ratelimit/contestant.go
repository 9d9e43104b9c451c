package ratelimit

import (
	"context"
	"time"

	"github.com/redstart-go/redstart/cmd/internal/chart"
	"github.com/redstart-go/redstart/cmd/internal/lab"
)

// limiter is one instance of a service that lets requests through. It is safe for use by many goroutines.
type limiter interface {
	// Take asks for one request of a client.
	Take(ctx context.Context, id string) (verdict, error)
	// Keys are the Redis keys that Take may have made for these clients.
	Keys(ids []string) []string
	// Close ends it.
	Close()
}

// verdict is what came of a request.
type verdict struct {
	granted bool
	// free: nobody was asked.
	free bool
}

// recipe is a way of limiting.
type recipe struct {
	name  string
	about string
	tone  chart.Tone
	// promises: it says that nothing passes beyond the limit.
	promises bool
	open     func(ctx context.Context, s stand) (limiter, error)
}

// stand is what a limiter gets to work with: so many requests of a client in each span of time.
type stand struct {
	url, namespace string
	limit          int
	per            time.Duration
}

func (r recipe) gather(ctx context.Context, s stand, n int) (lab.Team[limiter], error) {
	return lab.Gather(n, func() (limiter, error) { return r.open(ctx, s) })
}

// recipes are the contestants: the recipes as printed, then ours.
func recipes() []recipe { return []recipe{getIncr(), luaCounter(), ours()} }
