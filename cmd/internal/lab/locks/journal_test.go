package locks

import (
	"strings"
	"testing"
)

func TestJudge(t *testing.T) {
	for _, c := range []struct {
		writes         string
		overlaps, late int
	}{
		{"", 0, 0},
		{"a", 0, 0},
		{"a a b b c c", 0, 0},
		{"a b c", 0, 0},
		{"a b b a", 1, 1},           // frozen, and back
		{"a b a b", 1, 1},           // and in the midst of the next one's work
		{"a b a c b c", 2, 2},       // and then it deletes his lock
		{"a b c c b a", 2, 2},       // b began within a, c within both
		{"a b b c c a a", 2, 2},     // two late writes of one
		{"a a b b c c b", 1, 1},     // b wrote again
		{"a b b c c d d a d", 3, 1}, // d is the latest, and may
	} {
		if v := judge(strings.Fields(c.writes)); len(v.overlaps) != c.overlaps || v.late != c.late {
			t.Errorf("%q: %d overlaps %v, %d late; want %d and %d", c.writes, len(v.overlaps), v.overlaps, v.late, c.overlaps, c.late)
		}
	}
}
