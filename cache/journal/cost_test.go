package journal

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/redstarttest"
	"github.com/redstart-go/redstart/redstarttest/proxy"
)

// What each call sends.
func TestCommands(t *testing.T) {
	s := redstarttest.Run(t, redstarttest.ServerConfig{})
	p, err := proxy.New(s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	d := newTable()
	cfg := usual(d)
	cfg.Partitions = 1
	j := journalOn(t, open(t, p.URL(), redstart.Config{}), cfg)
	put(t, j, "warm", "1") // the script is known
	many := map[string]string{}
	for i := range 64 {
		many[strconv.Itoa(i)] = "v"
	}
	for _, tc := range []struct {
		name string
		do   func() error
		want string
	}{
		{"Put", func() error { return j.Put(t.Context(), "a", "1") }, "EVALSHA:1"},
		{"Delete", func() error { return j.Delete(t.Context(), "b") }, "EVALSHA:1"},
		{"PutMany of 64", func() error { return j.PutMany(t.Context(), maps.All(many)) }, "EVALSHA:1"},
		{"Get, cached", func() error { _, err := j.Get(t.Context(), "a"); return err }, "GET:1"},
	} {
		p.ResetCounts()
		if err := tc.do(); err != nil {
			t.Fatal(err)
		}
		counts := p.Commands()
		for _, setup := range []string{"PING", "HELLO", "CLIENT"} {
			delete(counts, setup)
		}
		var got []string
		for _, name := range slices.Sorted(maps.Keys(counts)) {
			got = append(got, fmt.Sprintf("%s:%d", name, counts[name]))
		}
		if text := strings.Join(got, " "); text != tc.want {
			t.Errorf("%s: %s, want %s", tc.name, text, tc.want)
		}
	}
}

func benched(b *testing.B) (*Journal[string, string], func()) {
	b.Helper()
	s := redstarttest.Run(b, redstarttest.ServerConfig{AOF: "everysec"})
	c, err := redstart.Open(context.Background(), s.URL(), redstart.Config{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(c.Close)
	cfg := usual(newTable())
	cfg.Partitions, cfg.MaxRecords, cfg.MaxBytes = 16, -1, -1
	j, err := New(c, cfg)
	if err != nil {
		b.Fatal(err)
	}
	return j, func() {
		ctx, cancel := context.WithCancel(context.Background())
		go func() { _ = j.Run(ctx) }()
		for j.Stats().Partitions < 16 {
		}
		b.ReportAllocs()
		b.ResetTimer()
		_ = j.Flush(ctx)
		b.StopTimer()
		cancel()
		for j.stats.runs.Load() > 0 {
		}
	}
}

func BenchmarkPut(b *testing.B) {
	j, _ := benched(b)
	value := strings.Repeat("x", 1024)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			if err := j.Put(context.Background(), "k"+strconv.Itoa(i%1000), value); err != nil {
				b.Error(err)
			}
		}
	})
}

func BenchmarkSet(b *testing.B) {
	j, _ := benched(b)
	value := strings.Repeat("x", 1024)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			if err := j.Cache().Set(context.Background(), "k"+strconv.Itoa(i%1000), value); err != nil {
				b.Error(err)
			}
		}
	})
}

// A record each, in PutManys of 256.
func BenchmarkPutMany(b *testing.B) {
	j, _ := benched(b)
	value := strings.Repeat("x", 1024)
	b.ReportAllocs()
	for n := 0; n < b.N; n += 256 {
		err := j.PutMany(context.Background(), func(yield func(string, string) bool) {
			for i := range 256 {
				if !yield("k"+strconv.Itoa((n+i)%10_000), value) {
					return
				}
			}
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}

// Draining a backlog of distinct keys into a table in memory.
func BenchmarkDrain(b *testing.B) {
	j, drain := benched(b)
	value := strings.Repeat("x", 1024)
	err := j.PutMany(context.Background(), func(yield func(string, string) bool) {
		for i := range b.N {
			if !yield("k"+strconv.Itoa(i), value) {
				return
			}
		}
	})
	if err != nil {
		b.Fatal(err)
	}
	drain()
}
