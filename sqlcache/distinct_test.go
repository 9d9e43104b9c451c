package sqlcache

import (
	"database/sql/driver"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// asks is a query as it would be asked.
type asks struct {
	identity, text string
	args           []driver.NamedValue
	tags           []string
	ttl            time.Duration
}

func (a asks) key() (query, bool) {
	return key(a.text, a.args, Postgres, a.identity, &wish{ttl: a.ttl, tags: a.tags})
}

func arguments(values ...any) []driver.NamedValue {
	list := make([]driver.NamedValue, len(values))
	for i, v := range values {
		list[i] = driver.NamedValue{Ordinal: i + 1, Value: v}
	}
	return list
}

type textLabel string

type textValuer string

func (v textValuer) Value() (driver.Value, error) { return string(v), nil }

func TestDistinctQueries(t *testing.T) {
	at := time.Unix(1, 2).UTC()
	n, m := 1, 2
	all := []asks{
		{args: arguments("ann b", "c")},
		{args: arguments("ann", "b c")},
		{args: arguments("ann b c")},
		{args: arguments("ann b", "c", nil)},
		{args: arguments("1")},
		{args: arguments(int64(1))},
		{args: arguments(1)},
		{args: arguments(int32(1))},
		{args: arguments(uint8(1))},
		{args: arguments(1.0)},
		{args: arguments(float32(1))},
		{args: arguments(true)},
		{args: arguments([]byte("1"))},
		{args: arguments(textLabel("1"))},
		{args: arguments(textValuer("1"))},
		{args: arguments(&n)},
		{args: arguments(&m)},
		{args: arguments([]string{"a", "b"})},
		{args: arguments([]string{"a b"})},
		{args: arguments([]string{"a"}, "b")},
		{args: arguments([]string(nil))},
		{args: arguments([]string{})},
		{args: arguments([2]int{1, 2})},
		{args: arguments([]int{1, 2})},
		{args: arguments(nil)},
		{args: arguments("")},
		{args: arguments([]byte{})},
		{args: arguments([]byte(nil))},
		{},
		{args: arguments(math.NaN())},
		{args: arguments(0.0)},
		{args: arguments(math.Copysign(0, -1))},
		{args: arguments(at)},
		{args: arguments(at.Add(1))},
		{args: arguments(at.In(time.FixedZone("", 3600)))},
		{args: arguments(at.In(time.FixedZone("x", 3600)))},
		{args: []driver.NamedValue{{Name: "a", Ordinal: 1, Value: "b"}}},
		{args: []driver.NamedValue{{Name: "ab", Ordinal: 1, Value: ""}}},
		{identity: "a", text: "b"},
		{identity: "ab"},
		{text: "ab"},
		{text: "a", args: arguments("b")},
		{tags: []string{"a", "b"}},
		{tags: []string{"ab"}},
		{tags: []string{"a"}},
		{ttl: 1},
		{ttl: 2},
	}
	seen := map[[32]byte]int{}
	for i, a := range all {
		q, ok := a.key()
		if !ok {
			t.Errorf("%+v has no key", a)
		}
		if j, twice := seen[q.sum]; twice {
			t.Errorf("%+v and %+v share a key", all[j], a)
		}
		seen[q.sum] = i
		if again, _ := a.key(); again != q {
			t.Errorf("%+v has two keys", a)
		}
		if got := q.labels(); !slices.Equal(got, a.tags) {
			t.Errorf("the tags %q come back as %q", a.tags, got)
		}
	}
	for _, v := range []any{struct{ A int }{1}, map[string]int{}, func() {}, "now", " NOW ", textLabel("today")} {
		if _, ok := (asks{args: arguments(v)}).key(); ok {
			t.Errorf("%T %v has a key", v, v)
		}
	}
}

// anyQuery makes a query of anything.
func anyQuery(b []byte) (a asks) {
	next := func() byte {
		if len(b) == 0 {
			return 0
		}
		c := b[0]
		b = b[1:]
		return c
	}
	text := func() string {
		n := min(int(next()%8), len(b))
		s := string(b[:n])
		b = b[n:]
		return s
	}
	a.identity, a.text = text(), text()
	for range next() % 3 {
		a.tags = append(a.tags, "t"+strings.ReplaceAll(text(), "\x00", "0")) // no tag has a zero byte
	}
	for range next() % 6 {
		v := driver.NamedValue{Ordinal: len(a.args) + 1}
		switch next() % 9 {
		case 0:
			v.Value = text()
		case 1:
			v.Value = []byte(text())
		case 2:
			v.Value = int64(next())
		case 3:
			v.Value = float64(next())
		case 4:
			v.Value = next()%2 == 1
		case 5:
			v.Value = time.Unix(int64(next()), int64(next())).UTC()
		case 6:
			v.Value = []string{text(), text()}[:next()%3]
		case 7:
			v.Name = text()
		case 8:
			v.Value = textLabel(text())
		}
		a.args = append(a.args, v)
	}
	return a
}

// Two queries have one key if they are one.
func FuzzDistinct(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x02\x00\x05ann b\x00\x01c"), []byte("\x00\x00\x00\x02\x00\x03ann\x00\x03b c"))
	f.Add([]byte("\x01a\x01b"), []byte("\x02ab\x00"))
	f.Fuzz(func(t *testing.T, x, y []byte) {
		a, b := anyQuery(x), anyQuery(y)
		p, ok := a.key()
		q, also := b.key()
		if ok && also && reflect.DeepEqual(a, b) != (p == q) {
			t.Errorf("%#v\n%#v\nshare a key: %v", a, b, p == q)
		}
	})
}
