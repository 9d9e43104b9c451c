package trace

import "strings"

// requestPath finds the path of the request in a line of an access log, common or combined format:
//
//	host ident user [time] "METHOD target PROTOCOL" status size …
//
// The path is the target without its query; a target in absolute form loses scheme and host. Lines of another shape, and
// requests that are not HTTP (a probe's binary junk, "-"), are refused.
func requestPath(line string) (string, bool) {
	open := strings.IndexByte(line, '[')
	if open < 0 {
		return "", false
	}
	end := strings.Index(line[open:], `] "`)
	if end < 0 {
		return "", false
	}
	request, rest, ok := quoted(line[open+end+3:])
	if !ok || !startsWithStatus(rest) {
		return "", false
	}
	// The target may hold blanks in a broken client's request: method and protocol are what surely delimit it.
	method, target, ok := strings.Cut(request, " ")
	if !ok || !isMethod(method) {
		return "", false
	}
	if i := strings.LastIndex(target, " HTTP/"); i >= 0 {
		target = target[:i]
	}
	if i := strings.Index(target, "://"); i > 0 && !strings.ContainsAny(target[:i], "/?") {
		host := target[i+3:]
		if slash := strings.IndexByte(host, '/'); slash >= 0 {
			target = host[slash:]
		} else {
			target = "/"
		}
	}
	target, _, _ = strings.Cut(target, "?")
	return target, target != ""
}

// quoted splits s after the closing quote that no backslash escapes.
func quoted(s string) (inside, rest string, ok bool) {
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return s[:i], s[i+1:], true
		}
	}
	return "", "", false
}

// startsWithStatus reports whether s begins with a blank and a status of three digits.
func startsWithStatus(s string) bool {
	if len(s) < 4 || s[0] != ' ' {
		return false
	}
	for _, c := range []byte(s[1:4]) {
		if c < '0' || c > '9' {
			return false
		}
	}
	return len(s) == 4 || s[4] == ' '
}

func isMethod(s string) bool {
	if s == "" || len(s) > 20 {
		return false
	}
	for _, c := range []byte(s) {
		if (c < 'A' || c > 'Z') && c != '-' && c != '_' {
			return false
		}
	}
	return true
}

// requestClient finds the address of the client in such a line: its first field.
func requestClient(line string) (string, bool) {
	if _, ok := requestPath(line); !ok {
		return "", false
	}
	host, _, ok := strings.Cut(line, " ")
	return host, ok
}
