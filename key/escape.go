package key

import "strings"

// emptyID is how the empty id is written. An id can never give it, because '%'
// in an id is itself escaped.
const emptyID = "%_"

const upperHex = "0123456789ABCDEF"

// growth is what escaping adds to each byte: 0 for a plain byte, 2 for one
// that is written as %XX. It is never written after the package is loaded.
var growth = growthTable()

func growthTable() (t [256]uint8) {
	for b := 0; b <= ' '; b++ {
		t[b] = 2
	}
	for _, b := range []byte{':', '{', '}', '%', 0x7F} {
		t[b] = 2
	}
	return t
}

// escapedGrowth says by how many bytes escaping lengthens id; 0 means that id
// is written as it is.
func escapedGrowth(id string) int {
	if id == "" {
		return len(emptyID)
	}
	n := 0
	for i := range len(id) {
		n += int(growth[id[i]])
	}
	return n
}

func appendEscaped(dst []byte, id string) []byte {
	if id == "" {
		return append(dst, emptyID...)
	}
	plain := 0 // start of the run of plain bytes not yet copied
	for i := range len(id) {
		b := id[i]
		if growth[b] == 0 {
			continue
		}
		dst = append(dst, id[plain:i]...)
		dst = append(dst, '%', upperHex[b>>4], upperHex[b&15])
		plain = i + 1
	}
	return append(dst, id[plain:]...)
}

// unescape is the exact inverse of appendEscaped: ok is false for every
// spelling that appendEscaped does not write (a bare byte that should have
// been escaped, an escape of a plain byte, lower-case digits, nothing at all).
func unescape(s string) (id string, ok bool) {
	if s == emptyID {
		return "", true
	}
	if s == "" {
		return "", false
	}
	escapes := 0
	for i := 0; i < len(s); i++ {
		if growth[s[i]] == 0 {
			continue
		}
		if _, ok := escapeAt(s, i); !ok {
			return "", false
		}
		escapes++
		i += 2
	}
	if escapes == 0 {
		return s, true
	}
	var out strings.Builder
	out.Grow(len(s) - 2*escapes)
	for i := 0; i < len(s); i++ {
		b := s[i]
		if b == '%' {
			b, _ = escapeAt(s, i)
			i += 2
		}
		out.WriteByte(b)
	}
	return out.String(), true
}

// escapeAt reads the escape %XX at s[i:] and refuses one of a plain byte.
func escapeAt(s string, i int) (b byte, ok bool) {
	if s[i] != '%' || len(s)-i < 3 {
		return 0, false
	}
	hi, lo := hexDigit(s[i+1]), hexDigit(s[i+2])
	if hi > 15 || lo > 15 {
		return 0, false
	}
	b = hi<<4 | lo
	return b, growth[b] != 0
}

// hexDigit is the value of an upper-case hex digit, or 255.
func hexDigit(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10
	}
	return 255
}
