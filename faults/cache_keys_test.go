package faults

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/cache"
	"github.com/redstart-go/redstart/faults/harness"
	"github.com/redstart-go/redstart/faults/history"
	"github.com/redstart-go/redstart/key"
)

// What C10's keys are made of: templates that differ, and whose keys for plain
// ids differ.
var c10Templates = []string{
	"user:<id>", "users:<id>", "user:<id>:profile", "user:<id>:cart", "{user:<id>}:cart", "user:{<id>}", "pre<id>post:x",
	"pair:<a>:<b>", "{pair:<a>}:<b>", "triple:<a>:<b>:<c>",
}

// pairs caches strings under ids of any shape.
func pairs(t *testing.T, client *redstart.Client, template string) *cache.Cache[[3]string, string] {
	t.Helper()
	places := len(key.MustParse(template).Names())
	c, err := cache.New(client, cache.Config[[3]string, string]{
		Key: template, Args: func(ids [3]string) []string { return ids[:places] },
		Load: func(context.Context, [3]string) (string, error) { return "", cache.ErrNotFound },
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// keysDistinct sets a value under each of many ids and templates, and reads
// all of them back: two that share a key cannot both have their own.
func keysDistinct(t *testing.T, form harness.Form, seed uint64, url string) (pairsSeen int) {
	t.Helper()
	for name, value := range map[string]string{
		"rapid.seed": fmt.Sprint(seed), "rapid.checks": harness.Choose(form, "100", "2000"), "rapid.nofailfile": "true",
	} {
		if err := flag.Set(name, value); err != nil {
			t.Fatal(err)
		}
	}
	client := openHere(t, url, redstart.Config{Namespace: "shop"})
	var caches []*cache.Cache[[3]string, string]
	for _, template := range c10Templates {
		caches = append(caches, pairs(t, client, template))
	}
	piece := rapid.OneOf(
		rapid.SampledFrom([]string{"", " ", ":", "{", "}", "{}", "\x00", "%", "%3A", "ann b", "b c", "c", "ann", "1", "1:profile", "<id>", "*", "\xff", "\xf5R", "é", "..", "\r\n"}),
		rapid.StringN(0, 6, 24),
		rapid.Map(rapid.SliceOfN(rapid.Byte(), 0, 6), func(b []byte) string { return string(b) }),
	)
	id := rapid.Custom(func(t *rapid.T) string { return strings.Join(rapid.SliceOfN(piece, 0, 3).Draw(t, "pieces"), "") })
	rapid.Check(t, func(rt *rapid.T) {
		if err := client.Do(t.Context(), client.B().Flushdb().Build()).Error(); err != nil {
			rt.Fatal(err)
		}
		want := map[int]map[[3]string]string{}
		n := 0
		put := func(at int, ids [3]string) {
			for i := len(key.MustParse(c10Templates[at]).Names()); i < 3; i++ {
				ids[i] = ""
			}
			if want[at] == nil {
				want[at] = map[[3]string]string{}
			}
			if _, ok := want[at][ids]; ok {
				return
			}
			want[at][ids] = fmt.Sprintf("%d %q", at, ids)
			n++
			if err := caches[at].Set(t.Context(), ids, want[at][ids]); err != nil {
				rt.Fatalf("Set of %q %q: %v", c10Templates[at], ids, err)
			}
		}
		for range rapid.IntRange(2, 12).Draw(rt, "entries") {
			ids := [3]string{id.Draw(rt, "a"), id.Draw(rt, "b"), id.Draw(rt, "c")}
			put(rapid.IntRange(0, len(caches)-1).Draw(rt, "template"), ids)
			// The same text cut elsewhere, and put together anew.
			whole := ids[0] + ids[1]
			cut := rapid.IntRange(0, len(whole)).Draw(rt, "cut")
			put(rapid.IntRange(0, len(caches)-1).Draw(rt, "other template"), [3]string{whole[:cut], whole[cut:], ids[2]})
		}
		for at, all := range want {
			for ids, v := range all {
				got, ok, err := caches[at].Peek(t.Context(), ids)
				if err != nil || !ok || got != v {
					rt.Fatalf("Peek of %q %q = %q, %v, %v; want %q: two of %v share a key", c10Templates[at], ids, got, ok, err, v, want)
				}
			}
		}
		if size, err := client.Do(t.Context(), client.B().Dbsize().Build()).AsInt64(); err != nil || int(size) != n {
			rt.Fatalf("%d keys for %d entries: %v", size, n, err)
		}
		pairsSeen += n * (n - 1) / 2
	})
	return pairsSeen
}

// knownPairs are collisions found in other caches.
func knownPairs(t *testing.T, url string) {
	t.Helper()
	client := openHere(t, url, redstart.Config{})
	c := pairs(t, client, "pair:<a>:<b>")
	known := [][3]string{{"ann b", "c"}, {"ann", "b c"}, {"a:b", "c"}, {"a", "b:c"}, {"", "x"}, {"x", ""}, {"a", "\x00"}, {"a\x00", ""}, {"%3A", ""}, {":", ""}}
	for _, ids := range known {
		if err := c.Set(t.Context(), ids, fmt.Sprint(ids)); err != nil {
			t.Fatal(err)
		}
	}
	byHand := map[string]string{}
	for _, ids := range known {
		if v, ok, err := c.Peek(t.Context(), ids); !ok || err != nil || v != fmt.Sprint(ids) {
			t.Errorf("%q has %q, %v, %v", ids, v, ok, err)
		}
		byHand[fmt.Sprintf("%q", ids)] = fmt.Sprintf("pair:%s:%s", ids[0], ids[1])
	}
	if history.Shared(byHand) == nil {
		t.Error("the checker finds no fault with keys made by formatting")
	}
	printed := map[string]string{}
	for _, ids := range known[:2] {
		printed[fmt.Sprintf("%q", ids)] = fmt.Sprintf("%v", ids[:2])
	}
	if history.Shared(printed) == nil {
		t.Error("the checker finds no fault with keys made by printing the arguments")
	}
}

// longKeys: an id that makes the key too long is refused with a clear error
// that does not hold it, and nothing is sent.
func longKeys(t *testing.T, url string) {
	t.Helper()
	client := openHere(t, url, redstart.Config{})
	c := pairs(t, client, "user:<id>")
	long := [3]string{strings.Repeat("x", 10<<10)}
	_, errGet := c.Get(t.Context(), long)
	_, _, errPeek := c.Peek(t.Context(), long)
	for what, err := range map[string]error{
		"Get": errGet, "Peek": errPeek, "Set": c.Set(t.Context(), long, "v"), "Invalidate": c.Invalidate(t.Context(), long),
	} {
		if !errors.Is(err, key.ErrTooLong) || redstart.OutcomeOf(err) != redstart.NotApplied || len(err.Error()) > 400 || strings.Contains(err.Error(), "xxxx") {
			t.Errorf("%s of an id of 10 KiB: %.300v (outcome %v)", what, err, redstart.OutcomeOf(err))
		}
	}
	fits := [3]string{strings.Repeat("y", key.MaxLen-len("user:"))}
	if err := c.Set(t.Context(), fits, "v"); err != nil {
		t.Errorf("an id that just fits: %v", err)
	}
}
