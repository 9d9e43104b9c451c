package report

import (
	"strings"

	"github.com/redstart-go/redstart/cmd/internal/chart"
)

// Noun writes a number as one says it: none, 1,234.
func Noun(n int) string {
	if n == 0 {
		return "none"
	}
	return chart.Count(n)
}

// Counted writes 1,234 things, 1 thing, no things.
func Counted(n int, thing string) string {
	more := thing + "s"
	if strings.HasSuffix(thing, "s") {
		more = thing + "es"
	}
	switch n {
	case 0:
		return "no " + more
	case 1:
		return "1 " + thing
	default:
		return chart.Count(n) + " " + more
	}
}

// Times writes once, twice, 3 times.
func Times(n int) string {
	switch n {
	case 1:
		return "once"
	case 2:
		return "twice"
	default:
		return chart.Count(n) + " times"
	}
}

// MoodOf is Good up to a number, and Bad above it.
func MoodOf(n, good int) Mood {
	if n <= good {
		return Good
	}
	return Bad
}

// Capitalise begins s with a capital.
func Capitalise(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

// Short cuts s off after n runes.
func Short(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n]) + "…"
	}
	return s
}
