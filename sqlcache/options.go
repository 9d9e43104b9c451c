package sqlcache

import (
	"context"
	"errors"
	"time"

	"github.com/redstart-go/redstart/internal/sqltext"
)

// wish is what a statement's comment or context asks of the cache.
type wish struct {
	ttl  time.Duration // zero: as configured
	tags []string      // sorted
}

type (
	wishKey struct{}
	tagsKey struct{}
)

// asked is a wish in a context; bad says why it cannot be granted.
type asked struct {
	wish
	bad error
}

// With lets the cache answer every statement of this context that can be cached,
// as the comment /* cache ttl=… tags=… */ does for one: for ORMs and code
// generators that cannot comment. Without tags a result carries those of the
// tables that the statement names. A ttl that is not positive fails the
// statements. What a comment says goes before it.
func With(ctx context.Context, ttl time.Duration, tags ...string) context.Context {
	a := &asked{wish: wish{ttl: ttl}}
	if ttl <= 0 {
		a.bad = errors.New("With: the TTL must be positive")
	}
	for _, t := range tags {
		if a.bad == nil {
			a.bad = sqltext.CheckTag(t)
		}
	}
	a.tags = sqltext.Fold(tags)
	return context.WithValue(ctx, wishKey{}, a)
}

// Invalidating lets every statement of this context that writes end what carries
// these tags too, as the comment /* cache invalidates=… */ does for one.
func Invalidating(ctx context.Context, tags ...string) context.Context {
	return context.WithValue(ctx, tagsKey{}, sqltext.Fold(append(tags, endedBy(ctx)...)))
}

// endedBy are the tags of Invalidating.
func endedBy(ctx context.Context) []string {
	tags, _ := ctx.Value(tagsKey{}).([]string)
	return tags
}
