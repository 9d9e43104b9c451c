package webcache

import (
	"context"
	"errors"
	"time"

	"github.com/redstart-go/redstart/cmd/internal/chart"
	"github.com/redstart-go/redstart/cmd/internal/lab"
	"github.com/redstart-go/redstart/cmd/internal/source"
)

// contestant is one instance of a service that reads rows through a cache. It is safe for use by many goroutines.
type contestant interface {
	// Read returns the row of a key, from the cache or else from the source, and where its first look found it.
	Read(ctx context.Context, key string) (source.Row, origin, error)
	// Invalidate makes the cache forget a key. Nil means: it is gone.
	Invalidate(ctx context.Context, key string) error
	// Keys are the Redis keys that Read may have made for a key.
	Keys(key string) []string
	// Close ends it, and with it what it still does.
	Close()
}

// origin is where a row came from.
type origin int

const (
	fromSource origin = iota // the first look into the cache found nothing
	fromServer
	fromNear // the process's own memory
)

// recipe is a way of reading through a cache.
type recipe struct {
	name  string
	about string
	tone  chart.Tone
	// word is what it promises of stale values; nil: nothing.
	word *word
	open func(ctx context.Context, s stand) (contestant, error)
}

// word is a promise: the instance that invalidated reads nothing older from then on, the others at most for so long.
type word struct{ lag time.Duration }

// broken tells whether a stale read breaks it.
func (w *word) broken(r call) bool { return w != nil && r.stale && (r.own || r.staleFor > w.lag) }

// stand is what a contestant gets to work with.
type stand struct {
	url, namespace string
	source         *source.Source
	ttl            time.Duration
}

// gather opens n instances of the recipe.
func (r recipe) gather(ctx context.Context, s stand, n int) (lab.Team[contestant], error) {
	return lab.Gather(n, func() (contestant, error) { return r.open(ctx, s) })
}

// errWrongRow is a read that gave another key's row: no recipe should ever do it, and the lab would see it.
var errWrongRow = errors.New("the row of another key")
