package key

import (
	"fmt"
	"strings"
)

// Parse compiles a template. Its error is ErrTemplate and says why, where (the
// byte offset, from 0) and what to do. Refused are:
//
//   - an empty template, white space and control bytes in it, and literal text
//     that leaves no room for ids within MaxLen;
//   - a placeholder that is not closed, has no name, a name of other
//     characters than letters, digits, '_' and '-', or a name used before;
//   - two placeholders in one segment (<a><b>, <a>-<b>): where the one ends
//     and the other begins could not be told from the key;
//   - braces that are not one balanced pair around something: Redis hashes
//     only the first pair, and the whole key when it is empty.
func Parse(template string) (*Template, error) {
	t, bad := parse(template)
	if bad != nil {
		return nil, bad
	}
	return t, nil
}

// A templateError says why a template cannot be compiled.
type templateError struct {
	template string
	offset   int
	reason   string // holds nothing of the template but single characters
}

func (e *templateError) Error() string {
	return fmt.Sprintf("%v: %q: %s", ErrTemplate, abridge(e.template), e.text())
}

func (e *templateError) Unwrap() error { return ErrTemplate }

func (e *templateError) text() string { return fmt.Sprintf("at offset %d: %s", e.offset, e.reason) }

// abridge keeps errors about absurdly long templates readable.
func abridge(s string) string {
	if len(s) <= 256 {
		return s
	}
	return s[:256] + "…"
}

// none marks a position that has not been seen.
const none = -1

func parse(src string) (*Template, *templateError) {
	fail := func(offset int, format string, args ...any) (*Template, *templateError) {
		return nil, &templateError{src, offset, fmt.Sprintf(format, args...)}
	}
	if src == "" {
		return fail(0, "empty: write one such as user:<id>")
	}
	t := &Template{src: src}
	var (
		literal = 0    // start of the literal text being read
		held    = none // offset of the placeholder in the present segment
		open    = none // offset of '{'
		shut    = none // offset of '}'
		seen    = map[string]int{}
	)
	// endLiteral gives the literal text before offset i to where it belongs.
	endLiteral := func(i int) {
		text := src[literal:i]
		t.fixed += len(text)
		if len(t.holes) == 0 {
			t.head = text
			return
		}
		h := &t.holes[len(t.holes)-1]
		h.after, h.tail = text, text[:segmentEnd(text)]
	}
	for i := 0; i < len(src); i++ {
		switch c := src[i]; {
		case c == '<':
			end := i + 1
			for end < len(src) && isNameByte(src[end]) {
				end++
			}
			name := src[i+1 : end]
			switch first, dup := seen[name]; {
			case end == len(src):
				return fail(i, "this placeholder is not closed: add '>'")
			case src[end] != '>':
				return fail(end, "%q in the name of a placeholder: use letters, digits, '_' and '-', and close it with '>'", src[end:end+1])
			case name == "":
				return fail(i, "this placeholder has no name: write one such as <id>")
			case dup:
				return fail(i, "this placeholder has the name of the one at offset %d: give each its own", first)
			case held != none:
				return fail(i, "second placeholder in one segment, after the one at offset %d: put ':' between them, else a key could not be parsed back", held)
			}
			endLiteral(i)
			t.holes = append(t.holes, hole{name: name})
			seen[name], held = i, i
			i, literal = end, end+1
		case c == '>':
			return fail(i, "'>' without '<': write placeholders as <id>; the two cannot be literal text")
		case c == '{':
			switch {
			case shut != none:
				return fail(i, "second hash tag: Redis hashes only the one at offset %d; remove one pair of braces", open)
			case open != none:
				return fail(i, "'{' inside the hash tag opened at offset %d: Redis does not nest them; remove it", open)
			}
			open, held = i, none
		case c == '}':
			switch {
			case open == none || shut != none:
				return fail(i, "'}' without '{': add '{' where the hash tag begins, or remove it")
			case i == open+1:
				return fail(open, "empty hash tag: Redis would hash the whole key; put the shared part between the braces, or remove them")
			}
			shut, held = i, none
			t.tag = src[open+1 : i]
		case c == ':':
			held = none
		case c <= ' ' || c == 0x7F:
			return fail(i, "%q in literal text: use no white space and no control bytes", src[i:i+1])
		}
	}
	if open != none && shut == none {
		return fail(open, "'{' is not closed: add '}' where the hash tag ends")
	}
	endLiteral(len(src))
	if least := t.fixed + len(t.holes); least > MaxLen {
		return fail(0, "its keys have at least %d bytes, the bound is %d: shorten the literal text", least, MaxLen)
	}
	return t, nil
}

// segmentEnd is the offset of the first delimiter in s, or the length of s.
func segmentEnd(s string) int {
	for i := range len(s) {
		if c := s[i]; c == ':' || c == '{' || c == '}' {
			return i
		}
	}
	return len(s)
}

func isNameByte(c byte) bool {
	return isLetter(c) && c < 0x80 || isDigit(c) || strings.IndexByte("_-", c) >= 0
}
