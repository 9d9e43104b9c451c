package naive

import (
	"context"
	"time"

	"github.com/redis/rueidis"
)

// Item is what waits in the queue of WriteBehind.
type Item struct {
	Key     string
	Data    string
	Deleted bool
}

// WriteBehind is: SETEX, then a queue in the process; a worker takes up to 100
// from it, each within a second, and inserts them in bulk. An error ends the
// worker, as an exception ends a thread.
type WriteBehind struct {
	Client rueidis.Client
	TTL    time.Duration // in seconds
	Bulk   func(ctx context.Context, batch []Item) error
	Queue  chan Item // large enough: the recipe's has no bound
}

// Save is the recipe.
func (w WriteBehind) Save(ctx context.Context, key, data string) error {
	err := w.Client.Do(ctx, w.Client.B().Setex().Key(key).Seconds(int64(w.TTL/time.Second)).Value(data).Build()).Error()
	if err != nil {
		return err
	}
	w.Queue <- Item{Key: key, Data: data}
	return nil
}

// Delete is what those have who need one.
func (w WriteBehind) Delete(ctx context.Context, key string) error {
	if err := w.Client.Do(ctx, w.Client.B().Del().Key(key).Build()).Error(); err != nil {
		return err
	}
	w.Queue <- Item{Key: key, Deleted: true}
	return nil
}

// Work is the recipe's worker. It ends with ctx, and with the first error of
// Bulk.
func (w WriteBehind) Work(ctx context.Context) error {
	for {
		batch, err := w.collect(ctx)
		if err != nil {
			return err
		}
		if len(batch) == 0 {
			continue
		}
		if err := w.Bulk(ctx, batch); err != nil {
			return err
		}
	}
}

func (w WriteBehind) collect(ctx context.Context) (batch []Item, err error) {
	timeout := time.NewTimer(time.Second)
	defer timeout.Stop()
	for range 100 {
		timeout.Reset(time.Second)
		select {
		case item := <-w.Queue:
			batch = append(batch, item)
		case <-timeout.C:
			return batch, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return batch, nil
}
