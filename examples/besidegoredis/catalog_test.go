package besidegoredis

import (
	"context"
	"errors"
	"testing"

	oldcache "github.com/go-redis/cache/v9"

	"github.com/redstart-go/redstart/cache"
)

var steps = map[string]Step{"ReadBoth": ReadBoth, "FillNew": FillNew}

// What the cache of before wrote is read without a load, and left as it is.
func TestOldEntriesAreAdopted(t *testing.T) {
	onFormats(t, func(t *testing.T, s *service, old Old) {
		sold := Product{ID: 42, Name: "lamp, as it was cached", Cents: 1}
		if err := old.Set(t.Context(), Key(42), sold); err != nil {
			t.Fatal(err)
		}
		for name, step := range steps {
			t.Run(name, func(t *testing.T) {
				s.reads(t, s.catalog(t, old, step), sold, 0)
			})
		}
		if got, err := old.Get(t.Context(), Key(42)); err != nil || got != sold {
			t.Errorf("an old reader gets %+v, %v afterwards", got, err)
		}
		if left := s.redis.TTL(t.Context(), Key(42)).Val(); left <= 0 || left > ttl {
			t.Errorf("the entry's TTL has become %v", left)
		}
	})
}

// What decodes without being a product is a miss, and replaced.
func TestWhatIsNoProductIsAMiss(t *testing.T) {
	onFormats(t, func(t *testing.T, s *service, old Old) {
		for _, raw := range []string{"", "null", "{}", `{"count":3}`, `{"id":4`, "\xc0\x00", "\x80\x00", "\x00", "text", "\xf5"} {
			for name, step := range steps {
				if err := s.redis.Set(t.Context(), Key(42), raw, ttl).Err(); err != nil {
					t.Fatal(err)
				}
				t.Logf("%q, %s", raw, name)
				c := s.catalog(t, old, step)
				s.reads(t, c, lamp, 1)
				s.reads(t, c, lamp, 0)
			}
		}
	})
}

// While one half of the fleet is at the first step and the other at the
// second, each reads what the other filled, "not found" included.
func TestStepsReadEachOther(t *testing.T) {
	onFormats(t, func(t *testing.T, s *service, old Old) {
		first, second := s.catalog(t, old, ReadBoth), s.catalog(t, old, FillNew)
		s.reads(t, first, lamp, 1)
		s.reads(t, second, lamp, 0)
		if err := first.Rename(t.Context(), 42, "torch"); err != nil {
			t.Fatal(err)
		}
		torch := Product{ID: 42, Name: "torch", Cents: lamp.Cents}
		s.reads(t, second, torch, 1)
		s.reads(t, first, torch, 0)

		before := s.source.count()
		for _, c := range []*Catalog{second, first} {
			if _, err := c.Product(t.Context(), 7); !errors.Is(err, cache.ErrNotFound) {
				t.Errorf("an unknown product: %v", err)
			}
		}
		if n := s.source.count() - before; n != 1 {
			t.Errorf("an unknown product was looked for %d times", n)
		}
	})
}

// In the first step an old reader notices nothing.
func TestFirstStepWritesTheOldForm(t *testing.T) {
	onFormats(t, func(t *testing.T, s *service, old Old) {
		s.reads(t, s.catalog(t, old, ReadBoth), lamp, 1)
		if got, err := old.Get(t.Context(), Key(42)); err != nil || got != lamp {
			t.Errorf("an old reader gets %+v, %v", got, err)
		}
	})
}

// In the second step an old reader gets an error, and one that takes it for a
// miss and fills does no harm.
func TestOldReadersOfNewEntriesFail(t *testing.T) {
	onFormats(t, func(t *testing.T, s *service, old Old) {
		c := s.catalog(t, old, FillNew)
		for _, cents := range []int64{lamp.Cents, 0, 1} { // go-redis/cache takes a last byte of 0 or 1 for its own
			if err := c.Reprice(t.Context(), 42, cents); err != nil {
				t.Fatal(err)
			}
			want := Product{ID: 42, Name: "lamp", Cents: cents}
			s.reads(t, c, want, 1)
			if got, err := old.Get(t.Context(), Key(42)); err == nil || Missing(err) {
				t.Fatalf("an old reader gets %+v, %v", got, err)
			}
			if err := old.Set(t.Context(), Key(42), want); err != nil {
				t.Fatal(err)
			}
			s.reads(t, c, want, 0)
		}
	})
}

// Once of go-redis/cache deletes what it cannot read, and loads.
func TestOnceReplacesNewEntries(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		s := start(t, url)
		old := oldcache.New(&oldcache.Options{Redis: s.redis})
		c := s.catalog(t, GoRedisCache{old}, FillNew)
		s.reads(t, c, lamp, 1)

		var got Product
		err := old.Once(&oldcache.Item{Ctx: t.Context(), Key: Key(42), Value: &got, TTL: ttl, Do: func(i *oldcache.Item) (any, error) {
			return s.source.Product(i.Context(), 42)
		}})
		if n := s.source.count(); err != nil || got != lamp || n != 2 {
			t.Fatalf("Once gives %+v, %v; %d loads", got, err, n)
		}
		s.reads(t, c, lamp, 0)
	})
}

// Why old readers go first: one of text gets the header too, and one of a
// number can get a wrong one without an error.
func TestOldReadersOfPlainValuesAreMisled(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		s := start(t, url)
		text, err := cache.New(s.client, cache.Config[int64, string]{Key: "name:<id>", Load: notFound[string]})
		if err != nil {
			t.Fatal(err)
		}
		number, err := cache.New(s.client, cache.Config[int64, int64]{Key: "stock:<id>", Load: notFound[int64]})
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(text.Set(t.Context(), 1, "lamp"), number.Set(t.Context(), 1, 0)); err != nil {
			t.Fatal(err)
		}
		if got, err := s.redis.Get(t.Context(), "shop:name:1").Result(); err != nil || len(got) != 14+len("lamp") {
			t.Errorf("go-redis reads the text %q, %v", got, err)
		}
		var got int64
		if err := oldcache.New(&oldcache.Options{Redis: s.redis}).Get(t.Context(), "shop:stock:1", &got); err != nil || got == 0 {
			t.Errorf("go-redis/cache reads the number 0 as %d, %v", got, err)
		}
	})
}

func notFound[V any](context.Context, int64) (v V, err error) { return v, cache.ErrNotFound }

// A DEL by either client is seen by both.
func TestEitherInvalidates(t *testing.T) {
	onFormats(t, func(t *testing.T, s *service, old Old) {
		for name, step := range steps {
			t.Run(name, func(t *testing.T) {
				s.asNew(t)
				c := s.catalog(t, old, step)
				s.reads(t, c, lamp, 1)
				if err := c.Rename(t.Context(), 42, "torch"); err != nil { // by go-redis
					t.Fatal(err)
				}
				s.reads(t, c, Product{ID: 42, Name: "torch", Cents: lamp.Cents}, 1)
				if err := c.Reprice(t.Context(), 42, 5); err != nil { // by Redstart
					t.Fatal(err)
				}
				if got, err := old.Get(t.Context(), Key(42)); !Missing(err) {
					t.Fatalf("an old reader gets %+v, %v", got, err)
				}
				s.reads(t, c, Product{ID: 42, Name: "torch", Cents: 5}, 1)
			})
		}
	})
}

// A load has read the old name; then the product is renamed, and the load goes
// on. The recipe stores the old name for the whole TTL, Redstart does not.
func TestStaleFill(t *testing.T) {
	onFormats(t, func(t *testing.T, s *service, old Old) {
		for name, want := range map[string]string{"ReadBoth": "lamp", "FillNew": "torch"} {
			t.Run(name, func(t *testing.T) {
				s.asNew(t)
				c := s.catalog(t, old, steps[name])

				hold := s.source.holdNext()
				slow := make(chan error, 1)
				go func() {
					_, err := c.Product(t.Context(), 42)
					slow <- err
				}()
				<-hold.read
				if err := c.Rename(t.Context(), 42, "torch"); err != nil {
					t.Fatal(err)
				}
				close(hold.goOn)
				if err := <-slow; err != nil {
					t.Fatal(err)
				}
				if got, err := c.Product(t.Context(), 42); err != nil || got.Name != want {
					t.Errorf("after the rename %+v, %v, want %q", got, err, want)
				}
			})
		}
	})
}
