package lab

import (
	"context"
	"errors"
	"time"

	"github.com/redstart-go/redstart/cmd/internal/chart"
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

// team are several instances of one service: what is shared is only the server and the source.
type team []contestant

// gather opens n instances of the recipe.
func (r recipe) gather(ctx context.Context, s stand, n int) (team, error) {
	var t team
	for range n {
		c, err := r.open(ctx, s)
		if err != nil {
			t.close()
			return nil, err
		}
		t = append(t, c)
	}
	return t, nil
}

// of gives the i-th caller its instance.
func (t team) of(i int) contestant { return t[i%len(t)] }

func (t team) close() {
	for _, c := range t {
		c.Close()
	}
}

// errWrongRow is a read that gave another key's row: no recipe should ever do it, and the lab would see it.
var errWrongRow = errors.New("the row of another key")
