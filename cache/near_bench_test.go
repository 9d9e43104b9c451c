package cache

import (
	"context"
	"testing"

	"github.com/maypok86/otter/v2"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/redstarttest"
)

type kib struct {
	ID   int
	Body [1016]byte
}

// BenchmarkNearHit is a near hit of a struct of 1 KiB beside what otter alone
// needs for one.
func BenchmarkNearHit(b *testing.B) {
	s := redstarttest.Run(b, redstarttest.ServerConfig{})
	c, err := redstart.Open(b.Context(), s.URL(), redstart.Config{})
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	us, err := New(c, Config[int, kib]{
		Key:  "k:<id>",
		Load: func(_ context.Context, id int) (kib, error) { return kib{ID: id}, nil },
		Near: Near[int, kib]{Items: 1000},
	})
	if err != nil {
		b.Fatal(err)
	}
	raw := otter.Must(&otter.Options[int, kib]{MaximumSize: 1000})
	for id := range 100 {
		raw.Set(id, kib{ID: id})
		for {
			if _, err := us.Get(b.Context(), id); err != nil {
				b.Fatal(err)
			}
			if _, ok := us.near.Get(id); ok {
				break
			}
		}
	}
	ctx := b.Context()
	b.Run("otter", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			if _, ok := raw.GetIfPresent(i % 100); !ok {
				b.Fatal("miss")
			}
		}
	})
	b.Run("near", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			if _, err := us.Get(ctx, i%100); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("near-parallel", func(b *testing.B) {
		b.RunParallel(func(pb *testing.PB) {
			for i := 0; pb.Next(); i++ {
				_, _ = us.Get(ctx, i%100)
			}
		})
	})
}
