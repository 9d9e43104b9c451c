package cache

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/embedded"
	"github.com/redstart-go/redstart/internal/entry"
	"github.com/redstart-go/redstart/internal/frame"
	"github.com/redstart-go/redstart/internal/ids"
	"github.com/redstart-go/redstart/key"
)

func embeddedClient(t *testing.T) *redstart.Client {
	t.Helper()
	s, err := embedded.Start(embedded.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return open(t, s.URL(), redstart.Config{})
}

// put writes a string behind the cache's back.
func put(t *testing.T, c *redstart.Client, k, v string) {
	t.Helper()
	if err := c.Do(t.Context(), c.B().Set().Key(k).Value(v).Build()).Error(); err != nil {
		t.Fatal(err)
	}
}

func fresh(context.Context, int) (user, error) { return user{Name: "fresh"}, nil }

// Whatever string stands at the key, a reader gets what Load gives, and the
// string is replaced by it.
func TestWhatIsNoEntryIsAMiss(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		c := open(t, url, redstart.Config{})
		us := users(t, c, fresh)
		good, err := us.form.Encode(user{Name: "stale"}, entry.About{}, false)
		if err != nil {
			t.Fatal(err)
		}
		cut, flipped, version := string(good[:len(good)-1]), []byte(string(good)), []byte(string(good))
		flipped[len(flipped)-1] ^= 1
		version[2]++
		for name, raw := range map[string]string{
			"empty":         "",
			"text":          "hello",
			"magic alone":   "\xf5R",
			"cut":           cut,
			"flipped":       string(flipped),
			"version":       string(version),
			"other schema":  frame.Make(frame.Value, us.form.ID, us.form.Schema+1, string(good[frame.Size:])),
			"other codec":   frame.Make(frame.Value, us.form.ID+1, us.form.Schema, string(good[frame.Size:])),
			"unknown kind":  frame.Make(200, 0, 0, ""),
			"codec refuses": frame.Make(frame.Value, us.form.ID, us.form.Schema, "\xc1"),
		} {
			put(t, c, "user:1", raw)
			for range 2 {
				if u, err := us.Get(t.Context(), 1); err != nil || u.Name != "fresh" {
					t.Errorf("%s: Get = %+v, %v", name, u, err)
				}
			}
			if u, ok, err := us.Peek(t.Context(), 1); !ok || err != nil || u.Name != "fresh" {
				t.Errorf("%s: not replaced: Peek = %+v, %v, %v", name, u, ok, err)
			}
		}
	})
}

func TestValuesThatLookLikeEntries(t *testing.T) { onServers(t, valuesThatLookLikeEntries) }

func valuesThatLookLikeEntries(t *testing.T, url string) {
	c := open(t, url, redstart.Config{})
	inner := frame.Make(frame.Lease, 0, 0, "0123456789abcdef")
	blobs, err := New(c, Config[string, string]{Key: "blob:<id>", Load: func(context.Context, string) (string, error) { return inner, nil }})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if got, err := blobs.Get(t.Context(), "x"); err != nil || got != inner {
			t.Fatalf("Get = %q, %v", got, err)
		}
	}
}

func TestChangedStructIsAMiss(t *testing.T) { onServers(t, changedStructIsAMiss) }

func changedStructIsAMiss(t *testing.T, url string) {
	c := open(t, url, redstart.Config{})
	type v1 struct{ A, B string }
	type v2 struct{ B, A string }
	one, err := New(c, Config[int, v1]{Key: "thing:<id>", Load: func(context.Context, int) (v1, error) { return v1{"a", "b"}, nil }})
	if err != nil {
		t.Fatal(err)
	}
	two, err := New(c, Config[int, v2]{Key: "thing:<id>", Load: func(context.Context, int) (v2, error) { return v2{"new b", "new a"}, nil }})
	if err != nil {
		t.Fatal(err)
	}
	_, _ = one.Get(t.Context(), 1)
	if got, err := two.Get(t.Context(), 1); err != nil || got.A != "new a" {
		t.Errorf("Get of the changed struct = %+v, %v: fields swapped", got, err)
	}
	three, err := New(c, Config[int, v2]{Key: "thing:<id>", Version: 1, Load: func(context.Context, int) (v2, error) { return v2{"b3", "a3"}, nil }})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := three.Get(t.Context(), 1); err != nil || got.A != "a3" {
		t.Errorf("Get after Version was raised = %+v, %v", got, err)
	}
}

func TestAdopt(t *testing.T) { onServers(t, adopts) }

func adopts(t *testing.T, url string) {
	c := open(t, url, redstart.Config{})
	us := users(t, c, fresh, func(cfg *Config[int, user]) {
		cfg.Adopt = func(raw []byte) (user, error) {
			name, ok := strings.CutPrefix(string(raw), "name=")
			if !ok {
				return user{}, errors.New("not the old format")
			}
			return user{Name: name}, nil
		}
	})
	put(t, c, "user:1", "name=old")
	if u, err := us.Get(t.Context(), 1); err != nil || u.Name != "old" {
		t.Errorf("Get = %+v, %v", u, err)
	}
	put(t, c, "user:1", "something else")
	if u, err := us.Get(t.Context(), 1); err != nil || u.Name != "fresh" {
		t.Errorf("Get of what Adopt refuses = %+v, %v", u, err)
	}
	if s := us.Stats(); s.Adopted != 1 {
		t.Errorf("Adopted = %d", s.Adopted)
	}
}

func TestWrongTypeIsAnError(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		c := open(t, url, redstart.Config{})
		us := users(t, c, fresh)
		if err := c.Do(t.Context(), c.B().Lpush().Key("user:1").Element("x").Build()).Error(); err != nil {
			t.Fatal(err)
		}
		_, err := us.Get(t.Context(), 1)
		var e *redstart.Error
		if !errors.As(err, &e) || e.Code != "WRONGTYPE" || e.Template != "user:<id>" || e.Outcome != redstart.NotApplied {
			t.Errorf("Get = %v (%+v)", err, e)
		}
		if strings.Contains(err.Error(), "user:1") {
			t.Errorf("the key stands in the text: %v", err)
		}
	})
}

func TestLargeValues(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		c := open(t, url, redstart.Config{})
		big := user{Name: strings.Repeat("x", 200)}
		us := users(t, c, func(context.Context, int) (user, error) { return big, nil }, func(cfg *Config[int, user]) { cfg.MaxBytes = 100 })
		for range 3 {
			if u, err := us.Get(t.Context(), 1); err != nil || u.Name != big.Name {
				t.Errorf("Get = %d bytes, %v: too large must be served all the same", len(u.Name), err)
			}
		}
		if s := us.Stats(); s.TooLarge != 1 || s.Loads != 3 {
			t.Errorf("Stats = %+v, want it noticed once and loaded each time", s)
		}
		if err := us.Set(t.Context(), 1, big); !errors.Is(err, ErrTooLarge) || redstart.OutcomeOf(err) != redstart.NotApplied {
			t.Errorf("Set = %v (%v)", err, redstart.OutcomeOf(err))
		}
	})
}

func TestTTLs(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		c := open(t, url, redstart.Config{})
		us := users(t, c, fresh, func(cfg *Config[int, user]) { cfg.TTL = time.Minute })
		for _, ttl := range []time.Duration{0, -time.Second} {
			if err := us.SetTTL(t.Context(), 1, user{}, ttl); err == nil || redstart.OutcomeOf(err) != redstart.NotApplied {
				t.Errorf("SetTTL(%v) = %v", ttl, err)
			}
		}
		pttl := func() time.Duration {
			n, err := c.Do(t.Context(), c.B().Pttl().Key("user:1").Build()).AsInt64()
			if err != nil {
				t.Fatal(err)
			}
			return time.Duration(n) * time.Millisecond
		}
		_, _ = us.Get(t.Context(), 1)
		if d := pttl(); d > time.Minute || d < 50*time.Second {
			t.Errorf("TTL after a load: %v, want 54 s to 60 s", d)
		}
		if err := us.SetTTL(t.Context(), 1, user{}, time.Hour); err != nil {
			t.Fatal(err)
		}
		if d := pttl(); d > time.Hour || d < 50*time.Minute {
			t.Errorf("TTL after SetTTL: %v", d)
		}
		forever := users(t, c, fresh, func(cfg *Config[int, user]) { cfg.TTL = -1 })
		if err := forever.Set(t.Context(), 1, user{}); err != nil {
			t.Fatal(err)
		}
		if d := pttl(); d != -time.Millisecond {
			t.Errorf("TTL with none configured: %v", d)
		}
	})
}

func TestConfigReportsEveryField(t *testing.T) {
	c := embeddedClient(t)
	_, err := New(c, Config[struct{ X chan int }, func()]{
		Key: "a:<x>", Jitter: 2, Lease: time.Millisecond, LoadTimeout: -1, ErrorTTL: -1,
	})
	if err == nil {
		t.Fatal("no error")
	}
	for _, field := range []string{"Args", "Load", "Jitter", "Lease", "LoadTimeout", "ErrorTTL", "Codec"} {
		if !strings.Contains(err.Error(), "config: "+field+":") {
			t.Errorf("%s is not reported in:\n%v", field, err)
		}
	}
	if _, err := New(c, Config[int, int]{Load: func(context.Context, int) (int, error) { return 0, nil }}); err == nil || !strings.Contains(err.Error(), "Key") {
		t.Errorf("no Key: %v", err)
	}
	if _, err := New(c, Config[int, int]{Key: "a:<x", Load: func(context.Context, int) (int, error) { return 0, nil }}); !errors.Is(err, key.ErrTemplate) && err == nil {
		t.Errorf("bad Key: %v", err)
	}
}

func TestIDs(t *testing.T) { onServers(t, anyIDs) }

func anyIDs(t *testing.T, url string) {
	c := open(t, url, redstart.Config{})
	long := strings.Repeat("x", 10<<10)
	names, err := New(c, Config[string, string]{Key: "n:<id>", Load: func(_ context.Context, id string) (string, error) { return "of " + id, nil }})
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"", ":", "{a}", "a\x00b", "%", "%_", "é", "a b"} {
		if got, err := names.Get(t.Context(), id); err != nil || got != "of "+id {
			t.Errorf("Get(%q) = %q, %v", id, got, err)
		}
	}
	if _, err := names.Get(t.Context(), long); !errors.Is(err, key.ErrTooLong) || strings.Contains(err.Error(), "xxxx") {
		t.Errorf("Get of 10 KiB = %.200v", err)
	}
	type named int32
	type text string
	isKey(t, int8(-128), "x:-128")
	isKey(t, uint64(1<<64-1), "x:18446744073709551615")
	isKey(t, named(-7), "x:-7")
	isKey(t, text("a:b"), "x:a%3Ab")
	isKey(t, netip.MustParseAddr("::1"), "x:%3A%3A1")
}

// isKey checks what an id's key is, alone and among others.
func isKey[K comparable](t *testing.T, id K, want string) {
	t.Helper()
	keys := ids.Of[K](key.MustParse("x:<id>"), nil)
	if k, err := keys.One(id); err != nil || k != want {
		t.Errorf("key %q, %v, want %q", k, err, want)
	}
	all := keys.All([]K{id, id, id}, []int{0, 1, 2}, func(i int, err error) { t.Errorf("key %d: %v", i, err) })
	if !slices.Equal(all, []string{want, want, want}) {
		t.Errorf("keys %q, want %q", all, want)
	}
}
