package key

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestParseRefuses(t *testing.T) {
	for _, c := range []struct {
		template string
		offset   int
		reason   string
	}{
		{"", 0, "empty"},
		{"user:<id", 5, "not closed"},
		{"user:<", 5, "not closed"},
		{"user:<>", 5, "no name"},
		{"user:<i d>", 7, `" " in the name`},
		{"user:<id:x>", 8, `":" in the name`},
		{"user:<<id>>", 6, `"<" in the name`},
		{"user:<é>", 6, "in the name"},
		{"user:id>", 7, "'>' without '<'"},
		{"<id>:<id>", 5, "the one at offset 0"},
		{"u:<a><b>", 5, "second placeholder in one segment"},
		{"u:<a>-<b>", 6, "second placeholder in one segment"},
		{"u:<a>%<b>:x", 6, "the one at offset 2"},
		{"{<a>-<b>}", 5, "second placeholder in one segment"},
		{"u:{a", 2, "'{' is not closed"},
		{"u:a}", 3, "'}' without '{'"},
		{"u:}a{", 2, "'}' without '{'"},
		{"{a}}", 3, "'}' without '{'"},
		{"{a{b}}", 2, "inside the hash tag opened at offset 0"},
		{"{{<a>}}", 1, "inside the hash tag"},
		{"u:{}:<id>", 2, "empty hash tag"},
		{"{a}:{<id>}", 4, "only the one at offset 0"},
		{"user :<id>", 4, "white space"},
		{"user:\x00", 5, "control bytes"},
		{"user:\x7f", 5, "control bytes"},
		{strings.Repeat("a", MaxLen) + "<id>", 0, "at least 1025 bytes"},
		{strings.Repeat("a", MaxLen+1), 0, "at least 1025 bytes"},
	} {
		tpl, err := Parse(c.template)
		if tpl != nil || !errors.Is(err, ErrTemplate) {
			t.Errorf("Parse(%q) = %v, %v; want ErrTemplate", c.template, tpl, err)
			continue
		}
		text := err.Error()
		if !strings.Contains(text, fmt.Sprintf("at offset %d: ", c.offset)) || !strings.Contains(text, c.reason) ||
			!strings.HasPrefix(text, "redstart/key: ") || len(text) > 512 {
			t.Errorf("Parse(%q): %q; want offset %d and %q", c.template, text, c.offset, c.reason)
		}
	}
}

func TestParseTakes(t *testing.T) {
	for _, template := range []string{
		"x", "<id>", "user:<id>", "user:<user-id>:<Item_2>", "{<a>}", "{a}", "x{<a>}y<b>:<c>", "<a>{<b>}<c>", "v<n>",
		"<id>.json", "é:<id>", "a%41:<id>", strings.Repeat("a", MaxLen), strings.Repeat("a", MaxLen-1) + "<id>",
	} {
		if _, err := Parse(template); err != nil {
			t.Error(err)
		}
	}
}

func TestMustParsePanics(t *testing.T) {
	defer func() {
		if err, _ := recover().(error); !errors.Is(err, ErrTemplate) {
			t.Errorf("panicked with %v, want ErrTemplate", err)
		}
	}()
	MustParse("user:<id")
}
