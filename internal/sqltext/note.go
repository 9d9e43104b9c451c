package sqltext

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Dialect is how a database writes its statements.
type Dialect uint8

// The dialects.
const (
	Detect Dialect = iota // not known yet
	Postgres
	MySQL
	SQLite
	Other
)

// wish is what a statement's comment or context asks of the cache.
type wish struct {
	ttl  time.Duration // zero: as configured
	tags []string      // sorted
}

// Fold gives tags as they are compared: in lower case, sorted, each once.
func Fold(tags []string) []string {
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

// CheckTag says what is wrong with a tag.
func CheckTag(t string) error {
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
				if err := CheckTag(t); err != nil {
					return n, true, fmt.Errorf("the comment's %s=%s: %w", name, value, err)
				}
			}
			if name == "tags" {
				n.tags = Fold(append(n.tags, tags...))
			} else {
				n.ends = Fold(append(n.ends, tags...))
			}
		default:
			return n, true, fmt.Errorf("the comment's option %q is none of ttl, tags and invalidates", name)
		}
	}
	return n, true, nil
}
