package faults

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/redstart-go/redstart/cache/journal"
	"github.com/redstart-go/redstart/cache/journal/sqlsink"
	"github.com/redstart-go/redstart/faults/harness"
	"github.com/redstart-go/redstart/faults/history"
	"github.com/redstart-go/redstart/redstarttest"
	"github.com/redstart-go/redstart/redstarttest/database"
)

// logLengths gives the lengths of all partitions' logs at one moment.
var logLengths = rueidis.NewLuaScript(`
local n = {}
for i, key in ipairs(KEYS) do n[i] = redis.call('XLEN', key) end
return n`)

// backlog watches how long the logs of the journal "notes" are.
type backlog struct {
	most, mostOne int64 // of all together, of one
	looks         int
}

func watchBacklog(t *testing.T, url string, partitions int) (stop func() backlog) {
	t.Helper()
	client, err := plain(url)
	if err != nil {
		t.Fatal(err)
	}
	var keys []string
	for p := range partitions {
		keys = append(keys, fmt.Sprintf("{notes:%d}:%%log", p))
	}
	ctx, cancel := context.WithCancel(t.Context())
	var work sync.WaitGroup
	var b backlog
	work.Go(func() {
		for ; ctx.Err() == nil; rest(ctx, 2*time.Millisecond) {
			lengths, err := logLengths.Exec(ctx, client, keys, nil).AsIntSlice()
			if err != nil {
				continue // the server is away, or the test over
			}
			b.looks++
			sum := int64(0)
			for _, n := range lengths {
				sum += n
				b.mostOne = max(b.mostOne, n)
			}
			b.most = max(b.most, sum)
		}
	})
	return func() backlog { cancel(); work.Wait(); client.Close(); return b }
}

// bound is a way of not growing beyond one.
type bound struct {
	name string
	at   journal.AtBound
	most int64 // records pending, beside MaxRecords
}

// W5: the database is away, and the backlog stays within its bound.
func TestW5Bounds(t *testing.T) {
	const partitions, records = 4, 2000
	form := harness.Run(t)
	seed := harness.Seed(t)
	pg := database.RunPostgres(t, database.Config{})
	all := launchers(t, form, false)
	away := harness.Choose(form, 4*time.Second, 30*time.Second)
	var servers, figures []string
	bounds := []bound{{"block", journal.Block, 0}, {"refuse", journal.Refuse, 0}, {"write directly", journal.WriteDirectly, partitions * 1000}}
	var tables []*desk
	var clerks [][]*harness.Child
	var stops []func() backlog
	// All three at once: the database is away for all of them.
	for i, way := range bounds {
		server, name := start(t, all[i%len(all)], redstarttest.ServerConfig{AOF: "everysec"})
		servers = append(servers, name)
		at := notesAt{Dialect: sqlsink.Postgres, DSN: pg.DSN(), Table: fmt.Sprintf("bound%d_%d", i, time.Now().UnixNano())}
		d := newDesk(t, server, at, journalArg{Partitions: partitions, MaxRecords: records, AtBound: way.at})
		d.flusher()
		d.flusher()
		var writers []*harness.Child
		for p := range 2 {
			writers = append(writers, harness.Start(t, "clerk", clerkArg{
				Recipe: redstarts, Journal: d.arg, History: d.dir, Clock: d.dir + "/clock", Process: p, Seed: seed, Keys: 300, Callers: 8, Deadline: time.Second,
			}))
		}
		tables, clerks, stops = append(tables, d), append(clerks, writers), append(stops, watchBacklog(t, server.URL(), partitions))
	}
	counts := func(i int) (sum clerkCounts) {
		for _, c := range clerks[i] {
			var n clerkCounts
			ask(t, c, "counts", 0, &n)
			sum.Acked, sum.Refused, sum.Unsure = sum.Acked+n.Acked, sum.Refused+n.Refused, sum.Unsure+n.Unsure
		}
		return sum
	}
	for i := range bounds {
		redstarttest.Eventually(t, time.Minute, "writes are flushed", func() bool { return counts(i).Acked > 200 && len(tables[i].notes.rows()) > 100 })
	}
	if err := pg.Kill(); err != nil {
		t.Fatal(err)
	}
	down := time.Now()
	for _, d := range tables {
		redstarttest.Eventually(t, 2*time.Minute, "the backlog is at its bound", func() bool { return d.lag().Records >= records*9/10 })
	}
	var before []clerkCounts
	for i := range bounds {
		before = append(before, counts(i))
	}
	rest(t.Context(), away-time.Since(down))
	for i, way := range bounds {
		redstarttest.Eventually(t, time.Minute, way.name+": somebody is refused or has waited in vain", func() bool {
			n := counts(i)
			return way.at == journal.WriteDirectly || n.Refused+n.Unsure > before[i].Refused+before[i].Unsure
		})
	}
	if err := pg.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	was := time.Since(down)
	for i, way := range bounds {
		redstarttest.Eventually(t, time.Minute, way.name+": writes are acknowledged again", func() bool { return counts(i).Acked > before[i].Acked+100 })
	}
	for i, way := range bounds {
		d := tables[i]
		for _, c := range clerks[i] {
			ask(t, c, "stop", 0, nil)
			c.Close()
		}
		d.flush()
		for _, f := range d.flushers {
			ask(t, f, "stop", 0, nil)
			f.Close()
		}
		events, err := history.ReadDir(d.dir)
		if err != nil {
			t.Fatal(err)
		}
		rows := d.notes.rows()
		reportTexts(t, way.name+": wrong", history.Unwritten(events, rows))
		reportTexts(t, way.name+": wrong", history.Disordered(events, told(events), rows))
		reportTexts(t, way.name+": wrong", history.WentBack(d.notes.made(), told(events)))
		b := stops[i]()
		if most := records + way.most; b.most > most || b.mostOne > most/partitions {
			t.Errorf("%s: %d records pending, %d of a partition; want at most %d and %d", way.name, b.most, b.mostOne, most, most/partitions)
		}
		if b.most < records*9/10 {
			t.Errorf("%s: at most %d records were pending; the run proves nothing", way.name, b.most)
		}
		lag := d.lag()
		if lag.Records != 0 || lag.Acked != lag.Applied+lag.Superseded {
			t.Errorf("%s: in the end %+v", way.name, lag)
		}
		acked := history.Count(events, history.Acked)
		figures = append(figures, fmt.Sprintf("%s: at most %d pending of %d allowed in %d looks, %d acknowledged and 0 lost, %d refused, %d without an answer",
			way.name, b.most, records+way.most, b.looks, acked, history.Count(events, history.NotTaken), history.Count(events, history.Sent)-acked-history.Count(events, history.NotTaken)))
	}
	grown := boundless(t, seed, pg, all[0])
	keep(t, form, "W5", append(servers, "PostgreSQL"), "the database away for %s under %d writers: %s (%s: %d waiting in its queue, without a bound)",
		harness.Short3(was), 16, strings.Join(figures, "; "), queueInProcess, grown)
}

// boundless is how many items the recipe's queue has when the database is away
// for a moment.
func boundless(t *testing.T, seed uint64, pg *database.Server, l redstarttest.Launcher) int {
	t.Helper()
	b, _ := behindOn(t, seed, l, queueInProcess, pg, 4000, 1, 0)
	if err := pg.Kill(); err != nil {
		t.Fatal(err)
	}
	var n int
	redstarttest.Eventually(t, time.Minute, "the queue grows", func() bool {
		ask(t, b.clerks[0], "queued", 0, &n)
		return n > 500
	})
	b.clerks[0].Kill()
	if err := pg.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	return n
}
