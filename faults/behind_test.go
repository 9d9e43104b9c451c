package faults

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/redstart-go/redstart/cache/journal/sqlsink"
	"github.com/redstart-go/redstart/faults/harness"
	"github.com/redstart-go/redstart/faults/history"
	"github.com/redstart-go/redstart/key"
	"github.com/redstart-go/redstart/redstarttest"
	"github.com/redstart-go/redstart/redstarttest/database"
	"github.com/redstart-go/redstart/redstarttest/proxy"
	"github.com/redstart-go/redstart/redstarttest/topology"
)

// behind is processes that write, others that flush, each behind a proxy of its
// own, a server, a database, and faults that strike all of them.
type behind struct {
	t        *testing.T
	rng      *rand.Rand
	dir      string
	server   *redstarttest.Server // nil: a cluster
	cluster  *topology.Cluster
	url      string
	database *database.Server // nil: SQLite
	notes    *notesTable
	lease    time.Duration

	clerks      []*harness.Child
	clerkArgs   []clerkArg
	clerkWays   []*proxy.Proxy
	flushers    []*harness.Child
	flusherArgs []flusherArg
	flusherWays []*proxy.Proxy
	counts      behindCounts
}

// behindCounts is what took place.
type behindCounts struct {
	clerksKilled, flushersKilled, atPoints, clerksFrozen, zombies int
	serverKills, databaseKills, scriptFlushes                     int
	lost, late, resets, moves                                     int
	unsure, acked, deletes, many, again, fenced, applied          int
}

func (c *behindCounts) add(o behindCounts) {
	c.clerksKilled += o.clerksKilled
	c.flushersKilled += o.flushersKilled
	c.atPoints += o.atPoints
	c.clerksFrozen += o.clerksFrozen
	c.zombies += o.zombies
	c.serverKills += o.serverKills
	c.databaseKills += o.databaseKills
	c.scriptFlushes += o.scriptFlushes
	c.lost += o.lost
	c.late += o.late
	c.resets += o.resets
	c.moves += o.moves
	c.unsure += o.unsure
	c.acked += o.acked
	c.deletes += o.deletes
	c.many += o.many
	c.again += o.again
	c.fenced += o.fenced
	c.applied += o.applied
}

// happened fails the test for each fault that did not take place.
func (b *behind) happened() {
	t, c := b.t, b.counts
	t.Helper()
	counts := map[string]int{
		"writers killed": c.clerksKilled, "flushers killed": c.flushersKilled, "flushers killed at named points": c.atPoints,
		"writers frozen": c.clerksFrozen, "flushers frozen past their lease": c.zombies, "servers killed": c.serverKills,
		"scripts flushed": c.scriptFlushes,
		"acknowledged":    c.acked, "deletes": c.deletes, "by PutMany": c.many,
	}
	if b.database != nil {
		counts["databases killed"] = c.databaseKills
	}
	if b.cluster != nil {
		counts["slots moved"] = c.moves
	} else {
		counts["replies lost"], counts["commands held back"], counts["connections reset"] = c.lost, c.late, c.resets
	}
	for what, n := range counts {
		if n == 0 {
			t.Errorf("%s: none; the run proves nothing", what)
		}
	}
}

func (c *behindCounts) String() string {
	return fmt.Sprintf("%d writers and %d flushers killed (%d of these between the steps of a flush), %d writers frozen, %d flushers frozen past their lease and let go on, %d server kills (AOF always), %d database kills, %d moves of a partition's slot key by key, %d connections reset, %d replies lost, %d commands held back, %d SCRIPT FLUSH",
		c.clerksKilled, c.flushersKilled, c.atPoints, c.clerksFrozen, c.zombies, c.serverKills, c.databaseKills, c.moves, c.resets, c.lost, c.late, c.scriptFlushes)
}

// behindOn starts writers and flushers. A naive recipe has no flushers.
func behindOn(t *testing.T, seed uint64, l redstarttest.Launcher, recipe string, pg *database.Server, keys, clerks, flushers int) (*behind, string) {
	t.Helper()
	server, name := start(t, l, redstarttest.ServerConfig{AOF: "always"})
	b := &behind{server: server, url: server.URL()}
	b.begin(t, seed, recipe, pg, keys, clerks, flushers)
	return b, name
}

// behindOnCluster is behindOn in a cluster without replicas and proxies.
func behindOnCluster(t *testing.T, seed uint64, l redstarttest.Launcher, pg *database.Server, keys, clerks, flushers int) *behind {
	t.Helper()
	cluster := topology.RunCluster(t, topology.ClusterConfig{Path: l.Path, Replicas: -1, AOF: "always", Args: []string{"--cluster-require-full-coverage", "no"}})
	b := &behind{cluster: cluster, url: cluster.URL()}
	b.begin(t, seed, redstarts, pg, keys, clerks, flushers)
	return b
}

// begin starts the processes.
func (b *behind) begin(t *testing.T, seed uint64, recipe string, pg *database.Server, keys, clerks, flushers int) {
	t.Helper()
	dir := t.TempDir()
	b.t, b.rng, b.dir, b.database, b.lease = t, harness.Rand(seed, "behind "+t.Name(), 0), dir, pg, 500*time.Millisecond
	at := sqliteIn(dir, "notes")
	if pg != nil {
		at = notesAt{Dialect: sqlsink.Postgres, DSN: pg.DSN(), Table: fmt.Sprintf("notes%d", time.Now().UnixNano())}
	}
	b.notes = at.prepare(t)
	url := func(ways *[]*proxy.Proxy) string {
		if b.server == nil {
			return b.url
		}
		way := newProxy(t, b.server)
		*ways = append(*ways, way)
		return way.URL()
	}
	for p := range clerks {
		b.clerkArgs = append(b.clerkArgs, clerkArg{
			Recipe: recipe, Journal: journalArg{URL: url(&b.clerkWays), Lease: b.lease}, Notes: at, History: dir, Clock: dir + "/clock",
			Process: p, Seed: seed, Keys: keys, Callers: 3, Pause: 4 * time.Millisecond, Deadline: 5 * time.Second,
		})
		b.clerks = append(b.clerks, harness.Start(t, "clerk", b.clerkArgs[p]))
	}
	for p := range flushers {
		b.flusherArgs = append(b.flusherArgs, flusherArg{
			Journal: journalArg{URL: url(&b.flusherWays), Lease: b.lease}, Notes: at, History: dir, Process: p, Bare: recipe == bareSink,
		})
		b.flushers = append(b.flushers, harness.Start(t, "flusher", b.flusherArgs[p]))
	}
}

// everything lists the faults, the gentle ones for a naive recipe.
func (b *behind) everything() []func() {
	if len(b.flushers) == 0 {
		return []func(){b.killClerk}
	}
	all := []func(){
		b.killClerk, b.killFlusher, func() { b.killAt(beforeApply) }, func() { b.killAt(afterApply) }, func() { b.zombie(beforeApply) },
		func() { b.zombie(afterApply) }, b.freezeClerk, b.killServer, b.flushScripts,
	}
	if b.cluster == nil {
		all = append(all, b.loseReply, b.loseFlushersReply, b.holdBack, b.reset, b.delays)
	} else {
		all = append(all, b.moveSlot)
	}
	if b.database != nil {
		all = append(all, b.killDatabase)
	}
	return all
}

// rage strikes with each fault once, in any order.
func (b *behind) rage() {
	faults := b.everything()
	for _, i := range b.rng.Perm(len(faults)) {
		b.pause(5, 200)
		if faults[i](); b.t.Failed() {
			return
		}
	}
}

func (b *behind) pause(least, most int) {
	<-time.After(time.Duration(least+b.rng.IntN(most-least)) * time.Millisecond)
}

func (b *behind) killClerk() {
	i := b.rng.IntN(len(b.clerks))
	b.clerks[i].Kill()
	b.counts.clerksKilled++
	b.clerkArgs[i].Life++
	b.clerks[i] = harness.Start(b.t, "clerk", b.clerkArgs[i])
}

func (b *behind) nextFlusher(i int) {
	b.flushers[i].Kill()
	b.counts.flushersKilled++
	b.flusherArgs[i].Life++
	b.flushers[i] = harness.Start(b.t, "flusher", b.flusherArgs[i])
}

func (b *behind) killFlusher() { b.nextFlusher(b.rng.IntN(len(b.flushers))) }

// reach waits until some flusher stands at a point, and gives it.
func (b *behind) reach(point string) int {
	ctx, cancel := context.WithTimeout(b.t.Context(), time.Minute)
	defer cancel()
	i := b.rng.IntN(len(b.flushers))
	// Some other may own all that is written; then it is as good.
	type one struct {
		i   int
		err error
	}
	there := make(chan one, len(b.flushers))
	for k := range b.flushers {
		f := (i + k) % len(b.flushers)
		go func() { there <- one{f, b.flushers[f].Call(ctx, "reach", point, nil)} }()
	}
	first := <-there
	if first.err != nil {
		b.t.Errorf("no flusher came %s: %v", point, first.err)
		return i
	}
	for k := range b.flushers {
		if k != first.i {
			if err := b.flushers[k].Call(ctx, "go", 0, nil); err != nil {
				b.t.Error(err)
			}
		}
	}
	for range len(b.flushers) - 1 {
		<-there
	}
	return first.i
}

func (b *behind) killAt(point string) {
	b.nextFlusher(b.reach(point))
	b.counts.atPoints++
}

// zombie freezes a flusher at a point for three leases, in which another takes
// over what it owns, and lets it go on.
func (b *behind) zombie(point string) {
	i := b.reach(point)
	b.flushers[i].Freeze()
	<-time.After(3 * b.lease)
	b.flushers[i].Continue()
	ask(b.t, b.flushers[i], "go", 0, nil)
	b.counts.zombies++
}

func (b *behind) freezeClerk() {
	c := b.clerks[b.rng.IntN(len(b.clerks))]
	c.Freeze()
	b.pause(100, 600)
	c.Continue()
	b.counts.clerksFrozen++
}

func (b *behind) killServer() {
	server := b.server
	if b.cluster != nil {
		nodes := b.cluster.Nodes()
		server = nodes[b.rng.IntN(len(nodes))].Server
	}
	if err := server.Kill(); err != nil {
		b.t.Error(err)
	}
	b.pause(20, 200)
	if err := server.Restart(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
	b.counts.serverKills++
	b.settle()
}

// settle waits until all nodes of a cluster agree again.
func (b *behind) settle() {
	if b.cluster == nil {
		return
	}
	ctx, cancel := context.WithTimeout(b.t.Context(), time.Minute)
	defer cancel()
	if err := b.cluster.Settle(ctx); err != nil {
		b.t.Fatal(err)
	}
}

// moveSlot takes a partition to another node, key by key under the traffic.
func (b *behind) moveSlot() {
	ctx, cancel := context.WithTimeout(b.t.Context(), time.Minute)
	defer cancel()
	slot := int(key.Slot(fmt.Sprintf("{notes:%d}", b.rng.IntN(4))))
	from, err := b.cluster.PrimaryOf(ctx, slot)
	if err != nil {
		b.t.Fatal(err)
	}
	nodes := b.cluster.Nodes()
	at := slices.Index(nodes, from)
	m, err := b.cluster.BeginMigration(ctx, slot, nodes[(at+1+b.rng.IntN(len(nodes)-1))%len(nodes)])
	for moved := 1; err == nil && moved > 0; {
		b.pause(2, 10)
		moved, err = m.MoveKeys(ctx, 1)
	}
	if err == nil {
		err = m.End(ctx)
	}
	if err != nil {
		b.t.Fatal(err)
	}
	b.counts.moves++
	b.settle()
}

func (b *behind) killDatabase() {
	if err := b.database.Kill(); err != nil {
		b.t.Error(err)
	}
	b.pause(20, 200)
	if err := b.database.Restart(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
	b.counts.databaseKills++
}

func (b *behind) flushScripts() {
	do := []func(context.Context, ...string) (any, error){}
	if b.cluster == nil {
		do = append(do, b.server.Do)
	} else {
		for _, n := range b.cluster.Nodes() {
			do = append(do, n.Do)
		}
	}
	for _, ask := range do {
		if _, err := ask(b.t.Context(), "SCRIPT", "FLUSH"); err != nil {
			b.t.Error(err)
		}
	}
	b.counts.scriptFlushes++
}

// swallow loses a reply on a way after its command ran, and cuts the connection.
func (b *behind) swallow(way *proxy.Proxy, names ...string) {
	rule := way.AddRule(proxy.Rule{Match: proxy.Named(names...), Nth: 1 + b.rng.IntN(3), Action: proxy.SwallowReply(proxy.CutConnection)})
	b.strike(rule)
	rule.Remove()
	b.counts.lost += rule.Hits()
}

func (b *behind) loseReply() { b.swallow(b.clerkWays[b.rng.IntN(len(b.clerkWays))], "EVALSHA") }

func (b *behind) loseFlushersReply() {
	b.swallow(b.flusherWays[b.rng.IntN(len(b.flusherWays))], "EVALSHA", "XACK", "XDEL", "XREADGROUP", "XRANGE", "XTRIM")
}

// holdBack holds what one sends, and lets it arrive after others have gone on.
func (b *behind) holdBack() {
	ways := slices.Concat(b.clerkWays, b.flusherWays)
	rule := ways[b.rng.IntN(len(ways))].AddRule(proxy.Rule{Match: proxy.Named("EVALSHA"), Action: proxy.HoldRequest()})
	b.strike(rule)
	b.pause(30, 700)
	rule.Remove()
	b.counts.late += rule.Hits()
}

func (b *behind) reset() {
	redstarttest.Eventually(b.t, time.Minute, "there are connections to cut", func() bool {
		n := 0
		for _, way := range slices.Concat(b.clerkWays, b.flusherWays) {
			n += way.Reset()
		}
		b.counts.resets += n
		return n > 0
	})
}

func (b *behind) delays() {
	for _, way := range slices.Concat(b.clerkWays, b.flusherWays) {
		way.Jitter(time.Duration(b.rng.IntN(4))*time.Millisecond, b.rng.Uint64())
	}
}

func (b *behind) strike(rule *proxy.Handle) {
	ctx, cancel := context.WithTimeout(b.t.Context(), time.Minute)
	defer cancel()
	if err := rule.Wait(ctx); err != nil {
		b.t.Errorf("a fault did not strike: %v", err)
	}
}

// halt ends the writing, waits until everything is flushed, and gives what all
// have noted.
func (b *behind) halt() []history.Event {
	b.t.Helper()
	for _, way := range slices.Concat(b.clerkWays, b.flusherWays) {
		way.Jitter(0, 0)
	}
	for _, c := range b.clerks {
		var n clerkCounts
		if err := c.Call(b.t.Context(), "stop", 0, &n); err != nil {
			b.t.Error(err)
		}
		c.Close()
	}
	if len(b.flushers) > 0 {
		b.drain()
	}
	for _, f := range b.flushers {
		if err := f.Call(b.t.Context(), "stop", 0, nil); err != nil {
			b.t.Error(err)
		}
		f.Close()
	}
	events, err := history.ReadDir(b.dir)
	if err != nil {
		b.t.Fatal(err)
	}
	return events
}

// drain waits until nothing is pending.
func (b *behind) drain() {
	b.t.Helper()
	j, client, err := journalArg{URL: b.url, Lease: b.lease}.open(nil)
	if err != nil {
		b.t.Fatal(err)
	}
	defer client.Close()
	var pending int64
	redstarttest.Eventually(b.t, time.Minute, "everything is flushed", func() bool {
		lag, err := j.Lag(b.t.Context())
		pending = lag.Records
		return err == nil && pending == 0
	})
}

// judge counts, and says what is wrong.
func (b *behind) judge(events []history.Event) (wrong []string) {
	b.t.Helper()
	tell := told(events)
	rows, made := b.notes.rows(), b.notes.made()
	wrong = slices.Concat(history.Unwritten(events, rows), history.Disordered(events, tell, rows), history.WentBack(made, tell))
	c := &b.counts
	sent, refused := 0, 0
	for _, e := range events {
		switch e.Kind {
		case history.Sent:
			sent++
		case history.NotTaken:
			refused++
		case fencedOff:
			c.fenced++
		case applied:
			c.applied++
		case history.Acked:
			c.acked++
			switch e.Mark {
			case history.Deletes:
				c.deletes++
			case byPutMany:
				c.many++
			}
		}
	}
	c.unsure, c.again = sent-refused-c.acked, history.Again(tell)
	return wrong
}
