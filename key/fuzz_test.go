package key

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// FuzzTemplateRoundTrip: any template that compiles gives, for any ids, a key
// from which the ids come back, in the slot of its own hash tag.
func FuzzTemplateRoundTrip(f *testing.F) {
	for _, seed := range [][3]string{
		{"user:<id>", "123", ""},
		{"shop:{user:<id>}:cart", "a}b{c", ""},
		{"<a>:<b>", "a:b", "%3A"},
		{"x{<a>}y<b>z", "", "%_"},
		{"<a>{<b>}<c>", "z", "\x00\xff"},
		{"v<n>%:%<b>41", "%", "4"},
		{"a*[<x>]?:\\", "*", "]"},
		{"<a>::<b>:", "::", ""},
		{"<a>0:<b>", "0", "%0"},
		{"<{", "", ""},
		{"A.<0>", "", "\v"},
	} {
		f.Add(seed[0], seed[1], seed[2])
	}
	f.Fuzz(checkRoundTrip)
}

func checkRoundTrip(t *testing.T, template, odd, even string) {
	t.Helper()
	tpl, err := Parse(template)
	if err != nil {
		if tpl != nil || len(Check(template)) != 1 {
			t.Fatalf("Parse(%q) = %v, %v; Check = %q", template, tpl, err, Check(template))
		}
		return
	}
	Check(template)
	names := tpl.Names()
	ids := make([]string, len(names))
	for i := range ids {
		ids[i] = []string{odd, even}[i%2]
	}
	k, err := tpl.Key(ids...)
	if err != nil {
		return // too long
	}
	if back, ok := tpl.Match(k); !ok || !slices.Equal(back, ids) {
		t.Fatalf("%q: %q gives %q, read back as %q, %v", template, ids, k, back, ok)
	}
	if appended, err := tpl.AppendKey([]byte("x"), ids...); err != nil || string(appended) != "x"+k {
		t.Fatalf("%q: AppendKey gives %q, %v; Key %q", template, appended, err, k)
	}
	if !strings.HasPrefix(k, tpl.Prefix()) {
		t.Fatalf("%q: %q does not begin with %q", template, k, tpl.Prefix())
	}
	// Backtracking over many '*' takes the test's matcher too long.
	if strings.Count(tpl.Pattern(), "*") < 3 && len(k) < 200 && !glob(tpl.Pattern(), k) {
		t.Fatalf("%q: pattern %q does not match %q", template, tpl.Pattern(), k)
	}

	if strings.Count(k, "{") != strings.Count(template, "{") || strings.Count(k, "}") != strings.Count(template, "}") {
		t.Fatalf("%q: ids %q changed the braces: %q", template, ids, k)
	}
	want := crc16(k) % slots
	if tag, ok := tpl.HashTag(); ok {
		sub := MustParse(tag)
		before := strings.Count(template[:strings.IndexByte(template, '{')], "<")
		tagKey, err := sub.Key(ids[before : before+len(sub.Names())]...)
		if err != nil || tagKey == "" {
			t.Fatalf("%q: tag %q gives %q, %v", template, tag, tagKey, err)
		}
		want = crc16(tagKey) % slots
	}
	if got, err := tpl.Slot(ids...); err != nil || got != want || Slot(k) != want {
		t.Fatalf("%q: slot %d, %v, of the key %d; want %d", template, got, err, Slot(k), want)
	}
}

// Byte mutations rarely give a template of many parts; this puts them together.
func TestRandomTemplates(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	pieces := []string{"<a>", "<b>", "<c>", ":", ":", ":", "{", "}", "x", "41", "%", "*", "_", "v"}
	good := 0
	for range 100000 {
		template := ""
		for range 1 + r.IntN(9) {
			template += pieces[r.IntN(len(pieces))]
		}
		if tpl, err := Parse(template); err == nil && len(tpl.Names()) > 0 {
			good++
		}
		checkRoundTrip(t, template, randomID(r), randomID(r))
	}
	if good < 10000 {
		t.Errorf("only %d templates were any good", good)
	}
}

// FuzzMatchCanonical: a key that a template matches is the very key that it
// builds from the ids found.
func FuzzMatchCanonical(f *testing.F) {
	for _, seed := range [][2]string{
		{"user:<id>", "user:123"},
		{"user:<id>", "user:%3A"},
		{"user:<id>", "user:%3a"},
		{"user:<id>", "user:%_"},
		{"user:<id>", "user:"},
		{"shop:{user:<id>}:cart", "shop:{user:%7B%7D}:cart"},
		{"<a>:<b>", "%_:%25_"},
		{"x{<a>}y<b>z", "x{%00}yyzz"},
		{"v<n>41", "v%4141"},
		{"v<n>41", "v%25%4141"},
		{"<a>{<b>}<c>", "a{%20}\xff"},
		{"user:<id>", "user:%2A"},
		{"user:<id>", "user:%X0"},
		{"<n>41", "%00000041"},
		{"<n>0000", "0000"},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, template, k string) {
		Slot(k)
		tpl, err := Parse(template)
		if err != nil {
			return
		}
		ids, ok := tpl.Match(k)
		if !ok {
			if ids != nil {
				t.Fatalf("%q does not match %q, but gives %q", template, k, ids)
			}
			return
		}
		if back, err := tpl.Key(ids...); err != nil || back != k {
			t.Fatalf("%q: %q read as %q, built as %q, %v", template, k, ids, back, err)
		}
	})
}
