package sqlsink

import (
	"math"
	"strings"
	"testing"
	"time"
)

// elements reads an array's literal as PostgreSQL does (array_in): what stands
// between commas, quotes and backslashes taken off; NULL without quotes is none.
func elements(t testing.TB, literal string) []any {
	t.Helper()
	inner, ok := strings.CutPrefix(literal, "{")
	if !ok {
		t.Fatalf("no literal: %q", literal)
	}
	var all []any
	for inner != "}" {
		var b strings.Builder
		quoted := inner[0] == '"'
		i := 0
		if quoted {
			i = 1
		}
		for {
			if i >= len(inner) {
				t.Fatalf("an element without an end: %q", literal)
			}
			c := inner[i]
			switch {
			case c == '\\':
				i++
				b.WriteByte(inner[i])
			case quoted && c == '"':
				i++
				goto end
			case !quoted && (c == ',' || c == '}'):
				goto end
			case !quoted && strings.IndexByte(`"{ `, c) >= 0:
				t.Fatalf("%q in an element without quotes: %q", c, literal)
			default:
				b.WriteByte(c)
			}
			i++
		}
	end:
		if quoted || b.String() != "NULL" {
			all = append(all, b.String())
		} else {
			all = append(all, nil)
		}
		switch inner = inner[i:]; {
		case inner == "}":
		case strings.HasPrefix(inner, ",") && len(inner) > 1:
			inner = inner[1:]
		default:
			t.Fatalf("%q after an element: %q", inner, literal)
		}
	}
	return all
}

func literal(raw bool, values ...any) string {
	text := []byte{'{'}
	for i, v := range values {
		if i > 0 {
			text = append(text, ',')
		}
		text = appendElement(text, v, raw)
	}
	return string(append(text, '}'))
}

func TestElements(t *testing.T) {
	for _, tc := range []struct {
		in   any
		raw  bool
		want any
	}{
		{nil, false, nil},
		{"NULL", false, "NULL"},
		{"", false, ""},
		{`a"b\c`, false, `a"b\c`},
		{int64(math.MinInt64), false, "-9223372036854775808"},
		{true, false, "true"},
		{0.1, false, "0.1"},
		{math.NaN(), false, "NaN"},
		{math.Inf(1), false, "Infinity"},
		{math.Inf(-1), false, "-Infinity"},
		{1e300, false, "1e+300"},
		{[]byte("text"), false, "text"},
		{[]byte{0, 255}, true, `\x00ff`},
		{"h\x00", true, `\x6800`},
		{time.Date(2024, 2, 29, 1, 2, 3, 4000, time.FixedZone("", -3600)), false, "2024-02-29 01:02:03.000004-01:00:00"},
		{time.Date(0, 1, 2, 0, 0, 0, 0, time.UTC), false, "0001-01-02 00:00:00Z BC"},
	} {
		got := elements(t, literal(tc.raw, "before", tc.in, "after"))
		if len(got) != 3 || got[1] != tc.want || got[2] == nil {
			t.Errorf("%v: %q", tc.in, got)
		}
	}
}

func FuzzElements(f *testing.F) {
	f.Add(`"`, `\`, true)
	f.Add(`NULL`, `{},`, false)
	f.Fuzz(func(t *testing.T, a, b string, null bool) {
		in := []any{a, nil, b, []byte(a), b + a}
		if !null {
			in[1] = "NULL"
		}
		got := elements(t, literal(false, in...))
		if len(got) != len(in) || got[0] != a || (got[1] == nil) != null || got[2] != b || got[3] != a || got[4] != b+a {
			t.Errorf("%q became %q", in, got)
		}
	})
}
