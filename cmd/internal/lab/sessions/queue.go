package sessions

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/redis/rueidis"

	"github.com/redstart-go/redstart/cmd/internal/chart"
	"github.com/redstart-go/redstart/cmd/internal/lab"
)

// queueRecipe is write-behind as tutorials print it, line by line:
//
//	def save_data(key, data):
//	    redis.setex(key, TTL, serialize(data))
//	    write_queue.put((key, data))
//
//	def db_writer_worker():
//	    while True:
//	        batch = []
//	        for _ in range(100):
//	            try: batch.append(write_queue.get(timeout=1))
//	            except queue.Empty: break
//	        if batch: db.bulk_insert(batch)
func queueRecipe() recipe {
	return recipe{
		name: "in-process queue",
		tone: chart.First,
		about: "SETEX, then put into a queue of this process, and the caller is answered; a worker takes up to 100 from the queue and writes them at once. " +
			"What is in the queue dies with the process. A batch that fails is gone, and the worker with it. Nothing bounds the queue.",
		open: func(_ context.Context, s stand) (keeper, error) {
			t, err := openTable(s.Place)
			if err != nil {
				return nil, err
			}
			c, err := lab.PlainClient(s.URL)
			if err != nil {
				t.db.Close()
				return nil, fmt.Errorf("connect the recipe: %w", err)
			}
			q := &queued{stand: s, client: c, table: t, wake: make(chan struct{}, 1), dead: make(chan struct{})}
			go q.work()
			return q, nil
		},
		keys: func(namespace string, ids []string) []string {
			keys := make([]string, len(ids))
			for i, id := range ids {
				keys[i] = namespace + ":session:" + id
			}
			return keys
		},
	}
}

const (
	batchOf = 100
	getWait = time.Second
)

// queued is a service that does so.
type queued struct {
	stand
	client rueidis.Client
	table  *table
	wake   chan struct{} // the queue has something, or has changed otherwise
	dead   chan struct{} // closed when the worker is

	mu       sync.Mutex
	queue    []change
	taken    int  // in the worker's hands
	hurry    bool // somebody waits for the end
	finished bool
}

func (q *queued) key(id string) string { return q.Namespace + ":session:" + id }

// Save is save_data.
func (q *queued) Save(ctx context.Context, s Session) error {
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	err = q.client.Do(ctx, q.client.B().Setex().Key(q.key(s.ID)).Seconds(int64(ttl/time.Second)).Value(rueidis.BinaryString(text)).Build()).Error()
	if err != nil {
		return err
	}
	q.put(change{s.ID, &s})
	return nil
}

// End is the same for a session that ends.
func (q *queued) End(ctx context.Context, id string) error {
	if err := q.client.Do(ctx, q.client.B().Del().Key(q.key(id)).Build()).Error(); err != nil {
		return err
	}
	q.put(change{id, nil})
	return nil
}

func (q *queued) put(c change) {
	q.mu.Lock()
	q.queue = append(q.queue, c)
	q.mu.Unlock()
	q.nudge()
}

func (q *queued) nudge() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// get is queue.get(timeout=1). When somebody waits for the end it does not wait for what will not come.
func (q *queued) get() (change, bool) {
	t := time.NewTimer(getWait)
	defer t.Stop()
	for {
		q.mu.Lock()
		if len(q.queue) > 0 {
			c := q.queue[0]
			q.queue = q.queue[1:]
			q.taken++
			q.mu.Unlock()
			return c, true
		}
		stop := q.hurry || q.finished
		q.mu.Unlock()
		if stop {
			return change{}, false
		}
		select {
		case <-q.wake:
		case <-t.C:
			return change{}, false
		}
	}
}

// work is db_writer_worker.
func (q *queued) work() {
	defer close(q.dead)
	for {
		var batch []change
		for range batchOf {
			c, ok := q.get()
			if !ok {
				break
			}
			batch = append(batch, c)
		}
		if len(batch) > 0 {
			if err := q.table.write(context.Background(), batch); err != nil {
				fmt.Fprintln(os.Stderr, "the worker of the queue died:", err) // as a thread does
				return
			}
		}
		q.mu.Lock()
		q.taken -= len(batch)
		idle, end := q.taken == 0 && len(q.queue) == 0, q.finished
		q.mu.Unlock()
		if idle && end {
			return
		}
		if len(batch) == 0 {
			<-q.wake // instead of turning idly
		}
	}
}

// Drain is queue.join().
func (q *queued) Drain(ctx context.Context) error {
	for {
		q.mu.Lock()
		done := q.taken == 0 && len(q.queue) == 0
		q.hurry = !done
		q.mu.Unlock()
		if done {
			return nil
		}
		q.nudge()
		select {
		case <-q.dead:
			return nil // and nobody knows
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Millisecond):
		}
	}
}

func (q *queued) Close() {
	q.mu.Lock()
	q.finished = true
	q.mu.Unlock()
	q.nudge()
	<-q.dead
	q.client.Close()
	q.table.db.Close()
}
