package sinks

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/cache/journal"
)

// 5,000 rows in one batch: all written, then a third newer, a third older, a third
// deleted; compared with a model.
func TestLargeBatch(t *testing.T) {
	each(t, func(t *testing.T, d dialect) {
		p := newPlain(t, d)
		const n = 5_000
		order := rand.New(rand.NewPCG(1, 2)).Perm(n)
		first := make([]change, n)
		for i, id := range order {
			first[i] = set(int64(id), strings.Repeat("x", 100)+fmt.Sprint(id), int64(1000+i))
		}
		refusedAre(t, p.apply(t, 1, first...))
		second := make([]change, n)
		model := map[int64]string{}
		var want []journal.Refused
		for i, c := range first {
			switch i % 3 {
			case 0:
				second[i] = set(c.ID, "new", int64(10_000+i))
				model[c.ID] = fmt.Sprintf("%d=new@%d", c.ID, 10_000+i)
			case 1:
				second[i] = set(c.ID, "old", c.Version-1)
				want = append(want, journal.Refused{Index: i, Stored: c.Version})
				model[c.ID] = fmt.Sprintf("%d=%s@%d", c.ID, c.Value, c.Version)
			default:
				second[i] = del(c.ID, int64(10_000+i))
			}
		}
		got := p.apply(t, 1, second...)
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%d refused, want %d", len(got), len(want))
		}
		rows := strings.Fields(p.rows(t))
		if len(rows) != len(model) {
			t.Errorf("%d rows, want %d", len(rows), len(model))
		}
		for _, row := range rows {
			var id int64
			if _, err := fmt.Sscanf(row, "%d=", &id); err != nil || model[id] != row {
				t.Fatalf("%.40s; want %.40s", row, model[id])
			}
		}
	})
}

// Batches of several partitions whose rows lie among one another, beside a writer
// that locks the same rows in the other order, so that the database gives up the one
// or the other: every write arrives, by the sink's own attempts and the caller's.
func TestAmongOthers(t *testing.T) {
	each(t, func(t *testing.T, d dialect) {
		p := newPlain(t, d)
		const writers, rounds, rows, foreigners = 4, 6, 40, 12
		body := func(w, i int64, round int64) change { // the rows of all writers alternate
			return set(i*writers+(i+w)%writers, "v", round*1000+i+1)
		}
		deadlocks := 0
		foreign := make(chan error, 1)
		go func() {
			for range foreigners {
				tx, err := p.db.Begin()
				if err != nil {
					foreign <- err
					return
				}
				for id := rows*writers - 1; id >= 0; id -= 7 {
					if _, err := tx.Exec(fmt.Sprintf("UPDATE %s SET seen = seen + 1 WHERE id = %d", p.name, id)); err != nil {
						deadlocks++
						break
					}
				}
				_ = tx.Rollback()
			}
			foreign <- nil
		}()
		done := make(chan int, writers)
		for w := range int64(writers) {
			go func() {
				failed := 0
				for round := range int64(rounds) {
					changes := make([]change, rows)
					for i := range changes {
						changes[i] = body(w, int64(i), round)
					}
					for failed < 100 {
						_, err := p.sink.Apply(context.Background(), batch{Journal: "j", Partition: int(w), Token: 1, Changes: changes})
						if err == nil {
							break
						}
						if failed++; redstart.OutcomeOf(err) != redstart.NotApplied {
							t.Errorf("%v", err)
						}
					}
				}
				done <- failed
			}()
		}
		failed := 0
		for range writers {
			failed += <-done
		}
		must(t, <-foreign)
		t.Logf("%d batches came back to the caller, the other writer lost %d times", failed, deadlocks)
		var n int
		must(t, p.db.QueryRow(fmt.Sprintf("SELECT count(*) FROM %s WHERE version > %d", p.name, (rounds-1)*1000)).Scan(&n))
		if n != writers*rows {
			t.Errorf("%d of %d rows have their last version", n, writers*rows)
		}
	})
}

func TestCancelled(t *testing.T) {
	each(t, func(t *testing.T, d dialect) {
		p := newPlain(t, d)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := p.sink.Apply(ctx, batch{Journal: "j", Token: 1, Changes: []change{set(1, "a", 1)}}); !errors.Is(err, context.Canceled) ||
			redstart.OutcomeOf(err) != redstart.NotApplied {
			t.Errorf("%v (%v)", err, redstart.OutcomeOf(err))
		}
		if refused, err := p.sink.Apply(ctx, batch{Journal: "j", Token: 1}); err != nil || refused != nil {
			t.Errorf("an empty batch: %v, %v", refused, err)
		}
	})
}
