package faults

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redstart-go/redstart/cache/journal"
	"github.com/redstart-go/redstart/cache/journal/sqlsink"
	"github.com/redstart-go/redstart/faults/harness"
	"github.com/redstart-go/redstart/faults/history"
	"github.com/redstart-go/redstart/faults/naive"
	"github.com/redstart-go/redstart/redstarttest"
	"github.com/redstart-go/redstart/redstarttest/database"
)

// desk is a journal in this process, with flushers in others, and what was
// acknowledged here.
type desk struct {
	t        *testing.T
	server   *redstarttest.Server
	notes    *notesTable
	arg      journalArg
	journal  *journal.Journal[int64, note]
	dir      string
	flushers []*harness.Child
	lives    int
	events   []history.Event
	now      uint64
}

func newDesk(t *testing.T, server *redstarttest.Server, at notesAt, arg journalArg) *desk {
	t.Helper()
	arg.URL, arg.Lease = server.URL(), 500*time.Millisecond
	d := &desk{t: t, server: server, notes: at.prepare(t), arg: arg, dir: t.TempDir()}
	j, client, err := arg.open(nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	d.journal = j
	return d
}

// flusher starts a process that flushes.
func (d *desk) flusher() *harness.Child {
	d.t.Helper()
	d.lives++
	f := harness.Start(d.t, "flusher", flusherArg{Journal: d.arg, Notes: d.notes.notesAt, History: d.dir, Process: d.lives})
	d.flushers = append(d.flushers, f)
	return f
}

// put writes notes of this process, a thousand at a time, and notes what came of
// each; the number of a write is its id and 1.
func (d *desk) put(ctx context.Context, from, to int64, text func(id int64) string) error {
	for ; from < to; from += 1000 {
		end := min(from+1000, to)
		d.now++
		begin := d.now
		err := d.journal.PutMany(ctx, func(yield func(int64, note) bool) {
			for id := from; id < end; id++ {
				if !yield(id, note{Write: uint64(id + 1), Text: text(id)}) { //nolint:gosec // small
					return
				}
			}
		})
		d.now++
		for id := from; id < end; id++ {
			if e := errorOf(err, id); e != nil {
				return e
			}
			e := history.Event{Kind: history.Sent, Key: uint32(id), Version: uint64(id + 1), Begin: begin} //nolint:gosec // small
			d.events = append(d.events, e)
			e.Kind, e.End = history.Acked, d.now
			d.events = append(d.events, e)
		}
	}
	return nil
}

func (d *desk) lag() journal.Lag {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(d.t.Context(), 10*time.Second)
	defer cancel()
	lag, err := d.journal.Lag(ctx)
	if err != nil {
		d.t.Fatal(err)
	}
	return lag
}

// flush waits until somebody flushes and all is flushed.
func (d *desk) flush() {
	d.t.Helper()
	redstarttest.Eventually(d.t, time.Minute, "somebody flushes", func() bool { return d.lag().Flushers > 0 })
	ctx, cancel := context.WithTimeout(d.t.Context(), time.Minute)
	defer cancel()
	if err := d.journal.Flush(ctx); err != nil {
		d.t.Fatal(err)
	}
}

// dead are the dead letters.
func (d *desk) dead() (all []journal.DeadLetter[int64, note]) {
	d.t.Helper()
	for letter, err := range d.journal.DeadLetters(d.t.Context()) {
		if err != nil {
			d.t.Fatal(err)
		}
		all = append(all, letter)
	}
	return all
}

// balance watches that what was acknowledged is always somewhere, until it is
// told to stop; then it gives how often it looked.
func (d *desk) balance() (stop func() int) {
	ctx, cancel := context.WithCancel(d.t.Context())
	var work sync.WaitGroup
	looks := 0
	work.Go(func() {
		for ; ctx.Err() == nil; rest(ctx, 5*time.Millisecond) {
			lag, err := d.journal.Lag(ctx)
			if err != nil {
				continue // the test is over
			}
			looks++
			if got := lag.Applied + lag.Superseded + lag.Dropped + lag.Dead + lag.Records; got != lag.Acked {
				d.t.Errorf("%d acknowledged, and %d applied, %d superseded, %d dropped, %d dead, %d pending", lag.Acked, lag.Applied, lag.Superseded, lag.Dropped, lag.Dead, lag.Records)
				return
			}
		}
	})
	return func() int { cancel(); work.Wait(); return looks }
}

// W4: poison among ten thousand.
func TestW4Poison(t *testing.T) {
	form := harness.Run(t)
	seed := harness.Seed(t)
	pg := database.RunPostgres(t, database.Config{})
	all := launchers(t, form, false)
	records, poisons := int64(10_000), 0
	var servers []string
	var held, isolated time.Duration
	looks, killed, told := 0, 0, 0
	for run := range harness.Choose(form, 1, 10) {
		l := all[run%len(all)]
		t.Run(fmt.Sprintf("%d: %s", run, l.Name), func(t *testing.T) {
			server, name := start(t, l, redstarttest.ServerConfig{AOF: "everysec"})
			if run < len(all) {
				servers = append(servers, name)
			}
			at := notesAt{Dialect: sqlsink.Postgres, DSN: pg.DSN(), Table: fmt.Sprintf("poison%d_%d", run, time.Now().UnixNano())}
			d := newDesk(t, server, at, journalArg{Attempts: 4, BatchSize: 1000})
			rng := harness.Rand(seed, "poison", run)
			poison := map[int64]bool{rng.Int64N(records): true}
			for run > 0 && len(poison) < 1+run*3 { // later runs have many
				poison[rng.Int64N(records)] = true
			}
			poisons += len(poison)
			stop := d.balance()
			if err := d.put(t.Context(), 0, records, func(id int64) string {
				if poison[id] {
					return poisonText
				}
				return "fine"
			}); err != nil {
				t.Fatal(err)
			}
			if lag := d.lag(); lag.Acked != records || lag.Records != records {
				t.Fatalf("%+v, want %d pending", lag, records)
			}
			began := time.Now()
			victim := d.flusher()
			d.flusher()
			// One of the two is killed while it looks for what is to blame.
			if err := victim.Call(t.Context(), "reach", beforeApply, nil); err != nil {
				t.Fatal(err)
			}
			victim.Kill()
			killed++
			d.flusher()
			var first time.Duration // all others are there
			redstarttest.Eventually(t, time.Minute, "all but the poison is applied", func() bool {
				if len(d.notes.rows()) == int(records)-len(poison) {
					first = time.Since(began)
				}
				return first > 0
			})
			redstarttest.Eventually(t, time.Minute, "the poison is dead", func() bool { return d.lag().Dead == int64(len(poison)) })
			held, isolated = max(held, first), max(isolated, time.Since(began))
			// What comes later is not held up by what is dead.
			if err := d.put(t.Context(), records, records+100, func(int64) string { return "later" }); err != nil {
				t.Fatal(err)
			}
			d.flush()
			dead, refs := map[uint32]bool{}, []string(nil)
			for _, letter := range d.dead() {
				dead[uint32(letter.ID)] = true //nolint:gosec // small
				refs = append(refs, letter.Ref)
				if !poison[letter.ID] || letter.Value.Text != poisonText || !strings.Contains(letter.Reason, "_fine") || letter.Attempts == 0 {
					t.Errorf("a dead letter %+v", letter)
				}
			}
			reportTexts(t, "not in one place", history.Conserved(d.events, d.notes.rows(), dead, nil))
			if len(dead) != len(poison) {
				t.Errorf("%d dead letters, want %d", len(dead), len(poison))
			}
			// Mended, they are brought back.
			d.notes.exec("ALTER TABLE " + at.Table + " DROP CONSTRAINT " + at.Table + "_fine")
			if back, err := d.journal.Replay(t.Context(), refs...); err != nil || back.Again != len(refs) {
				t.Errorf("replayed %+v, %v", back, err)
			}
			d.flush()
			looks += stop()
			reportTexts(t, "not in one place", history.Conserved(d.events, d.notes.rows(), nil, nil))
			reportTexts(t, "wrong", history.Unwritten(d.events, d.notes.rows()))
			lag := d.lag()
			if lag.Records != 0 || lag.Dead != 0 || lag.Applied+lag.Superseded != lag.Acked {
				t.Errorf("in the end %+v", lag)
			}
			events, err := history.ReadDir(d.dir)
			if err != nil {
				t.Fatal(err)
			}
			told += history.Count(events, applying)
		})
	}
	missing := 0
	t.Run(queueInProcess, func(t *testing.T) { missing = poisonedQueue(t, pg, int(records)) })
	keep(t, form, "W4", append(servers, "PostgreSQL"), "%d poison records among %d (a constraint of the table) ended as dead letters with its name as their reason, all others applied %s after the flush began at most (dead after %s), what came later too, with %d flushers killed meanwhile; replayed after the constraint was dropped, all are in the table: acknowledged = applied + dead + pending, record by record, and by the journal's own counts in each of %d looks under way; %d changes told in all (%s: its worker dies, %d of %d missing)",
		poisons, records*int64(harness.Choose(form, 1, 10)), harness.Short3(held), harness.Short3(isolated), killed, looks, told, queueInProcess, missing, records)
}

// poisonedQueue gives how many of so many records the recipe has not written.
func poisonedQueue(t *testing.T, pg *database.Server, records int) int {
	t.Helper()
	at := notesAt{Dialect: sqlsink.Postgres, DSN: pg.DSN(), Table: fmt.Sprintf("queue%d", time.Now().UnixNano())}
	table := at.prepare(t)
	table.exec(fmt.Sprintf("ALTER TABLE %s ADD CHECK (number <> %d)", at.Table, 1+records/2))
	client, err := plain(redstarttest.Run(t, redstarttest.ServerConfig{}).URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	w := naive.WriteBehind{Client: client, TTL: time.Hour, Bulk: at.bulk(table.db), Queue: make(chan naive.Item, records)}
	var events []history.Event
	for id := range records {
		if err := w.Save(t.Context(), fmt.Sprint(id), fmt.Sprint(id+1)); err != nil {
			t.Fatal(err)
		}
		e := history.Event{Kind: history.Sent, Key: uint32(id), Version: uint64(id + 1), Begin: 1} //nolint:gosec // small
		events = append(events, e)
		e.Kind, e.End = history.Acked, 2
		events = append(events, e)
	}
	if err := w.Work(t.Context()); err == nil || errors.Is(err, context.Canceled) {
		t.Errorf("the worker ended with %v", err)
	}
	missing := len(history.Conserved(events, table.rows(), nil, nil))
	if missing < records/3 {
		t.Errorf("the checker finds %d missing", missing)
	}
	return missing
}
