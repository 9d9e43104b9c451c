package sqltext

import "strings"

// kind is what a token is.
type kind uint8

const (
	word    kind = iota // a keyword or a plain name
	quoted              // a name in quotes, without them
	literal             // a string, without its quotes
	other               // a number, a parameter, a variable, punctuation
)

// token is a piece of a statement. Comments are none.
type token struct {
	kind kind
	text string
	up   string // a word in capitals
}

func (t token) is(s string) bool   { return t.kind == word && t.up == s }
func (t token) mark(s string) bool { return t.kind == other && t.text == s }
func (t token) name() bool         { return t.kind == word || t.kind == quoted }

// lexer takes statements apart, by the rules of a dialect for what is a string,
// a name and a comment.
type lexer struct {
	s       string
	at      int
	dialect Dialect
	inHint  bool     // inside a comment that MySQL executes
	notes   []string // comments that may speak to the cache
	broken  bool     // the end of something is missing, or it is beyond this lexer
}

// lex gives the tokens of a text.
func lex(s string, d Dialect) (tokens []token, notes []string, broken bool) {
	l := lexer{s: s, dialect: d}
	for {
		t, ok := l.next()
		if !ok {
			return tokens, l.notes, l.broken
		}
		tokens = append(tokens, t)
	}
}

func (l *lexer) peek(i int) byte {
	if l.at+i < len(l.s) {
		return l.s[l.at+i]
	}
	return 0
}

func (l *lexer) next() (token, bool) {
	for l.at < len(l.s) {
		c := l.s[l.at]
		switch {
		case c == ' ' || c >= '\t' && c <= '\r':
			l.at++
		case c == '-' && l.peek(1) == '-' && (l.dialect != MySQL || l.peek(2) <= ' '):
			l.line()
		case c == '#' && l.dialect == MySQL:
			l.line()
		case c == '/' && l.peek(1) == '*':
			l.block()
		case c == '*' && l.peek(1) == '/' && l.inHint:
			l.inHint = false
			l.at += 2
		default:
			return l.token(c), true
		}
	}
	if l.inHint {
		l.broken = true
	}
	return token{}, false
}

func (l *lexer) token(c byte) token {
	switch {
	case c == '\'':
		return token{kind: literal, text: l.until('\'', l.dialect == MySQL)}
	case c == '"':
		return token{kind: quoted, text: l.until('"', l.dialect == MySQL)}
	case c == '`':
		return token{kind: quoted, text: l.until('`', false)}
	case c == '[' && l.dialect != Postgres && l.dialect != MySQL:
		return token{kind: quoted, text: l.until(']', false)}
	case c == '$' && l.dialect != MySQL:
		if text, ok := l.dollars(); ok {
			return token{kind: literal, text: text}
		}
	case letter(c):
		return l.word()
	case c >= '0' && c <= '9':
		from := l.at
		for l.at < len(l.s) && (letter(l.s[l.at]) || l.s[l.at] >= '0' && l.s[l.at] <= '9' || l.s[l.at] == '.') {
			l.at++
		}
		return token{kind: other, text: l.s[from:l.at]}
	}
	l.at++
	return token{kind: other, text: l.s[l.at-1 : l.at]}
}

func letter(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c >= 0x80
}

// word is a name, a keyword, or what stands in front of a string.
func (l *lexer) word() token {
	from := l.at
	for l.at < len(l.s) && (letter(l.s[l.at]) || l.s[l.at] >= '0' && l.s[l.at] <= '9' || l.s[l.at] == '$') {
		l.at++
	}
	t := token{kind: word, text: l.s[from:l.at]}
	t.up = strings.ToUpper(t.text)
	if l.peek(0) == '\'' && len(t.text) == 1 && l.dialect == Postgres && t.up == "E" {
		return token{kind: literal, text: l.until('\'', true)}
	}
	if t.up == "U" && l.peek(0) == '&' && (l.peek(1) == '"' || l.peek(1) == '\'') {
		l.broken = true // a name in escapes
	}
	return t
}

// until reads to the closing quote, which is doubled inside.
func (l *lexer) until(end byte, escapes bool) string {
	l.at++
	from := l.at
	doubled := false
	for l.at < len(l.s) {
		switch c := l.s[l.at]; {
		case c == '\\' && escapes:
			l.at++
		case c == end && l.peek(1) == end:
			doubled = true
			l.at++
		case c == end:
			text := l.s[from:l.at]
			l.at++
			if doubled {
				text = strings.ReplaceAll(text, string(end)+string(end), string(end))
			}
			return text
		}
		l.at++
	}
	l.at = len(l.s)
	l.broken = true
	return l.s[min(from, len(l.s)):]
}

// dollars reads PostgreSQL's string between $tag$ and $tag$.
func (l *lexer) dollars() (string, bool) {
	i := l.at + 1
	for i < len(l.s) && (letter(l.s[i]) || i > l.at+1 && l.s[i] >= '0' && l.s[i] <= '9') {
		i++
	}
	if i == len(l.s) || l.s[i] != '$' {
		return "", false
	}
	tag := l.s[l.at : i+1]
	rest := l.s[i+1:]
	n := strings.Index(rest, tag)
	if n < 0 {
		l.broken = true
		l.at = len(l.s)
		return rest, true
	}
	l.at = i + 1 + n + len(tag)
	return rest[:n], true
}

func (l *lexer) line() {
	if n := strings.IndexByte(l.s[l.at:], '\n'); n >= 0 {
		l.at += n + 1
	} else {
		l.at = len(l.s)
	}
}

// block skips a comment, and keeps one that may speak to the cache. What MySQL
// executes is no comment.
func (l *lexer) block() {
	rest := l.s[l.at+2:]
	if l.dialect != Postgres && l.dialect != SQLite {
		if code := strings.TrimPrefix(rest, "M"); strings.HasPrefix(code, "!") {
			code = strings.TrimLeft(code[1:], "0123456789")
			l.at = len(l.s) - len(code)
			l.inHint = true
			return
		}
	}
	depth, i := 1, 0
	for ; i < len(rest) && depth > 0; i++ {
		switch {
		case strings.HasPrefix(rest[i:], "*/"):
			depth--
			i++
		case l.dialect == Postgres && strings.HasPrefix(rest[i:], "/*"):
			depth++
			i++
		}
	}
	l.at += 2 + i
	if depth > 0 {
		l.at = len(l.s)
		l.broken = l.broken || l.dialect != SQLite // which ends it with the text
		return
	}
	if note := strings.TrimSpace(rest[:i-2]); note == "cache" || strings.HasPrefix(note, "cache") && len(note) > 5 && note[5] <= ' ' {
		l.notes = append(l.notes, note[5:])
	}
}
