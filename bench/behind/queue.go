package behind

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/cache"
	"github.com/redstart-go/redstart/cache/journal"
	"github.com/redstart-go/redstart/cache/journal/sqlsink"
)

// Queue is a journal in front of a store.
type Queue struct {
	Store   *Store
	client  *redstart.Client
	journal *journal.Journal[int64, string]

	rows, calls atomic.Int64 // that the sink was given
}

// NewQueue makes a journal on the client whose changes go to the store. It has a partition for each call of the sink
// that may be under way; SQLite has one writer, and one partition more that reads meanwhile.
func NewQueue(ctx context.Context, client *redstart.Client, s *Store) (*Queue, error) {
	sink, err := sqlsink.New(s.db, sqlsink.Config[int64, string]{
		Dialect: s.dialect, Table: "row", Key: []string{"id"}, Columns: []string{"body"},
		Row: func(_ int64, body string) ([]any, error) { return []any{body}, nil },
	})
	if err != nil {
		return nil, err
	}
	if err := sink.Prepare(ctx); err != nil {
		return nil, err
	}
	q := &Queue{Store: s, client: client}
	partitions := 4
	if s.dialect == sqlsink.SQLite {
		partitions = 2
	}
	q.journal, err = journal.New(client, journal.Config[int64, string]{
		Name: "rows", Partitions: partitions,
		Cache: cache.Config[int64, string]{
			Key: "row:<id>", TTL: -1, Codec: cache.Raw[string](),
			Load: func(context.Context, int64) (string, error) { return "", cache.ErrNotFound },
		},
		Sink: journal.SinkFunc[int64, string](func(ctx context.Context, b journal.Batch[int64, string]) ([]journal.Refused, error) {
			q.calls.Add(1)
			q.rows.Add(int64(len(b.Changes)))
			return sink.Apply(ctx, b)
		}),
	})
	return q, err
}

// Clear empties the server and the store. Their files are made small again, so that no rewrite comes in the middle of
// a measurement.
func (q *Queue) Clear(ctx context.Context) error {
	for _, c := range [][]string{{"FLUSHALL", "SYNC"}, {"BGREWRITEAOF"}} {
		if err := q.client.Do(ctx, q.client.B().Arbitrary(c...).Build()).Error(); err != nil {
			return err
		}
	}
	for rewriting := true; rewriting; {
		info, err := q.client.Do(ctx, q.client.B().Info().Section("persistence").Build()).ToString()
		if err != nil {
			return err
		}
		if rewriting = !strings.Contains(info, "aof_rewrite_in_progress:0") || !strings.Contains(info, "aof_rewrite_scheduled:0"); rewriting {
			time.Sleep(time.Millisecond)
		}
	}
	q.rows.Store(0)
	q.calls.Store(0)
	return q.Store.Clear(ctx)
}

// flushing runs the flusher while work is done.
func (q *Queue) flushing(ctx context.Context, work func() error) error {
	ctx, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- q.journal.Run(ctx) }()
	err := work()
	stop()
	if ended := <-done; ended != nil && !errors.Is(ended, context.Canceled) {
		err = errors.Join(err, ended)
	}
	return err
}

// all gives the rows from one id to another.
func all(from, to int64) iter.Seq2[int64, string] {
	return func(yield func(int64, string) bool) {
		for id := from; id < to && yield(id, body); id++ {
		}
	}
}

// Drain puts rows into the journal while nobody flushes, then starts the flusher and gives the rows a second until the
// store has them all.
func (q *Queue) Drain(ctx context.Context, rows int) (float64, error) {
	const step = 5_000
	for from := 0; from < rows; from += step {
		if err := q.journal.PutMany(ctx, all(int64(from), int64(min(from+step, rows)))); err != nil {
			return 0, err
		}
	}
	if lag, err := q.journal.Lag(ctx); err != nil || lag.Records != int64(rows) {
		return 0, fmt.Errorf("%d of %d rows are pending: %w", lag.Records, rows, err)
	}
	var took time.Duration
	began := time.Now()
	err := q.flushing(ctx, func() error {
		err := q.drained(ctx)
		took = time.Since(began)
		return err
	})
	if err != nil {
		return 0, err
	}
	return float64(rows) / took.Seconds(), q.Store.Holds(ctx, rows)
}

// drained waits until nothing is pending.
func (q *Queue) drained(ctx context.Context) error {
	for {
		switch err := q.journal.Flush(ctx); {
		case errors.Is(err, journal.ErrNoFlusher): // it has not begun yet
			time.Sleep(time.Millisecond)
			if ctx.Err() != nil {
				return ctx.Err()
			}
		default:
			return err
		}
	}
}

// Sustain has so many producers put rows, so many a call, while the flusher runs, and gives the rows a second from the
// first call until the store has them all.
func (q *Queue) Sustain(ctx context.Context, producers, together, rows int) (float64, error) {
	var took time.Duration
	began := time.Now()
	err := q.flushing(ctx, func() error {
		err := q.produce(ctx, producers, func(i int) error {
			from := int64(i * together)
			if together == 1 {
				return q.journal.Put(ctx, from, body)
			}
			return q.journal.PutMany(ctx, all(from, min(from+int64(together), int64(rows))))
		}, (rows+together-1)/together)
		if err == nil {
			err = q.drained(ctx)
		}
		took = time.Since(began)
		return err
	})
	if err != nil {
		return 0, err
	}
	return float64(rows) / took.Seconds(), q.Store.Holds(ctx, rows)
}

// produce makes so many calls from several goroutines.
func (q *Queue) produce(ctx context.Context, producers int, call func(i int) error, calls int) error {
	var (
		wait   sync.WaitGroup
		next   atomic.Int64
		failed atomic.Pointer[error]
	)
	for range producers {
		wait.Go(func() {
			for i := int(next.Add(1)) - 1; i < calls && failed.Load() == nil; i = int(next.Add(1)) - 1 {
				if err := call(i); err != nil {
					failed.CompareAndSwap(nil, &err)
				}
			}
		})
	}
	wait.Wait()
	if p := failed.Load(); p != nil {
		return *p
	}
	return ctx.Err()
}

// Saved is what coalescing came to.
type Saved struct {
	Puts, Rows, Statements int64
	PerSecond              float64
}

// Skewed puts values of keys that are chosen by Zipf's law.
func (q *Queue) Skewed(ctx context.Context, producers, keys, puts int) (Saved, error) {
	ids := make([]int64, puts)
	zipf := rand.NewZipf(rand.New(rand.NewPCG(1, 1)), 1.1, 1, uint64(keys-1))
	distinct := map[int64]bool{}
	for i := range ids {
		ids[i] = int64(zipf.Uint64())
		distinct[ids[i]] = true
	}
	began := time.Now()
	err := q.flushing(ctx, func() error {
		if err := q.produce(ctx, producers, func(i int) error { return q.journal.Put(ctx, ids[i], body) }, puts); err != nil {
			return err
		}
		return q.drained(ctx)
	})
	if err != nil {
		return Saved{}, err
	}
	took := time.Since(began)
	return Saved{Puts: int64(puts), Rows: q.rows.Load(), Statements: q.calls.Load(), PerSecond: float64(puts) / took.Seconds()}, q.Store.Holds(ctx, len(distinct))
}

// Took is how long calls took that came at an even pace.
type Took struct{ P50, P99 float64 } // µs

// Puts gives what a Put takes while the flusher runs, Sets what a SET of the same bytes takes.
func (q *Queue) Puts(ctx context.Context, perSecond int, long time.Duration) (Took, error) {
	var took Took
	err := q.flushing(ctx, func() (err error) {
		took, err = evenly(perSecond, long, func(i int) error { return q.journal.Put(ctx, int64(i), body) })
		return err
	})
	return took, err
}

// Sets is Puts for a plain SET.
func (q *Queue) Sets(ctx context.Context, perSecond int, long time.Duration) (Took, error) {
	return evenly(perSecond, long, func(i int) error {
		return q.client.Do(ctx, q.client.B().Set().Key(fmt.Sprintf("plain:%d", i)).Value(body).Build()).Error()
	})
}

// evenly makes calls at an even pace. A call's time begins when it was due, if its caller was still busy then, so that
// who is slow does not hide how long the next had to wait; else when the caller was awake.
func evenly(perSecond int, long time.Duration, call func(i int) error) (Took, error) {
	var (
		wait   sync.WaitGroup
		failed atomic.Pointer[error]
		gap    = time.Second / time.Duration(perSecond)
		calls  = int(long / gap)
		took   = make([]float64, calls)
		began  = time.Now()
	)
	for c := range callers {
		wait.Go(func() {
			for i := c; i < calls; i += callers {
				from := began.Add(time.Duration(i) * gap)
				if ahead := time.Until(from); ahead > 0 {
					time.Sleep(ahead)
					from = time.Now()
				}
				if err := call(i); err != nil {
					failed.CompareAndSwap(nil, &err)
					return
				}
				took[i] = float64(time.Since(from).Nanoseconds()) / 1e3
			}
		})
	}
	wait.Wait()
	if p := failed.Load(); p != nil {
		return Took{}, *p
	}
	slices.Sort(took)
	at := func(q float64) float64 { return took[int(q*float64(len(took)-1))] }
	return Took{at(0.50), at(0.99)}, nil
}
