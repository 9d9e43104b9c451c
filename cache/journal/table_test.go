package journal

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/cache"
)

// table is a database: rows with a version, a fence for each partition, and no
// memory of what was deleted.
type table struct {
	mu     sync.Mutex
	rows   map[string]row
	fences map[int]int64
	calls  int
	takes  int // changes written
	last   map[string]int64

	fail    func(b Batch[string, string]) error // before anything is written
	unfence bool
	zombie  int // writes under an old token that were refused
}

type row struct {
	value   string
	version int64
}

func newTable() *table {
	return &table{rows: map[string]row{}, fences: map[int]int64{}, last: map[string]int64{}}
}

func (d *table) Apply(ctx context.Context, b Batch[string, string]) ([]Refused, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.calls++
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if !d.unfence {
		if d.fences[b.Partition] > b.Token {
			d.zombie++
			return nil, fmt.Errorf("table: %w", ErrFenced)
		}
		d.fences[b.Partition] = b.Token
	}
	if d.fail != nil {
		if err := d.fail(b); err != nil {
			return nil, err
		}
	}
	var refused []Refused
	for i, c := range b.Changes {
		if r, ok := d.rows[c.ID]; ok && r.version >= c.Version {
			refused = append(refused, Refused{i, r.version})
			continue
		}
		d.takes++
		d.last[c.ID] = c.Version
		if c.Deleted {
			delete(d.rows, c.ID)
			continue
		}
		d.rows[c.ID] = row{c.Value, c.Version}
	}
	return refused, nil
}

// Probe says what a batch that is as it should be would be told.
func (d *table) Probe(context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fail == nil {
		return nil
	}
	return d.fail(Batch[string, string]{})
}

func (d *table) get(id string) (string, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	r, ok := d.rows[id]
	return r.value, ok
}

func (d *table) load(_ context.Context, id string) (string, error) {
	if v, ok := d.get(id); ok {
		return v, nil
	}
	return "", cache.ErrNotFound
}

func (d *table) all() map[string]row {
	d.mu.Lock()
	defer d.mu.Unlock()
	return maps.Clone(d.rows)
}

// fails sets what a call fails with.
func (d *table) fails(f func(b Batch[string, string]) error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fail = f
}

// usual is a configuration on a table, quick enough for tests.
func usual(d *table) Config[string, string] {
	return Config[string, string]{
		Name: "orders", Sink: d, Partitions: 4, BatchWait: 5 * time.Millisecond, Lease: time.Second,
		Backoff: 5 * time.Millisecond, MaxBackoff: 50 * time.Millisecond,
		Cache: cache.Config[string, string]{Key: "order:<id>", Load: d.load, TTL: time.Minute},
	}
}

func journalOn(t *testing.T, c *redstart.Client, cfg Config[string, string]) *Journal[string, string] {
	t.Helper()
	j, err := New(c, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// running runs a flusher until the test, or what it gives, ends it.
func running(t *testing.T, j *Journal[string, string]) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- j.Run(ctx) }()
	eventually(t, "it runs", func() bool { return j.stats.runs.Load() > 0 })
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if err := <-ended; err != nil {
				t.Errorf("Run: %v", err)
			}
		})
	}
	t.Cleanup(stop)
	return stop
}

// lag is what is pending, of which the counts must be conserved.
func lag(t *testing.T, j *Journal[string, string]) Lag {
	t.Helper()
	l, err := j.Lag(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if sum := l.Applied + l.Superseded + l.Dropped + l.Dead + l.Records; sum != l.Acked {
		t.Errorf("counts are not conserved: %+v sums up to %d", l, sum)
	}
	return l
}

func flush(t *testing.T, j *Journal[string, string]) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := j.Flush(ctx); err != nil {
		l, _ := j.Lag(t.Context())
		t.Fatalf("flush: %v; %+v; %+v", err, l, j.Stats())
	}
}

func put(t *testing.T, j *Journal[string, string], id, v string) {
	t.Helper()
	if err := j.Put(t.Context(), id, v); err != nil {
		t.Fatal(err)
	}
}

func reads(t *testing.T, j *Journal[string, string], id, want string) {
	t.Helper()
	v, err := j.Get(t.Context(), id)
	if want == "" && errors.Is(err, cache.ErrNotFound) {
		return
	}
	if err != nil || v != want {
		t.Fatalf("Get(%s) = %q, %v; want %q", id, v, err, want)
	}
}
