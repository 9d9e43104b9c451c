package faults

import (
	"fmt"
	"slices"
	"testing"

	"github.com/redstart-go/redstart/faults/harness"
	"github.com/redstart-go/redstart/faults/history"
	"github.com/redstart-go/redstart/redstarttest/database"
)

// TestW2W3WriteBehind: processes write and flush, are killed at random and
// between the steps of a flush, frozen past their leases, and lose replies; so do
// the server, whose AOF is on, and the database.
func TestW2W3WriteBehind(t *testing.T) {
	form := harness.Run(t)
	seed := harness.Seed(t)
	pg := database.RunPostgres(t, database.Config{})
	all := launchers(t, form, false)
	var servers []string
	var sum behindCounts
	runs := harness.Choose(form, 3, 100)
	for run := range runs {
		l, to, db := all[run/3%len(all)], "PostgreSQL", pg
		switch run % 3 {
		case 1:
			to = "a cluster, PostgreSQL"
		case 2:
			to, db = "SQLite", nil
		}
		t.Run(fmt.Sprintf("%d: %s, %s", run, l.Name, to), func(t *testing.T) {
			var b *behind
			keys := 40
			if run/3%2 == 1 {
				keys = 2000 // whose changes are rarely followed by others before they are flushed
			}
			if run%3 == 1 {
				b = behindOnCluster(t, seed+uint64(run), l, db, keys, 2, 2) //nolint:gosec // small
			} else {
				var name string
				if b, name = behindOn(t, seed+uint64(run), l, redstarts, db, keys, 2, 2); !slices.Contains(servers, name) { //nolint:gosec // small
					servers = append(servers, name)
				}
			}
			b.rage()
			events := b.halt()
			reportTexts(t, "wrong in the database", b.judge(events))
			b.happened()
			t.Logf("%d acknowledged, %d without an answer; %v", b.counts.acked, b.counts.unsure, &b.counts)
			sum.add(b.counts)
		})
		if t.Failed() {
			return
		}
	}
	if sum.again == 0 || sum.fenced == 0 || sum.unsure == 0 {
		t.Errorf("%d changes told again, %d for an old token, %d writes without an answer; the runs prove nothing", sum.again, sum.fenced, sum.unsure)
	}
	lost, of := 0, 0
	t.Run(queueInProcess, func(t *testing.T) {
		b, _ := behindOn(t, seed, all[0], queueInProcess, pg, 4000, 2, 0) // so many that later writes do not hide what is lost
		b.rage()
		b.pause(300, 400)
		for range 2 {
			b.killClerk()
			b.pause(300, 400)
		}
		events := b.halt()
		b.judge(events)
		wrong := history.Unwritten(events, b.notes.rows())
		if lost, of = len(wrong), b.counts.acked; lost == 0 {
			t.Error("the checker finds nothing wrong with it")
		}
	})
	back := 0
	t.Run(bareSink, func(t *testing.T) {
		b, _ := behindOn(t, seed, all[0], bareSink, pg, 10, 2, 2)
		for range 3 {
			b.zombie(beforeApply)
		}
		events := b.halt()
		if back = len(history.WentBack(b.notes.made(), told(events))); back == 0 {
			t.Error("the checker finds nothing wrong with it")
		}
	})
	for id, what := range map[string]string{
		"W2": "0 acknowledged writes missing in the database (PostgreSQL, SQLite)",
		"W3": "per key the last applied was the last acknowledged and the greatest version, no version went back and no deleted row came back",
	} {
		keep(t, form, id, append(servers, "PostgreSQL, SQLite"), "%s, in %d runs of %d writes acknowledged to processes (%d deletes, %d by PutMany; %d more without an answer): %v; %d changes told again, %d for a token that was no longer the newest (%s, a process killed three times: %d keys wrong after %d writes; a sink without guard and fence, three flushers frozen: %d versions went back)",
			what, runs, sum.acked, sum.deletes, sum.many, sum.unsure, &sum, sum.again, sum.fenced, queueInProcess, lost, of, back)
	}
}
