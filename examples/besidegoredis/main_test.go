package besidegoredis

import (
	"context"
	"errors"
	"sync"
	"testing"

	oldcache "github.com/go-redis/cache/v9"
	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/cache"
	"github.com/redstart-go/redstart/embedded"
	"github.com/redstart-go/redstart/redstarttest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// onServers runs a test on the embedded server and on every server found.
func onServers(t *testing.T, test func(t *testing.T, url string)) {
	t.Helper()
	t.Run("embedded", func(t *testing.T) { test(t, inProcess(t).URL()) })
	launchers := redstarttest.Launchers()
	if len(launchers) == 0 {
		t.Run("redis-server", func(t *testing.T) { redstarttest.Run(t, redstarttest.ServerConfig{}) })
	}
	for _, l := range launchers {
		t.Run(l.Name, func(t *testing.T) {
			test(t, redstarttest.Run(t, redstarttest.ServerConfig{Path: l.Path}).URL())
		})
	}
}

func inProcess(t *testing.T) *embedded.Server {
	t.Helper()
	s, err := embedded.Start(embedded.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// service is both clients on one server, and what the catalog reads from.
type service struct {
	client *redstart.Client
	redis  *redis.Client
	source *source
}

func start(t *testing.T, url string) *service {
	t.Helper()
	client, err := redstart.Open(t.Context(), url, redstart.Config{Namespace: "shop"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	options, err := redis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	old := redis.NewClient(options)
	t.Cleanup(func() { _ = old.Close() })
	return &service{client, old, &source{products: map[int64]Product{42: lamp}}}
}

var lamp = Product{ID: 42, Name: "lamp", Cents: 1999}

// formats are the caches of before.
func (s *service) formats() map[string]Old {
	return map[string]Old{
		"JSON":           PlainJSON{s.redis},
		"go-redis/cache": GoRedisCache{oldcache.New(&oldcache.Options{Redis: s.redis})},
	}
}

// onFormats runs a test on every server and with every cache of before.
func onFormats(t *testing.T, test func(t *testing.T, s *service, old Old)) {
	t.Helper()
	onServers(t, func(t *testing.T, url string) {
		for name := range start(t, url).formats() {
			t.Run(name, func(t *testing.T) {
				s := start(t, url)
				if err := s.redis.FlushDB(t.Context()).Err(); err != nil {
					t.Fatal(err)
				}
				test(t, s, s.formats()[name])
			})
		}
	})
}

func (s *service) catalog(t *testing.T, old Old, step Step) *Catalog {
	t.Helper()
	c, err := New(s.client, Config{Redis: s.redis, Old: old, Source: s.source, Step: step})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// asNew gives the lamp its first name and price again, and empties the cache.
func (s *service) asNew(t *testing.T) {
	t.Helper()
	err := s.source.change(42, func(p *Product) { *p = lamp })
	if err := errors.Join(err, s.redis.Del(t.Context(), Key(42)).Err()); err != nil {
		t.Fatal(err)
	}
}

// source is a database that counts its reads, and can hold one up after it
// has read.
type source struct {
	mu       sync.Mutex
	products map[int64]Product
	reads    int
	hold     *hold // for the next read
}

type hold struct{ read, goOn chan struct{} }

func (s *source) holdNext() *hold {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hold = &hold{make(chan struct{}), make(chan struct{})}
	return s.hold
}

func (s *source) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reads
}

func (s *source) Product(ctx context.Context, id int64) (Product, error) {
	s.mu.Lock()
	p, ok := s.products[id]
	h := s.hold
	s.hold = nil
	s.reads++
	s.mu.Unlock()
	if h != nil {
		close(h.read)
		select {
		case <-h.goOn:
		case <-ctx.Done():
			return Product{}, ctx.Err()
		}
	}
	if !ok {
		return Product{}, cache.ErrNotFound
	}
	return p, nil
}

func (s *source) Rename(_ context.Context, id int64, name string) error {
	return s.change(id, func(p *Product) { p.Name = name })
}

func (s *source) Reprice(_ context.Context, id, cents int64) error {
	return s.change(id, func(p *Product) { p.Cents = cents })
}

func (s *source) change(id int64, change func(*Product)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, ok := s.products[id]
	if !ok {
		return errors.New("no such product")
	}
	change(&p)
	s.products[id] = p
	return nil
}

// reads asserts what a catalog gives, and how often it asked the source for it.
func (s *service) reads(t *testing.T, c *Catalog, want Product, loads int) {
	t.Helper()
	before := s.source.count()
	got, err := c.Product(t.Context(), want.ID)
	if n := s.source.count() - before; err != nil || got != want || n != loads {
		t.Fatalf("got %+v, %v after %d loads, want %+v after %d", got, err, n, want, loads)
	}
}
