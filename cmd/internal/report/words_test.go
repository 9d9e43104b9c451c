package report

import "testing"

func TestWords(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{Noun(0), "none"},
		{Noun(1234), "1,234"},
		{Counted(0, "miss"), "no misses"},
		{Counted(1, "read"), "1 read"},
		{Counted(2, "miss"), "2 misses"},
		{Times(1), "once"},
		{Times(2), "twice"},
		{Times(3000), "3,000 times"},
		{Capitalise("no read"), "No read"},
		{Short("äöü", 2), "äö…"},
		{Short("ab", 2), "ab"},
		{Input{Requests: 1, Keys: 2000}.String(), "1 request, 2,000 keys"},
		{Input{Requests: 2, Keys: 1, Request: "turn", Key: "lock"}.String(), "2 turns, 1 lock"},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}
