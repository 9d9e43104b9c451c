package sessions

import (
	"context"
	"fmt"

	"github.com/redstart-go/redstart/cmd/internal/chart"
	"github.com/redstart-go/redstart/cmd/internal/database"
)

// keeper is one process that keeps sessions, and brings them to the database. It is safe for use by many goroutines.
type keeper interface {
	// Save stores a session. Nil: the caller may tell his user so.
	Save(ctx context.Context, s Session) error
	// End removes one.
	End(ctx context.Context, id string) error
	// Drain waits until the database has everything that it will get from this process.
	Drain(ctx context.Context) error
	// Close ends it in good order.
	Close()
}

// recipe is a way of keeping sessions.
type recipe struct {
	name  string
	about string
	tone  chart.Tone
	// promises: it says that nothing acknowledged is lost, or written twice.
	promises bool
	open     func(ctx context.Context, s stand) (keeper, error)
	// keys are the Redis keys that it may have made for sessions of these names.
	keys func(namespace string, ids []string) []string
}

// stand is what a keeper gets to work with.
type stand struct {
	URL       string         `json:"url"`
	Namespace string         `json:"namespace"`
	Place     database.Place `json:"place"`
}

func recipes() []recipe { return []recipe{queueRecipe(), ours()} }

// all has the writer beside whom they are measured, too.
func all() []recipe { return append(recipes(), directRecipe()) }

// named finds a recipe.
func named(name string) (recipe, error) {
	for _, r := range all() {
		if r.name == name {
			return r, nil
		}
	}
	return recipe{}, fmt.Errorf("no recipe %q", name)
}
