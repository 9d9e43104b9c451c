package faults

import (
	"context"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/cache"
	"github.com/redstart-go/redstart/faults/history"
	"github.com/redstart-go/redstart/faults/naive"
)

// gate is a source of truth in this process whose loads wait to be let go, one
// by one, so that a test decides about the order of everything.
type gate struct {
	began chan *held

	mu      sync.Mutex
	version uint64
}

// held is a load that has read its version and waits.
type held struct {
	version uint64
	release chan error
}

func newGate() *gate { return &gate{began: make(chan *held, 1000), version: 1} }

func (g *gate) load(ctx context.Context, _ string) (row, error) {
	g.mu.Lock()
	h := &held{version: g.version, release: make(chan error, 1)}
	g.mu.Unlock()
	g.began <- h
	select {
	case err := <-h.release:
		return row{Version: h.version}, err
	case <-ctx.Done():
		return row{}, ctx.Err()
	}
}

// next is the load that began next.
func (g *gate) next(t *testing.T) *held {
	t.Helper()
	select {
	case h := <-g.began:
		return h
	case <-time.After(time.Minute):
		t.Fatal("no load begins")
		return nil
	}
}

func (g *gate) commit() uint64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.version++
	return g.version
}

// rowsHere gives a cache of rows in this process.
func rowsHere(t *testing.T, url string, g *gate, lease time.Duration) *cache.Cache[string, row] {
	t.Helper()
	client, rows, err := openRows(memberArg{URL: url, TTL: time.Minute, Lease: lease}, g.load)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return rows
}

// openHere gives a client in this process.
func openHere(t *testing.T, url string, cfg redstart.Config) *redstart.Client {
	t.Helper()
	client, err := redstart.Open(t.Context(), url, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

// asideHere gives the naive recipe in this process.
func asideHere(t *testing.T, url string, g *gate) naive.CacheAside {
	t.Helper()
	client, err := plain(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return naive.CacheAside{Client: client, TTL: time.Minute, Load: func(ctx context.Context, key string) (string, error) {
		r, err := g.load(ctx, key)
		return strconv.FormatUint(r.Version, 10), err
	}}
}

// notes is a history of one key in one process.
type notes struct {
	mu     sync.Mutex
	now    uint64
	events []history.Event
}

func (n *notes) tick() uint64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.now++
	return n.now
}

func (n *notes) add(kind history.Kind, version, begin uint64) {
	end := n.tick()
	n.mu.Lock()
	defer n.mu.Unlock()
	n.events = append(n.events, history.Event{Kind: kind, Version: version, Begin: begin, End: end})
}

// invalidate records an invalidation of a version.
func (n *notes) invalidate(t *testing.T, version uint64, del func() error) {
	t.Helper()
	begin := n.tick()
	if err := del(); err != nil {
		t.Fatal(err)
	}
	n.add(history.Invalidated, version, begin)
}

// read begins a read, and gives the end of it.
func (n *notes) read(from reader, key string) <-chan error {
	return n.readWith(from, key, func(ctx context.Context) context.Context { return ctx })
}

// readWith is read with a context of the test's making.
func (n *notes) readWith(from reader, key string, wrap func(context.Context) context.Context) <-chan error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	ctx = wrap(ctx)
	begin, done := n.tick(), make(chan error, 1)
	go func() {
		defer cancel()
		version, err := from.Get(ctx, key)
		if err == nil {
			n.add(history.Read, version, begin)
		}
		done <- err
	}()
	return done
}

func (n *notes) stale() []history.Violation {
	n.mu.Lock()
	defer n.mu.Unlock()
	return history.Stale(n.events)
}

// all waits for reads to end, lets every load go that begins meanwhile, and
// fails the test for reads that failed.
func all(t *testing.T, g *gate, reads ...<-chan error) {
	t.Helper()
	for _, r := range reads {
		for done := false; !done; {
			select {
			case h := <-g.began:
				h.release <- nil
			case err := <-r:
				if err != nil {
					t.Error(err)
				}
				done = true
			}
		}
	}
}
