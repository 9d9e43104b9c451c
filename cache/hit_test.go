package cache

import (
	"context"
	"runtime/debug"
	"slices"
	"testing"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/redstarttest"
)

// hits makes a cache of bytes with an entry of 1 KiB.
func hits(tb testing.TB, s *redstarttest.Server, change func(*Config[int, []byte])) (*Cache[int, []byte], func()) {
	tb.Helper()
	c, err := redstart.Open(tb.Context(), s.URL(), redstart.Config{})
	if err != nil {
		tb.Fatal(err)
	}
	cfg := Config[int, []byte]{Key: "blob:<id>", Load: func(context.Context, int) ([]byte, error) { return nil, ErrNotFound }}
	change(&cfg)
	blobs, err := New(c, cfg)
	if err != nil {
		tb.Fatal(err)
	}
	if err := blobs.Set(tb.Context(), 1, make([]byte, 1024)); err != nil {
		tb.Fatal(err)
	}
	return blobs, c.Close
}

// What is off costs nothing: a plain hit allocates what a raw GET does, and the
// key.
func TestPlainHitAllocates(t *testing.T) {
	if info, ok := debug.ReadBuildInfo(); ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
		t.Skip("the race detector lets sync.Pool forget at random")
	}
	s := redstarttest.Run(t, redstarttest.ServerConfig{})
	blobs, done := hits(t, s, func(*Config[int, []byte]) {})
	defer done()
	ctx := t.Context()
	raw := testing.AllocsPerRun(2000, func() {
		if _, err := blobs.client.Do(ctx, blobs.client.B().Get().Key("blob:1").Build()).AsBytes(); err != nil {
			t.Fatal(err)
		}
	})
	hit := testing.AllocsPerRun(2000, func() {
		if _, err := blobs.Get(ctx, 1); err != nil {
			t.Fatal(err)
		}
	})
	t.Logf("raw %v, hit %v allocations", raw, hit)
	if hit > raw+1 {
		t.Errorf("a hit allocates %v times, a raw GET %v and the key 1", hit, raw)
	}
}

func BenchmarkHit(b *testing.B) {
	s := redstarttest.Run(b, redstarttest.ServerConfig{})
	for name, change := range map[string]func(*Config[int, []byte]){
		"plain": func(*Config[int, []byte]) {},
		"timed": func(cfg *Config[int, []byte]) { cfg.Refresh = Refresh{Fraction: 0.2} },
		"clear": func(cfg *Config[int, []byte]) { cfg.Clearable = true },
		"tags":  func(cfg *Config[int, []byte]) { cfg.Tags = func(int) []string { return []string{"a", "b"} } },
	} {
		b.Run(name, func(b *testing.B) {
			blobs, done := hits(b, s, change)
			defer done()
			b.ReportAllocs()
			for b.Loop() {
				if _, err := blobs.Get(b.Context(), 1); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
