package cache

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/internal/entry"
	"github.com/redstart-go/redstart/internal/frame"
	"github.com/redstart-go/redstart/internal/source"
	"github.com/redstart-go/redstart/redstarttest"
)

func TestResultTTL(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		for ttl, want := range map[time.Duration]time.Duration{0: 10 * time.Minute, time.Hour: time.Hour, -1: -time.Millisecond} {
			us := users(t, open(t, url, redstart.Config{}), nil, func(cfg *Config[int, user]) {
				cfg.Jitter, cfg.Key = -1, fmt.Sprint("k", int64(ttl), ":<id>")
				cfg.LoadResult = func(_ context.Context, id int, _ Old[user]) (Result[user], error) {
					if id == 404 {
						return Result[user]{TTL: ttl}, ErrNotFound
					}
					return Result[user]{TTL: ttl}, nil
				}
			})
			_, _ = us.Get(t.Context(), 1)
			_, _ = us.Get(t.Context(), 404)
			for id, want := range map[int]time.Duration{1: want, 404: map[bool]time.Duration{true: defaultNegativeTTL, false: want}[ttl == 0]} {
				n, err := us.client.Do(t.Context(), us.client.B().Pttl().Key(fmt.Sprint("k", int64(ttl), ":", id)).Build()).AsInt64()
				if d := time.Duration(n) * time.Millisecond; err != nil || d > want || d < want-5*time.Second {
					t.Errorf("TTL %v: the entry of %d lives %v, %v, want %v", ttl, id, d, err, want)
				}
			}
		}
	})
}

// "Not modified" keeps the old value for another TTL; a load is given what is
// past its time or refreshed, and nothing that was invalidated.
func TestNotModified(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		var olds []Old[user]
		us := users(t, open(t, url, redstart.Config{}), nil, keep, byID, func(cfg *Config[int, user]) {
			cfg.Refresh, cfg.Compress, cfg.CompressAbove = Refresh{Fraction: 0.2}, S2, 10
			cfg.LoadResult = func(_ context.Context, id int, old Old[user]) (Result[user], error) {
				olds = append(olds, old)
				if old.OK {
					return Result[user]{NotModified: true}, nil
				}
				return Result[user]{Value: user{ID: id, Name: strings.Repeat("long ", 20)}}, nil
			}
		})
		get := func() Entry[user] {
			t.Helper()
			e, err := us.GetEntry(t.Context(), 1)
			if err != nil || e.Value.ID != 1 || e.Value.Name != strings.Repeat("long ", 20) {
				t.Fatalf("GetEntry = %+v, %v", e, err)
			}
			return e
		}
		young := func() {
			t.Helper()
			redstarttest.Eventually(t, 10*time.Second, "another TTL", func() bool {
				n, err := us.client.Do(t.Context(), us.client.B().Pttl().Key("user:1").Build()).AsInt64()
				return err == nil && n > (2*time.Hour-time.Minute).Milliseconds()
			})
			if e := get(); e.Stale || e.Age > time.Minute {
				t.Errorf("GetEntry = %+v", e)
			}
		}
		get()
		young()
		expire(t, us)
		if e := get(); e.Stale || e.Tier != TierSource {
			t.Errorf("past its TTL: %+v", e)
		}
		young()
		age(t, us.client, "user:1", time.Hour+10*time.Minute) // of two hours: ten minutes of the TTL are left
		get()
		young()
		expire(t, us)
		if err := us.InvalidateTag(t.Context(), "all"); err != nil {
			t.Fatal(err)
		}
		get()
		if err := us.Invalidate(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		get()
		want := []bool{false, true, true, false, false}
		if len(olds) != len(want) {
			t.Fatalf("%d loads: %+v", len(olds), olds)
		}
		for i, old := range olds {
			if old.OK != want[i] || old.OK && (old.Value.ID != 1 || old.Age < 45*time.Minute) {
				t.Errorf("load %d was given %+v", i, old)
			}
		}
	})
}

func TestNotModifiedOfNothing(t *testing.T) {
	us := users(t, embeddedClient(t), nil, func(cfg *Config[int, user]) {
		cfg.LoadResult = func(context.Context, int, Old[user]) (Result[user], error) {
			return Result[user]{NotModified: true}, nil
		}
	})
	if u, err := us.Get(t.Context(), 1); !errors.Is(err, source.ErrNotModified) || redstart.OutcomeOf(err) != redstart.NotApplied {
		t.Errorf("Get = %+v, %v", u, err)
	}
}

func TestRefinementsAreChecked(t *testing.T) {
	c := embeddedClient(t)
	_, err := New(c, Config[int, user]{
		Key: "user:<id>", Load: fresh, Refresh: Refresh{Fraction: 1}, SoftTimeout: time.Second, Compress: 9,
		LoadResult: func(context.Context, int, Old[user]) (Result[user], error) { return Result[user]{}, nil },
	})
	if err == nil {
		t.Fatal("no error")
	}
	for _, field := range []string{"Load", "Refresh", "SoftTimeout", "Compress"} {
		if !strings.Contains(err.Error(), "config: "+field+":") {
			t.Errorf("%s is not reported in:\n%v", field, err)
		}
	}
}

// Large payloads lie packed in the server, small ones and those that do not
// shrink as they are; everyone reads both.
func TestCompress(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		c := open(t, url, redstart.Config{})
		text, small := bytes.Repeat([]byte("Kind of Blue. "), 500), []byte("short")
		blobs := func(how Compression, most int) *Cache[string, []byte] {
			t.Helper()
			b, err := New(c, Config[string, []byte]{
				Key: "blob:<id>", Compress: how, MaxBytes: most,
				Load: func(context.Context, string) ([]byte, error) { return nil, ErrNotFound },
			})
			if err != nil {
				t.Fatal(err)
			}
			return b
		}
		readers := []*Cache[string, []byte]{blobs(NoCompression, 0), blobs(S2, 0), blobs(Zstd, 0)}
		for how, writer := range readers {
			for name, v := range map[string][]byte{"text": text, "small": small} {
				if err := writer.Set(t.Context(), name, v); err != nil {
					t.Fatal(err)
				}
				n, err := c.Do(t.Context(), c.B().Strlen().Key("blob:"+name).Build()).AsInt64()
				if packed := int(n) < len(v)/10; err != nil || packed != (how > 0 && name == "text") {
					t.Errorf("%d: %s of %d bytes takes %d, %v", how, name, len(v), n, err)
				}
				for _, r := range readers {
					got, err := r.Get(t.Context(), name)
					if err != nil || !bytes.Equal(got, v) {
						t.Errorf("%d: Get(%s) = %d bytes, %v", how, name, len(got), err)
					}
				}
				raw, err := c.Do(t.Context(), c.B().Get().Key("blob:"+name).Build()).AsBytes()
				if err != nil {
					t.Fatal(err)
				}
				if info, err := Inspect(raw); err != nil || !bytes.Equal(info.Payload, v) {
					t.Errorf("%d: Inspect = %d bytes, %v", how, len(info.Payload), err)
				}
			}
			// What expands beyond MaxBytes is a miss, and no memory is asked for it.
			if err := writer.Set(t.Context(), "text", text); err != nil {
				t.Fatal(err)
			}
			if how > 0 {
				tight := blobs(NoCompression, 1000)
				if _, err := tight.Get(t.Context(), "text"); !errors.Is(err, ErrNotFound) {
					t.Errorf("%d: Get of a bomb = %v", how, err)
				}
				if s := tight.Stats(); s.Corrupt != 1 {
					t.Errorf("%d: Stats = %+v", how, s)
				}
			}
			if err := blobs(Compression(how), 1000).Set(t.Context(), "text", text); !errors.Is(err, ErrTooLarge) {
				t.Errorf("%d: Set beyond MaxBytes = %v", how, err)
			}
		}
	})
}

// An entry of a later version is a miss, and replaced.
func TestLaterFlagsAreAMiss(t *testing.T) {
	us := users(t, embeddedClient(t), fresh)
	raw, err := us.form.Encode(user{Name: "stale"}, entry.About{}, false)
	if err != nil {
		t.Fatal(err)
	}
	raw[4] |= 1 << 5
	put(t, us.client, "user:1", string(frame.Seal(raw)))
	for range 2 {
		if u, err := us.Get(t.Context(), 1); err != nil || u.Name != "fresh" {
			t.Errorf("Get = %+v, %v", u, err)
		}
	}
	if s := us.Stats(); s.Loads != 1 {
		t.Errorf("Stats = %+v", s)
	}
}
