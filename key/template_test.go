package key

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestKeyIsAsWrittenByHand(t *testing.T) {
	for _, c := range []struct {
		template string
		ids      []string
		want     string
	}{
		{"user:<id>", []string{"123"}, "user:123"},
		{"shop:user:<id>:profile", []string{"usr_456"}, "shop:user:usr_456:profile"},
		{"shop:{user:<id>}:cart", []string{"7"}, "shop:{user:7}:cart"},
		{"mail:<address>", []string{"a.b+c@example.com"}, "mail:a.b+c@example.com"},
		{"page:<path>", []string{"/a/b~c,d?e=f&g#h*[i]\\\"'"}, "page:/a/b~c,d?e=f&g#h*[i]\\\"'"},
		{"city:<name>", []string{"Zürich東京"}, "city:Zürich東京"},
		{"raw:<bytes>", []string{"\x80\xff"}, "raw:\x80\xff"},
		{"config:global", nil, "config:global"},
		{"<tenant>:<user>", []string{"a", "b"}, "a:b"},
		{"<a>{<b>}<c>", []string{"a", "b", "c"}, "a{b}c"},
		{"doc:v<n>:<id>.json", []string{"2", "x"}, "doc:v2:x.json"},
		{"100%:<id>", []string{"x"}, "100%:x"},
		{"a::<id>:", []string{"x"}, "a::x:"},
	} {
		tpl := MustParse(c.template)
		got, err := tpl.Key(c.ids...)
		if err != nil || got != c.want {
			t.Errorf("%s: Key(%q) = %q, %v; want %q", c.template, c.ids, got, err, c.want)
		}
		ids, ok := tpl.Match(c.want)
		if !ok || !slices.Equal(ids, c.ids) {
			t.Errorf("%s: Match(%q) = %q, %v; want %q", c.template, c.want, ids, ok, c.ids)
		}
	}
}

func TestEscaping(t *testing.T) {
	tpl := MustParse("u:<id>:p")
	for id, spelt := range map[string]string{
		"":            "%_",
		"%_":          "%25_",
		"_":           "_",
		"a:b":         "a%3Ab",
		"{a}":         "%7Ba%7D",
		"100%":        "100%25",
		"\x00\x1f\n ": "%00%1F%0A%20",
		"\x7f":        "%7F",
		"%3A":         "%253A",
		":":           "%3A",
	} {
		got, err := tpl.Key(id)
		if err != nil || got != "u:"+spelt+":p" {
			t.Errorf("Key(%q) = %q, %v; want %q", id, got, err, "u:"+spelt+":p")
		}
		ids, ok := tpl.Match("u:" + spelt + ":p")
		if !ok || ids[0] != id {
			t.Errorf("Match of %q = %q, %v; want %q", spelt, ids, ok, id)
		}
	}
}

func TestPlainBytes(t *testing.T) {
	const special = ":{}%\x7f"
	for b := range 256 {
		id := string([]byte{byte(b)})
		want := id
		if b <= ' ' || strings.Contains(special, id) {
			want = fmt.Sprintf("%%%02X", b)
		}
		if got := string(appendEscaped(nil, id)); got != want {
			t.Errorf("byte %#02x is written as %q, want %q", b, got, want)
		}
	}
}

func TestMatchIsStrict(t *testing.T) {
	for template, keys := range map[string][]string{
		"u:<id>:p": {
			"", "u:", "u:p", "u::p", "u:a", "u:a:", "u:a:q", "u:a:p:", "u:a:b:p", "x:a:p", "u:a:px",
			"u:%:p", "u:%2:p", "u:%__:p", "u:a%_:p", "u:%_a:p", "u:%3a:p", "u:%7b:p", "u:%41:p", "u:%2D:p",
			"u:%FF:p", "u:%G0:p", "u:a b:p", "u:a\x00:p", "u:a{:p", "u:}:p", "u:{a}:p", "u:a\n:p",
			"u:" + strings.Repeat("a", MaxLen-3) + ":p",
		},
		"s:{u:<id>}:c":  {"s:u:1:c", "s:{u:1:c", "s:{u:1}c", "s:{u:}:c", "s:{u:1}}:c", "s:{{u:1}:c", "s:{u:1}:c2"},
		"v<n>.json":     {"v.json", "v1", "1.json", "v1.jso", "v1.json:", "v1:.json", "w1.json"},
		"config:global": {"config", "config:global:", "config:globa", ""},
		"a<x>a":         {"a", "aa", "aba:", "ab"},
	} {
		tpl := MustParse(template)
		for _, k := range keys {
			if ids, ok := tpl.Match(k); ok || ids != nil {
				t.Errorf("%s matches %q with %q", template, k, ids)
			}
		}
	}
	if ids, ok := MustParse("a<x>a").Match("aaa"); !ok || ids[0] != "a" {
		t.Errorf("a<x>a on aaa = %q, %v", ids, ok)
	}
}

// Every tuple of ids from a small set that holds all that is special: no two
// may give one key, and each must come back.
func TestInjective(t *testing.T) {
	alphabet := []string{"", "a", "%", ":", "{", "}", "_", "-", "2", "5", "A", " ", "v", "."}
	var values []string
	for _, a := range alphabet {
		for _, b := range alphabet {
			values = append(values, a+b, a+"3"+b)
		}
	}
	slices.Sort(values)
	values = slices.Compact(values)
	for _, template := range []string{"<a>:<b>", "{<a>}<b>", "<a>{<b>}", "x<a>%:<b>y", "v<a>5:-<b>A", "{v<a>_:_<b>}", "%<a>25:%<b>_"} {
		tpl := MustParse(template)
		seen := make(map[string][2]string, len(values)*len(values))
		for _, a := range values {
			for _, b := range values {
				k, err := tpl.Key(a, b)
				if err != nil {
					t.Fatal(err)
				}
				if was, dup := seen[k]; dup {
					t.Fatalf("%s: %q and %q both give %q", template, was, [2]string{a, b}, k)
				}
				seen[k] = [2]string{a, b}
				if ids, ok := tpl.Match(k); !ok || ids[0] != a || ids[1] != b {
					t.Fatalf("%s: %q gives %q, read back as %q, %v", template, [2]string{a, b}, k, ids, ok)
				}
			}
		}
	}
}

func TestAccessors(t *testing.T) {
	tpl := MustParse("shop:{user:<id>}:cart:<item>")
	if got := tpl.String(); got != "shop:{user:<id>}:cart:<item>" {
		t.Errorf("String() = %q", got)
	}
	if got := tpl.Prefix(); got != "shop:{user:" {
		t.Errorf("Prefix() = %q", got)
	}
	names := tpl.Names()
	if !slices.Equal(names, []string{"id", "item"}) {
		t.Errorf("Names() = %q", names)
	}
	names[0] = "changed"
	if tpl.Names()[0] != "id" {
		t.Error("a caller changed the template through Names")
	}
	if tag, ok := tpl.HashTag(); !ok || tag != "user:<id>" {
		t.Errorf("HashTag() = %q, %v", tag, ok)
	}
	if tag, ok := MustParse("user:<id>").HashTag(); ok || tag != "" {
		t.Errorf("HashTag() without braces = %q, %v", tag, ok)
	}
	var zero Template
	if k, err := zero.Key(); k != "" || err != nil {
		t.Errorf("zero template: Key() = %q, %v", k, err)
	}
}

func TestWrongCount(t *testing.T) {
	tpl := MustParse("user:<id>")
	for _, ids := range [][]string{nil, {"secret", "secret2"}} {
		_, err := tpl.Key(ids...)
		wantError(t, err, ErrCount, "secret")
		_, err = tpl.Slot(ids...)
		wantError(t, err, ErrCount, "secret")
		dst, err := tpl.AppendKey([]byte("kept"), ids...)
		wantError(t, err, ErrCount, "secret")
		if string(dst) != "kept" {
			t.Errorf("AppendKey changed dst to %q on an error", dst)
		}
	}
}

func TestLengthBound(t *testing.T) {
	tpl := MustParse("u:<id>")
	for _, c := range []struct {
		id   string
		want int
	}{
		{strings.Repeat("s", MaxLen-2), MaxLen},
		{strings.Repeat("s", MaxLen-1), MaxLen + 1},
		{strings.Repeat(":", (MaxLen-2)/3), 2 + (MaxLen-2)/3*3},
		{strings.Repeat(":", (MaxLen-2)/3) + ":", MaxLen + 1},
		{strings.Repeat("s", 1<<20), 1<<20 + 2},
	} {
		k, err := tpl.Key(c.id)
		if c.want <= MaxLen {
			if err != nil || len(k) != c.want {
				t.Errorf("%d bytes wanted, got %d, %v", c.want, len(k), err)
			}
			if ids, ok := tpl.Match(k); !ok || ids[0] != c.id {
				t.Errorf("a key of %d bytes was not read back", len(k))
			}
			continue
		}
		wantError(t, err, ErrTooLong, "ss")
		for _, figure := range []int{c.want, MaxLen} {
			if err != nil && !strings.Contains(err.Error(), fmt.Sprint(figure)) {
				t.Errorf("%v: does not say %d", err, figure)
			}
		}
		if dst, err := tpl.AppendKey([]byte("kept"), c.id); err == nil || string(dst) != "kept" {
			t.Errorf("AppendKey = %d bytes, %v", len(dst), err)
		}
	}
	// What stands in dst does not count.
	long := bytes.Repeat([]byte("x"), 2*MaxLen)
	if dst, err := tpl.AppendKey(long, "1"); err != nil || len(dst) != 2*MaxLen+3 {
		t.Errorf("AppendKey to a long dst = %d bytes, %v", len(dst), err)
	}
}

func wantError(t *testing.T, err, want error, secret string) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("error %v, want %v", err, want)
		return
	}
	if strings.Contains(err.Error(), secret) {
		t.Errorf("error %q holds an id", err)
	}
	if !strings.HasPrefix(err.Error(), "redstart/key: ") {
		t.Errorf("error %q does not begin with the package", err)
	}
}

func TestAllocations(t *testing.T) {
	one, two := MustParse("shop:user:<id>:profile"), MustParse("shop:{user:<id>}:cart:<item>")
	id, odd := strings.Repeat("1", 24), "a:b c"
	dst := make([]byte, 0, 256)
	keep := ""
	for _, c := range []struct {
		name string
		want float64
		f    func()
	}{
		{"AppendKey, one id", 0, func() { dst, _ = one.AppendKey(dst[:0], id) }},
		{"AppendKey, two ids", 0, func() { dst, _ = two.AppendKey(dst[:0], id, id) }},
		{"AppendKey, escaped", 0, func() { dst, _ = two.AppendKey(dst[:0], odd, "") }},
		{"Slot", 0, func() { _, _ = two.Slot(id, odd) }},
		{"Key, one id", 1, func() { keep, _ = one.Key(id) }},
		{"Key, two ids", 1, func() { keep, _ = two.Key(id, id) }},
		{"Key, escaped", 1, func() { keep, _ = two.Key(odd, "") }},
		{"Match, plain", 1, func() { _, _ = two.Match("shop:{user:7}:cart:8") }},
		{"Match, refused early", 0, func() { _, _ = two.Match("blog:{user:7}:cart:8") }},
	} {
		if got := testing.AllocsPerRun(100, c.f); got != c.want {
			t.Errorf("%s: %v allocations, want %v", c.name, got, c.want)
		}
	}
	if keep == "" {
		t.Error("no key was built")
	}
}

func TestPattern(t *testing.T) {
	for template, want := range map[string]string{
		"user:<id>":             "user:*",
		"shop:{user:<id>}:c":    "shop:{user:*}:c",
		`a*b?[c]\:<x>:d*`:       `a\*b\?\[c\]\\:*:d\*`,
		"plain":                 "plain",
		"v<n>:<id>.json":        "v*:*.json",
		"{<tenant>}:^-!:<user>": "{*}:^-!:*",
	} {
		if got := MustParse(template).Pattern(); got != want {
			t.Errorf("%s: Pattern() = %q, want %q", template, got, want)
		}
	}
	if glob(`a\*:*`, "aX:1") || !glob(`a\*:*`, "a*:1") || !glob("*b*", "abc") || glob("*b", "abc") {
		t.Fatal("the matcher of these tests is wrong")
	}
}

// glob is the part of Redis's matcher that patterns of this package need: '*'
// and '\'. It refuses a class or a '?', which no pattern may have bare.
func glob(pattern, s string) bool {
	switch {
	case pattern == "":
		return s == ""
	case pattern[0] == '*':
		for i := 0; i <= len(s); i++ {
			if glob(pattern[1:], s[i:]) {
				return true
			}
		}
		return false
	case pattern[0] == '?' || pattern[0] == '[':
		return false
	case pattern[0] == '\\' && len(pattern) > 1:
		pattern = pattern[1:]
	}
	return s != "" && s[0] == pattern[0] && glob(pattern[1:], s[1:])
}
