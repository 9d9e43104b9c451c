package sinks

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/cache"
	"github.com/redstart-go/redstart/cache/journal"
	"github.com/redstart-go/redstart/redstarttest"
)

// A journal in front of each database: what the table holds in the end is what was
// acknowledged last for each id, and what cannot be written is a dead letter.
func TestJournal(t *testing.T) {
	server := redstarttest.Run(t, redstarttest.ServerConfig{})
	each(t, func(t *testing.T, d dialect) {
		p := newPlain(t, d)
		client, err := redstart.Open(t.Context(), server.URL(), redstart.Config{})
		must(t, err)
		defer client.Close()
		j, err := journal.New(client, journal.Config[int64, string]{
			Name: p.name, Partitions: 3, BatchWait: 20 * time.Millisecond, Sink: p.sink,
			Cache: cache.Config[int64, string]{Key: "row:<id>", Load: func(context.Context, int64) (string, error) { return "", cache.ErrNotFound }},
		})
		must(t, err)
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- j.Run(ctx) }()
		defer func() {
			stop()
			must(t, <-ended)
		}()

		// Each writer has ids of its own, and knows what it wrote last.
		const writers, ids, writes = 4, 30, 150
		var all sync.WaitGroup
		model := make([]map[int64]string, writers)
		for w := range writers {
			model[w] = map[int64]string{}
			all.Go(func() {
				r := rand.New(rand.NewPCG(uint64(w), 5))
				for n := range writes {
					id := int64(w*ids) + r.Int64N(ids)
					if r.IntN(4) == 0 {
						if err := j.Delete(ctx, id); err != nil {
							t.Errorf("delete: %v", err)
							return
						}
						delete(model[w], id)
						continue
					}
					body := fmt.Sprintf("w%d.%d", w, n)
					if err := j.Put(ctx, id, body); err != nil {
						t.Errorf("put: %v", err)
						return
					}
					model[w][id] = body
				}
			})
		}
		const poison = 1_000_000
		must(t, j.Put(ctx, poison, "no row"))
		all.Wait()
		must(t, j.Flush(ctx))
		got := map[string]bool{}
		for row := range strings.FieldsSeq(p.rows(t)) {
			body, _, _ := strings.Cut(row, "@")
			got[body] = true
		}
		n := 0
		for w := range writers {
			for id, body := range model[w] {
				n++
				if !got[fmt.Sprintf("%d=%s", id, body)] {
					t.Errorf("the table lacks %d=%s", id, body)
				}
			}
		}
		if len(got) != n {
			t.Errorf("%d rows, want %d", len(got), n)
		}
		dead := 0
		for letter, err := range j.DeadLetters(ctx) {
			must(t, err)
			if dead++; letter.ID != poison {
				t.Errorf("a dead letter of %d: %s", letter.ID, letter.Reason)
			}
		}
		lag, err := j.Lag(ctx)
		must(t, err)
		if dead != 1 || lag.Dead != 1 || lag.Records != 0 || lag.Acked != writers*writes+1 || lag.Acked != lag.Applied+lag.Superseded+lag.Dead {
			t.Errorf("%d dead letters; %+v", dead, lag)
		}

		if v, err := j.Get(ctx, 2_000_000); !errors.Is(err, cache.ErrNotFound) {
			t.Errorf("an id that nobody wrote: %q, %v", v, err)
		}
	})
}
