package journal_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/cache"
	"github.com/redstart-go/redstart/cache/journal"
	"github.com/redstart-go/redstart/embedded"
)

// start gives a client on a server inside the process.
func start() (client *redstart.Client, stop func()) {
	server, err := embedded.Start(embedded.Config{})
	if err != nil {
		panic(err)
	}
	client, err = redstart.Open(context.Background(), server.URL(), redstart.Config{})
	if err != nil {
		panic(err)
	}
	return client, func() {
		client.Close()
		_ = server.Close()
	}
}

// database stands for a table with a version beside each row.
type database struct {
	mu   sync.Mutex
	rows map[string]journal.Change[string, string]
}

// Apply is
//
//	INSERT … ON CONFLICT (id) DO UPDATE … WHERE orders.version < excluded.version
//
// and tells which rows that left alone.
func (d *database) Apply(_ context.Context, b journal.Batch[string, string]) (refused []journal.Refused, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i, c := range b.Changes {
		switch row, ok := d.rows[c.ID]; {
		case ok && row.Version >= c.Version:
			refused = append(refused, journal.Refused{Index: i, Stored: row.Version})
		case c.Value == "impossible":
			return nil, &journal.RecordError{Index: i, Err: journal.Permanent(errors.New("violates a constraint"))}
		default:
			d.rows[c.ID] = c // of a deleted row the version is kept
		}
	}
	return refused, nil
}

func (d *database) load(_ context.Context, id string) (string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if row, ok := d.rows[id]; ok && !row.Deleted {
		return row.Value, nil
	}
	return "", cache.ErrNotFound
}

func orders(client *redstart.Client, db *database) *journal.Journal[string, string] {
	j, err := journal.New(client, journal.Config[string, string]{
		Name:      "orders",
		Sink:      db,
		Cache:     cache.Config[string, string]{Key: "order:<id>", Load: db.load},
		BatchWait: 10 * time.Millisecond,
	})
	if err != nil {
		panic(err)
	}
	return j
}

// A write is acknowledged by the journal, read back at once, and in the database
// a moment later.
func ExampleJournal_Put() {
	client, stop := start()
	defer stop()
	ctx, cancel := context.WithCancel(context.Background())
	db := &database{rows: map[string]journal.Change[string, string]{}}
	j := orders(client, db)

	_ = j.Put(ctx, "7", "open")
	_ = j.Put(ctx, "7", "paid")
	_ = j.Put(ctx, "8", "open")
	_ = j.Delete(ctx, "8")
	v, err := j.Get(ctx, "7")
	fmt.Println(v, err)
	_, err = j.Get(ctx, "8")
	fmt.Println(errors.Is(err, cache.ErrNotFound))
	lag, _ := j.Lag(ctx)
	fmt.Println(lag.Records, "pending,", len(db.rows), "rows")

	var running sync.WaitGroup
	running.Go(func() { _ = j.Run(ctx) }) // in some process, or in each
	for j.Stats().Partitions == 0 {
		time.Sleep(time.Millisecond)
	}
	fmt.Println(j.Flush(ctx))
	lag, _ = j.Lag(ctx)
	fmt.Println(lag.Applied, "applied,", lag.Superseded, "superseded,", lag.Records, "pending")
	cancel()
	running.Wait()
	// Output:
	// paid <nil>
	// true
	// 4 pending, 0 rows
	// <nil>
	// 2 applied, 2 superseded, 0 pending
}

// What the database will not take can be looked at, and tried again.
func ExampleJournal_DeadLetters() {
	client, stop := start()
	defer stop()
	ctx, cancel := context.WithCancel(context.Background())
	db := &database{rows: map[string]journal.Change[string, string]{}}
	j := orders(client, db)
	var running sync.WaitGroup
	running.Go(func() { _ = j.Run(ctx) })
	for j.Stats().Partitions == 0 {
		time.Sleep(time.Millisecond)
	}

	_ = j.Put(ctx, "9", "impossible")
	_ = j.Flush(ctx)
	for letter, err := range j.DeadLetters(ctx) {
		fmt.Println(letter.ID, letter.Value, letter.Reason, err)
		n, err := j.Drop(ctx, letter.Ref) // or Replay, once the reason is gone
		fmt.Println(n, err)
	}
	_, err := j.Get(ctx, "9")
	fmt.Println(errors.Is(err, cache.ErrNotFound))
	cancel()
	running.Wait()
	// Output:
	// 9 impossible violates a constraint <nil>
	// 1 <nil>
	// true
}

// A full journal makes its writers wait, by default; writes wait for a replica.
func ExampleConfig() {
	client, stop := start()
	defer stop()
	db := &database{rows: map[string]journal.Change[string, string]{}}
	_, err := journal.New(client, journal.Config[string, string]{
		Name:       "orders",
		Sink:       db,
		Cache:      cache.Config[string, string]{Key: "order:<id>", Load: db.load, TTL: -1},
		MaxRecords: 50_000,
		MaxAge:     time.Minute,
		AtBound:    journal.Refuse,
		Durability: journal.Replicated(1, time.Second),
	})
	fmt.Println(err)
	// Output: <nil>
}

// A server without an AOF is not taken for one that has it.
func ExampleDurability() {
	client, stop := start()
	defer stop()
	db := &database{rows: map[string]journal.Change[string, string]{}}
	_, err := journal.New(client, journal.Config[string, string]{
		Name:       "orders",
		Sink:       db,
		Cache:      cache.Config[string, string]{Key: "order:<id>", Load: db.load},
		Durability: journal.WaitAOF(0, time.Second),
	})
	fmt.Println(errors.Is(err, redstart.ErrUnsupported))
	// Output: true
}

// A sink may be a function. This one keeps all versions.
func ExampleSink() {
	var log []string
	var sink journal.Sink[string, int] = journal.SinkFunc[string, int](
		func(_ context.Context, b journal.Batch[string, int]) ([]journal.Refused, error) {
			for _, c := range b.Changes {
				log = append(log, fmt.Sprintf("%s=%d", c.ID, c.Value))
			}
			return nil, nil
		})
	_, err := sink.Apply(context.Background(), journal.Batch[string, int]{Changes: []journal.Change[string, int]{{ID: "a", Value: 1, Version: 7}}})
	fmt.Println(log, err)
	// Output: [a=1] <nil>
}
