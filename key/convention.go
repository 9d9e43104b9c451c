package key

import "slices"

import "strings"

// A Problem is one way in which a template or a key departs from the naming
// convention.
type Problem struct {
	Rule string // see Check
	Text string // what is wrong and what to do; holds nothing of a key's ids
}

// placeholder stands for <name> in the shape of a template; no literal text
// holds this byte.
const placeholder = '\x00'

// Check compares a template with the naming convention
//
//	[namespace:]entity:id[:attribute][:timestamp or version]
//
// and gives one Problem for each rule that it breaks, none when it is fine.
// It takes a concrete key too (user123), where it can only go by the shape;
// what could be a good key is left alone, and '<' begins a placeholder in it
// as in a template. The rules:
//
//   - template: it cannot be compiled (see Parse); nothing else is checked.
//   - structure: a single part (user123, user<id>).
//   - separator: something else stands where ':' should (user-123-profile,
//     user:<id>-profile).
//   - separation: words and ids run together (userprofile123data).
//   - entity: it begins with an id, so that it does not say what it is (123,
//     <id>:profile).
//   - empty: a part is empty (user::123).
func Check(template string) []Problem {
	t, bad := parse(template)
	if bad != nil {
		return []Problem{{"template", bad.text()}}
	}
	parts := strings.Split(t.shape(), ":")
	var found []Problem
	if p, bad := checkStart(parts); bad {
		found = append(found, p)
	} else if c := attributeJoiner(parts[1:]); c != 0 {
		found = append(found, wrongSeparator(c))
	}
	if slices.Contains(parts, "") {
		found = append(found, Problem{"empty", "empty part: ':' is doubled, or stands at the beginning or the end; remove it, or name the part"})
	}
	return found
}

// shape is the template without braces and with one byte for a placeholder.
func (t *Template) shape() string {
	var s strings.Builder
	literal := func(text string) {
		for i := range len(text) {
			if text[i] != '{' && text[i] != '}' {
				s.WriteByte(text[i])
			}
		}
	}
	literal(t.head)
	for _, h := range t.holes {
		s.WriteByte(placeholder)
		literal(h.after)
	}
	return s.String()
}

// checkStart looks at the first part, which has to be a word, apart from the
// id that follows.
func checkStart(parts []string) (Problem, bool) {
	first, later := parts[0], parts[1:]
	switch {
	case first == "":
		return Problem{}, false // reported as empty
	case !hasLetter(first) || strings.EqualFold(first, "v"+string(placeholder)):
		return Problem{"entity", "not self-documenting: it begins with an id; put the namespace or the entity's name in front, as in user:123"}, true
	case len(later) == 0:
		if c := idJoiner(first); c != 0 {
			return wrongSeparator(c), true
		}
		if i := strings.IndexAny(first, "-./|"); i > 0 && i < len(first)-1 {
			return wrongSeparator(first[i]), true
		}
		if wordAfterID(first) {
			return runTogether, true
		}
		return Problem{"structure", "no structure: it has one part only; name the entity and the id apart, as in user:123"}, true
	case strings.IndexByte(first, placeholder) >= 0:
		if c := idJoiner(first); c != 0 {
			return wrongSeparator(c), true
		}
		return runTogether, true
	}
	// A number in the first part is an id only if no later part can be one:
	// user-123:profile, but not app-2:user:123.
	if c := idJoiner(first); c != 0 && !hasID(strings.Join(later, "")) {
		return wrongSeparator(c), true
	}
	return Problem{}, false
}

var runTogether = Problem{"separation", "no separation: words and ids run together; put ':' between entity, id and attribute, as in user:123:profile"}

func wrongSeparator(c byte) Problem {
	return Problem{"separator", "inconsistent separator: '" + string(rune(c)) + "' stands where ':' should; put ':' between entity, id and attribute, as in user:123:profile"}
}

// idJoiner is the character that joins an id (a placeholder or a number) to
// its neighbour within a part, or 0.
func idJoiner(part string) byte {
	start := 0
	for i := 0; i <= len(part); i++ {
		if i < len(part) && !isJoiner(part[i]) {
			continue
		}
		if isID(part[start:i]) {
			switch {
			case start > 0:
				return part[start-1]
			case i < len(part):
				return part[i]
			}
		}
		start = i + 1
	}
	return 0
}

// attributeJoiner is the character that joins an attribute to a placeholder
// before it (user:<id>-profile), or 0. What stands in front of a placeholder is
// taken for a part of the id (usr_<id>), and ".json" for a file's type; a
// concrete key does not tell 123-profile from an id of that form.
func attributeJoiner(parts []string) byte {
	for _, part := range parts {
		i := strings.IndexByte(part, placeholder)
		if i < 0 || i+2 >= len(part) {
			continue
		}
		if c := part[i+1]; isJoiner(c) && c != '.' && isLetter(part[i+2]) {
			return c
		}
	}
	return 0
}

// wordAfterID says whether letters follow a digit or a placeholder.
func wordAfterID(part string) bool {
	i := strings.IndexFunc(part, func(r rune) bool { return r == placeholder || '0' <= r && r <= '9' })
	return i >= 0 && hasLetter(part[i:])
}

func isJoiner(c byte) bool { return strings.IndexByte("-_./|", c) >= 0 }

// isID: one placeholder, or digits only.
func isID(s string) bool {
	for i := range len(s) {
		if s[i] != placeholder && !isDigit(s[i]) {
			return false
		}
	}
	return s != ""
}

func hasID(s string) bool {
	for i := range len(s) {
		if s[i] == placeholder || isDigit(s[i]) {
			return true
		}
	}
	return false
}

func hasLetter(s string) bool {
	for i := range len(s) {
		if isLetter(s[i]) {
			return true
		}
	}
	return false
}

// isLetter takes every byte beyond ASCII for part of a letter.
func isLetter(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c >= 0x80
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
