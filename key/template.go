package key

import (
	"errors"
	"fmt"
	"strings"
)

// MaxLen is the most bytes that a built key may have. Redis takes keys of up
// to 512 MiB, but stores, compares and sends each one whole.
const MaxLen = 1024

// Errors of this package, for errors.Is. The error returned says more, and
// never holds an id.
var (
	// ErrTemplate: the template cannot be compiled; the error says why and
	// at which byte offset.
	ErrTemplate = errors.New("redstart/key: template not valid")
	// ErrCount: not as many ids as the template has placeholders.
	ErrCount = errors.New("redstart/key: wrong number of ids")
	// ErrTooLong: the key would exceed MaxLen bytes.
	ErrTooLong = errors.New("redstart/key: key too long")
)

// A Template is a compiled key template. It never changes, and any number of
// goroutines may use it. The zero Template has no placeholder and stands for
// the empty key; get one from Parse.
type Template struct {
	src   string
	head  string // literal text before the first placeholder
	holes []hole
	fixed int // bytes of literal text
	tag   string
}

// A hole is a placeholder and the literal text behind it, up to the next
// placeholder or the end.
type hole struct {
	name  string
	after string
	tail  string // the part of after that belongs to the placeholder's segment
}

// MustParse is Parse for templates that are constants of the program: it
// panics where Parse gives an error.
func MustParse(template string) *Template {
	t, err := Parse(template)
	if err != nil {
		panic(err)
	}
	return t
}

// String is the source of the template.
func (t *Template) String() string { return t.src }

// Names are the names of the placeholders, in order.
func (t *Template) Names() []string {
	names := make([]string, len(t.holes))
	for i, h := range t.holes {
		names[i] = h.name
	}
	return names
}

// Prefix is the literal text before the first placeholder: every key of the
// template begins with it.
func (t *Template) Prefix() string { return t.head }

// HashTag is the source of the template's hash tag (user:<id> in
// shop:{user:<id>}:cart), and whether it has one.
func (t *Template) HashTag() (string, bool) { return t.tag, t.tag != "" }

// Key builds the key of ids, one for each placeholder in order. The error is
// ErrCount or ErrTooLong. It allocates once: the key.
func (t *Template) Key(ids ...string) (string, error) {
	plain, err := t.check(ids)
	if err != nil {
		return "", err
	}
	if plain && len(ids) == 1 {
		return t.head + ids[0] + t.holes[0].after, nil
	}
	return t.build(ids, plain), nil
}

// AppendKey appends the key of ids to dst. On an error, which is that of Key,
// it gives dst back as it was. It allocates only when dst has no room.
func (t *Template) AppendKey(dst []byte, ids ...string) ([]byte, error) {
	plain, err := t.check(ids)
	if err != nil {
		return dst, err
	}
	return t.fill(dst, ids, plain), nil
}

// Slot is the Redis Cluster slot of the key of ids; the error is that of Key.
// It allocates nothing.
func (t *Template) Slot(ids ...string) (uint16, error) {
	plain, err := t.check(ids)
	if err != nil {
		return 0, err
	}
	var buf [MaxLen]byte
	return slotOf(t.fill(buf[:0], ids, plain)), nil
}

// check counts and measures ids. plain means that none needs escaping.
func (t *Template) check(ids []string) (plain bool, err error) {
	if len(ids) != len(t.holes) {
		return false, fmt.Errorf("%w: template %q takes %d, got %d", ErrCount, t.src, len(t.holes), len(ids))
	}
	n, more := t.fixed, 0
	for _, id := range ids {
		n += len(id)
		more += escapedGrowth(id)
	}
	if n+more > MaxLen {
		return false, fmt.Errorf("%w: template %q gives %d bytes, the bound is %d: shorten or hash the ids", ErrTooLong, t.src, n+more, MaxLen)
	}
	return more == 0, nil
}

// build is apart from Key to keep its buffer off the stack of the usual case.
func (t *Template) build(ids []string, plain bool) string {
	var buf [MaxLen]byte // check has seen to it that the key fits
	return string(t.fill(buf[:0], ids, plain))
}

func (t *Template) fill(dst []byte, ids []string, plain bool) []byte {
	dst = append(dst, t.head...)
	for i := range t.holes {
		if plain {
			dst = append(dst, ids[i]...)
		} else {
			dst = appendEscaped(dst, ids[i])
		}
		dst = append(dst, t.holes[i].after...)
	}
	return dst
}

// Match reads the ids back from a key: the exact inverse of Key. ok is false
// when the template cannot have given the key, be it only that an id is spelt
// in another way than Key spells it, or that the key exceeds MaxLen. The ids
// may share memory with key. A template without placeholders gives no ids.
func (t *Template) Match(key string) (ids []string, ok bool) {
	if len(key) > MaxLen {
		return nil, false
	}
	rest, ok := strings.CutPrefix(key, t.head)
	if !ok {
		return nil, false
	}
	if len(t.holes) > 0 {
		ids = make([]string, len(t.holes))
	}
	for i := range t.holes {
		h := &t.holes[i]
		// No id holds a delimiter, so the segment ends at the next one, and
		// what remains of it without its literal tail is the id.
		spelt, ok := strings.CutSuffix(rest[:segmentEnd(rest)], h.tail)
		if !ok {
			return nil, false
		}
		if ids[i], ok = unescape(spelt); !ok {
			return nil, false
		}
		if rest, ok = strings.CutPrefix(rest[len(spelt):], h.after); !ok {
			return nil, false
		}
	}
	if rest != "" {
		return nil, false
	}
	return ids, true
}

// Pattern is a glob for SCAN MATCH and KEYS that matches every key of the
// template. It may match other keys too, since '*' also spans ':': check what
// it finds with Match.
func (t *Template) Pattern() string {
	var glob strings.Builder
	literal := func(s string) {
		for i := range len(s) {
			switch s[i] {
			case '*', '?', '[', ']', '\\':
				glob.WriteByte('\\')
			}
			glob.WriteByte(s[i])
		}
	}
	literal(t.head)
	for _, h := range t.holes {
		glob.WriteByte('*')
		literal(h.after)
	}
	return glob.String()
}
