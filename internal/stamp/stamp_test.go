package stamp

import (
	"context"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/embedded"
	"github.com/redstart-go/redstart/internal/frame"
	"github.com/redstart-go/redstart/key"
	"github.com/redstart-go/redstart/redstarttest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func onServers(t *testing.T, test func(t *testing.T, c *redstart.Client)) {
	t.Helper()
	with := func(t *testing.T, url string) {
		c, err := redstart.Open(context.Background(), url, redstart.Config{})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		test(t, c)
	}
	t.Run("embedded", func(t *testing.T) {
		s, err := embedded.Start(embedded.Config{})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		with(t, s.URL())
	})
	t.Run("redis-server", func(t *testing.T) {
		with(t, redstarttest.Run(t, redstarttest.ServerConfig{}).URL())
	})
}

func pttl(t *testing.T, c *redstart.Client, k string) int64 {
	t.Helper()
	n, err := c.Do(t.Context(), c.B().Pttl().Key(k).Build()).AsInt64()
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestStamps(t *testing.T) {
	onServers(t, func(t *testing.T, c *redstart.Client) {
		ctx := t.Context()
		sample := func(life time.Duration) []string {
			t.Helper()
			got, err := Sample(ctx, c, []string{"a", "b"}, life)
			if err != nil || len(got) != 2 || len(got[0]) != 16 {
				t.Fatalf("Sample = %q, %v", got, err)
			}
			return got
		}
		first := sample(time.Minute)
		if first[0] == first[1] {
			t.Error("two tags with one stamp")
		}
		if again := sample(time.Minute); again[0] != first[0] || again[1] != first[1] {
			t.Error("a stamp changed by itself")
		}
		if err := Replace(ctx, c, "a", time.Hour); err != nil {
			t.Fatal(err)
		}
		second := sample(time.Minute)
		if second[0] == first[0] || second[1] != first[1] {
			t.Errorf("after Replace of one: %q, then %q", first, second)
		}
		if err := c.Do(ctx, c.B().Del().Key("a").Build()).Error(); err != nil { // evicted
			t.Fatal(err)
		}
		if third := sample(time.Minute); third[0] == second[0] || third[0] == first[0] {
			t.Error("a stamp came back")
		}
		if err := c.Do(ctx, c.B().Set().Key("a").Value("foreign").Build()).Error(); err != nil {
			t.Fatal(err)
		}
		if got := sample(time.Minute); got[0] == "foreign" {
			t.Error("a foreign value was taken for a stamp")
		}

		// Sampling makes a stamp live as long as what will carry it, and not shorter.
		if n := pttl(t, c, "b"); n < 60_000 {
			t.Errorf("a stamp lives %d ms", n)
		}
		sample(time.Hour)
		if n := pttl(t, c, "b"); n < 3_600_000 {
			t.Errorf("renewed for an hour it lives %d ms", n)
		}
		sample(time.Minute)
		if n := pttl(t, c, "b"); n < 3_600_000 {
			t.Errorf("shortened to %d ms", n)
		}
		sample(0)
		if n := pttl(t, c, "b"); n != -1 {
			t.Errorf("renewed for good it lives %d ms", n)
		}
		sample(time.Minute)
		if n := pttl(t, c, "b"); n != -1 {
			t.Errorf("one for good was given %d ms", n)
		}
	})
}

func TestLedger(t *testing.T) {
	onServers(t, func(t *testing.T, c *redstart.Client) {
		ctx := t.Context()
		l := Ledger{Client: c, Key: "ledger", Life: time.Minute}
		open := func() Page {
			t.Helper()
			p, err := l.Open(ctx)
			if err != nil {
				t.Fatal(err)
			}
			return p
		}
		quiet := func(p Page, want bool, tags ...string) {
			t.Helper()
			if got, err := l.Quiet(ctx, p, tags); err != nil || got != want {
				t.Errorf("Quiet(%q) = %v, %v, want %v", tags, got, err, want)
			}
		}
		note := func(tag string) {
			t.Helper()
			if err := l.Note(ctx, tag); err != nil {
				t.Fatal(err)
			}
		}
		first := open()
		quiet(first, true, "a", "b")
		note("a")
		quiet(first, false, "a")
		quiet(first, false, "b", "a")
		quiet(first, true, "b")
		second := open()
		quiet(second, true, "a", "b")
		note("a")
		quiet(second, false, "a")
		if err := c.Do(ctx, c.B().Del().Key("ledger").Build()).Error(); err != nil { // evicted
			t.Fatal(err)
		}
		quiet(second, false, "b")
		third := open()
		quiet(second, false, "b")
		quiet(third, true, "a", "b")
		if n := pttl(t, c, "ledger"); n < 60_000 || n > 120_000 {
			t.Errorf("the ledger lives %d ms", n)
		}
	})
}

// The keys of tags are never an entry's, of whatever id.
func TestKeysOfTags(t *testing.T) {
	for _, template := range []string{"user:<id>", "shop:{user:<id>}:cart", "weather:<country>:<city>", "<id>", "v<n>:<41>.json"} {
		entries := key.MustParse(template)
		tags, err := Of(nil, entries, time.Second)
		if err != nil {
			t.Fatalf("%s: %v", template, err)
		}
		seen := map[string]bool{tags.all.Key: true, tags.ledger.Key: true}
		for _, name := range []string{"a", "b", ":", "%tag", "{x}", "a:b", "a%3Ab"} {
			l, err := tags.Label(name)
			if err != nil || seen[l.Key] {
				t.Errorf("%s: the tag %q is at %q like another, %v", template, name, l.Key, err)
			}
			seen[l.Key] = true
		}
		for k := range seen {
			if ids, ok := entries.Match(k); ok {
				t.Errorf("%s: %q is the entry of %q", template, k, ids)
			}
			if ids, ok := key.MustParse("<a>:<b>:<c>:<d>").Match(k); ok {
				t.Errorf("%q is the entry of %q in another cache", k, ids)
			}
		}
	}
	tags, err := Of(nil, key.MustParse("user:<id>"), time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tags.Labels(nil, []string{"a", ""}); err == nil {
		t.Error("an empty tag was taken")
	}
	if got, err := tags.Labels(nil, []string{"a", "b", "a"}); err != nil || len(got) != 2 {
		t.Errorf("Labels of a doubled tag = %v, %v", got, err)
	}
}

func TestAlive(t *testing.T) {
	meta := func(tags ...frame.Tag) *frame.Meta {
		f, err := frame.Parse(frame.Seal(frame.AppendMeta(frame.Begin(nil, frame.Value, 0, 0), time.Hour, 0, 0, tags)))
		if err != nil {
			t.Fatal(err)
		}
		return &f.Meta
	}
	a, b := frame.Tag{Name: "a", Stamp: "1"}, frame.Tag{Name: "b", Stamp: "2"}
	for name, tc := range map[string]struct {
		meta   *frame.Meta
		stamps []frame.Tag
		want   bool
	}{
		"none":             {meta(), nil, true},
		"same":             {meta(a, b), []frame.Tag{b, a}, true},
		"another stamp":    {meta(a), []frame.Tag{{Name: "a", Stamp: "2"}}, false},
		"no stamp":         {meta(a), []frame.Tag{{Name: "a"}}, false},
		"not asked for":    {meta(a, b), []frame.Tag{a}, false},
		"does not carry":   {meta(a), []frame.Tag{a, b}, false},
		"carries none":     {meta(), []frame.Tag{a}, false},
		"stored with none": {meta(frame.Tag{Name: "a"}), []frame.Tag{{Name: "a"}}, false},
	} {
		if got := Alive(tc.meta, tc.stamps); got != tc.want {
			t.Errorf("%s: Alive = %v", name, got)
		}
	}
}
