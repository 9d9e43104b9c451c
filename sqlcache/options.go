package sqlcache

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
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
			a.bad = checkTag(t)
		}
	}
	a.tags = fold(tags)
	return context.WithValue(ctx, wishKey{}, a)
}

// Invalidating lets every statement of this context that writes end what carries
// these tags too, as the comment /* cache invalidates=… */ does for one.
func Invalidating(ctx context.Context, tags ...string) context.Context {
	return context.WithValue(ctx, tagsKey{}, fold(append(tags, endedBy(ctx)...)))
}

// endedBy are the tags of Invalidating.
func endedBy(ctx context.Context) []string {
	tags, _ := ctx.Value(tagsKey{}).([]string)
	return tags
}

// fold gives tags as they are compared: in lower case, sorted, each once.
func fold(tags []string) []string {
	if len(tags) == 0 {
		return nil
	}
	folded := make([]string, 0, len(tags))
	for _, t := range tags {
		if t != "" {
			folded = append(folded, strings.ToLower(t))
		}
	}
	slices.Sort(folded)
	return slices.Compact(folded)
}

func checkTag(t string) error {
	if t == "" || strings.ContainsAny(t, "\x00 ,\t\r\n") {
		return fmt.Errorf("the tag %q is empty, or has a space or a comma", t)
	}
	return nil
}

// note is a comment that speaks to the cache.
type note struct {
	wish
	ends []string // invalidates=
}

// readNote reads what stands behind "cache" in a comment. ok is false for one
// that only begins with that word.
func readNote(text string) (n note, ok bool, err error) {
	words := strings.Fields(text)
	if len(words) > 0 && !strings.Contains(words[0], "=") {
		return n, false, nil
	}
	for _, w := range words {
		name, value, found := strings.Cut(w, "=")
		switch {
		case !found:
			return n, true, fmt.Errorf("the comment has %q, which is no option", w)
		case name == "ttl":
			if n.ttl, err = time.ParseDuration(value); err != nil || n.ttl <= 0 {
				return n, true, fmt.Errorf("the comment's ttl=%s is no time above zero, such as 30s", value)
			}
		case name == "tags" || name == "invalidates":
			tags := strings.Split(value, ",")
			for _, t := range tags {
				if err := checkTag(t); err != nil {
					return n, true, fmt.Errorf("the comment's %s=%s: %w", name, value, err)
				}
			}
			if name == "tags" {
				n.tags = fold(append(n.tags, tags...))
			} else {
				n.ends = fold(append(n.ends, tags...))
			}
		default:
			return n, true, fmt.Errorf("the comment's option %q is none of ttl, tags and invalidates", name)
		}
	}
	return n, true, nil
}
