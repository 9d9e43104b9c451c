package faults

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redstart-go/redstart/faults/harness"
	"github.com/redstart-go/redstart/faults/history"
	"github.com/redstart-go/redstart/redstarttest"
	"github.com/redstart-go/redstart/redstarttest/database"
	"github.com/redstart-go/redstart/sqlcache"
)

// TestQ2Transactions: processes read and write rows through the cache, alone and
// in transactions at read committed and repeatable read, and are killed, also
// between a commit and its invalidation. No read may give what is older than
// anything committed, or read, before it began, nor what was rolled back or not
// committed; a transaction sees its own writes and one snapshot.
func TestQ2Transactions(t *testing.T) {
	form := harness.Run(t)
	seed := harness.Seed(t)
	db := database.RunPostgres(t, database.Config{Unix: true, NoSync: true})
	var servers []string
	var events []history.Event
	var total sqlcache.Stats
	deaths := 0
	for i, l := range launchers(t, form, false) {
		s, name := start(t, l, redstarttest.ServerConfig{})
		servers = append(servers, name)
		run := sqlRun{arg: sqlArg{
			Recipe: redstarts, URL: s.URL(), DSN: db.DSN(), Seed: seed + uint64(i), Workers: 4, Keys: 4, //nolint:gosec // small
			Lease: 300 * time.Millisecond, Dies: 0.02, Delay: 4 * time.Millisecond,
		}, processes: 3, operations: harness.Choose(form, 1500, 15_000), kills: harness.Choose(form, 4, 30)}
		got := run.work(t, l.Name)
		reportAll(t, history.SQL(got))
		events = append(events, got...)
		total.Cache.Hits += run.stats.Cache.Hits
		total.InTx += run.stats.InTx
		total.Invalidations += run.stats.Invalidations
		deaths += run.deaths
	}
	reads, commits, undone := history.Count(events, history.SQLRead), history.Count(events, history.SQLCommitted), history.Count(events, history.SQLRolledBack)
	if reads < 1000 || commits < 100 || undone < 20 || deaths < 3 || total.Cache.Hits < 100 {
		t.Errorf("%d reads, %d commits, %d rolled back, %d deaths, %+v: too few to prove anything", reads, commits, undone, deaths, total)
	}
	twin := sqlRun{arg: sqlArg{
		Recipe: sqlCaches, DSN: db.DSN(), Seed: seed, Workers: 4, Keys: 4, Delay: 4 * time.Millisecond,
	}, processes: 2, operations: 1500}
	s, _ := start(t, launchers(t, form, false)[0], redstarttest.ServerConfig{})
	twin.arg.URL = s.URL()
	wrong := history.SQL(twin.work(t, "naive"))
	if len(wrong) == 0 {
		t.Error("the checker finds nothing wrong with a cache that fills in transactions and invalidates after the commit")
	}
	keep(t, form, "Q2", append(servers, "PostgreSQL 15"),
		"0 wrong of %d reads (%d by the cache and more in other processes' lives, %d of these in transactions), %d commits, %d rolled back, %d processes killed, most between a commit and its invalidation (a cache that fills in transactions and deletes after the commit: %d wrong)",
		reads, total.Cache.Hits, total.InTx, commits, undone, deaths, len(wrong))
}

// sqlRun is some processes at work on one table.
type sqlRun struct {
	arg                          sqlArg
	processes, operations, kills int

	mu     sync.Mutex
	stats  sqlcache.Stats
	deaths int
	last   atomic.Int64 // the number of the last process
}

// work gives what happened.
func (r *sqlRun) work(t *testing.T, name string) []history.Event {
	t.Helper()
	dir := t.TempDir()
	r.arg.Clock, r.arg.History, r.arg.Table = filepath.Join(dir, "clock"), dir, "rows_"+filepath.Base(dir)
	db, err := sql.Open("pgx", r.arg.DSN)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	r.arg.Table = "q2_" + tableName(name)
	for _, text := range []string{
		"DROP TABLE IF EXISTS " + r.arg.Table,
		"CREATE TABLE " + r.arg.Table + " (id bigint PRIMARY KEY, v bigint NOT NULL, w bigint NOT NULL)",
		"INSERT INTO " + r.arg.Table + " SELECT g, 0, 0 FROM generate_series(0, 100) g",
	} {
		if _, err := db.ExecContext(t.Context(), text); err != nil {
			t.Fatal(err)
		}
	}
	var all sync.WaitGroup
	errs := make(chan error, r.processes)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	for range r.processes {
		all.Go(func() { errs <- r.lives(ctx, t) })
	}
	all.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
	events, err := history.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	return events
}

func tableName(s string) string {
	out := []byte(s)
	for i, c := range out {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			out[i] = '_'
		}
	}
	return string(out)
}

// lives runs a process, and another one whenever it dies, until the operations
// are done.
func (r *sqlRun) lives(ctx context.Context, t *testing.T) error {
	for life := 0; ctx.Err() == nil; life++ {
		arg := r.arg
		arg.Process = int(r.last.Add(1))
		if r.kills > 0 && life >= r.kills {
			arg.Dies = 0 // enough
		}
		c := harness.Start(t, "sql", arg)
		var done int64
		err := c.Call(ctx, "run", r.operations, &done)
		if errors.Is(err, harness.ErrGone) {
			r.mu.Lock()
			r.deaths++
			r.mu.Unlock()
			continue
		}
		var s sqlcache.Stats
		if err == nil {
			err = c.Call(ctx, "stats", 0, &s)
		}
		r.mu.Lock()
		r.stats.Cache.Hits += s.Cache.Hits
		r.stats.InTx += s.InTx
		r.stats.Invalidations += s.Invalidations
		r.mu.Unlock()
		c.Close()
		return err
	}
	return ctx.Err()
}
