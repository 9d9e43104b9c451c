package httplimit

import "strings"

// Forwarded is read from its end. Whoever reads it from the start can be led by
// a client that opens a quote and leaves it to a proxy's entry to close it; the
// last entry is the last proxy's whatever stands in front.

// lastElement cuts the last element off a list whose elements may hold quoted
// strings.
func lastElement(list string) (rest, last string, more bool) {
	if i := lastOutside(list, ','); i >= 0 {
		return list[:i], list[i+1:], true
	}
	return "", list, false
}

// lastOutside gives where the last such byte outside quoted strings is, or -1.
func lastOutside(s string, b byte) int {
	quoted := false
	for i := len(s) - 1; i >= 0; i-- {
		switch {
		case s[i] == '"' && (!quoted || !escaped(s, i)):
			quoted = !quoted
		case s[i] == b && !quoted:
			return i
		}
	}
	return -1
}

// escaped says whether the byte stands behind an odd number of backslashes.
func escaped(s string, i int) bool {
	n := 0
	for i--; i >= 0 && s[i] == '\\'; i-- {
		n++
	}
	return n%2 == 1
}

// forOf gives the node of the for parameter, "" where there is none, or two.
func forOf(element string) string {
	node, found := "", false
	for more := true; more; {
		pair := element
		i := lastOutside(element, ';')
		if more = i >= 0; more {
			pair, element = element[i+1:], element[:i]
		}
		name, value, ok := strings.Cut(strings.Trim(pair, " \t"), "=")
		if !ok || !strings.EqualFold(name, "for") {
			continue
		}
		if found {
			return ""
		}
		node, found = unquoted(value), true
	}
	return node
}

// unquoted gives a token, or a quoted string without its quotes. No address has
// anything to escape, so one with a backslash is none.
func unquoted(value string) string {
	if len(value) >= 2 && value[0] == '"' && value[len(value)-1] == '"' {
		return value[1 : len(value)-1]
	}
	return value
}
