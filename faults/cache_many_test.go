package faults

import (
	"context"
	"testing"
	"time"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/cache"
	"github.com/redstart-go/redstart/faults/harness"
	"github.com/redstart-go/redstart/faults/history"
	"github.com/redstart-go/redstart/redstarttest"
	"github.com/redstart-go/redstart/redstarttest/proxy"
	"github.com/redstart-go/redstart/redstarttest/topology"
)

func nobody(uint32) int { return 0 }

// judgeMany looks at calls all of which should have been answered.
func judgeMany(t *testing.T, events []history.Event, died func(uint32) int, dead func(uint16) bool) (calls, loads int) {
	t.Helper()
	for i, wrong := range append(history.ManyLoads(events, died), history.ManyAnswers(events, truthOf, false)...) {
		if i == 10 {
			t.Error("and so on")
			break
		}
		t.Error(wrong)
	}
	if n := history.Ignored(events, dead); n != 0 {
		t.Errorf("%d keys were never answered", n)
	}
	type call struct{ process, caller uint16 }
	seen := map[call]bool{}
	for _, e := range events {
		if e.Kind == history.Asked {
			seen[call{e.Process, e.Caller}] = true
		}
	}
	return len(seen), history.Count(events, history.LoadBegan)
}

func allLive(uint16) bool { return false }

// together reports how many commands of a kind arrive while the reply to the
// first of them is held back at every node: all of them, if they are one round
// trip a node. patience is how long one waits for want.
func together(t *testing.T, nodes []*proxy.Proxy, name string, want int, patience time.Duration, call func()) (arrived int) {
	t.Helper()
	first := make([]*proxy.Handle, len(nodes))
	for i, p := range nodes {
		p.ResetCounts()
		first[i] = p.AddRule(proxy.Rule{Match: proxy.Named(name), Nth: 1, Action: proxy.HoldReply()})
	}
	done := make(chan struct{})
	go func() { defer close(done); call() }()
	for end := time.Now().Add(patience); arrived < want && time.Now().Before(end); {
		<-time.After(time.Millisecond)
		arrived = 0
		for _, p := range nodes {
			arrived += p.Commands()[name]
		}
	}
	for _, h := range first {
		h.Remove()
	}
	<-done
	return arrived
}

// oneTrip shows that a read, a claim and a fill of many keys each are one round
// trip a node; and that the measure finds fault with a Get for each.
func oneTrip(t *testing.T, url string, nodes []*proxy.Proxy, read string, reads int, keys []uint32) {
	t.Helper()
	client := openHere(t, url, redstart.Config{Pipelines: 1})
	rows, err := cache.New(client, cache.Config[uint32, row]{
		Key: "trip:<id>",
		LoadMany: func(_ context.Context, ids []uint32) (map[uint32]row, error) {
			m := map[uint32]row{}
			for _, id := range ids {
				m[id] = row{Version: uint64(id)}
			}
			return m, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	get := func(ids []uint32) func() {
		return func() {
			got, err := rows.GetMany(context.Background(), ids)
			if err != nil || got[0].Value.Version != uint64(ids[0]) {
				t.Errorf("GetMany: %+v, %v", got[0], err)
			}
		}
	}
	get(keysFrom(1_000_000, 300))() // connections, and scripts
	for i, step := range []struct {
		name string
		n    int
	}{{read, reads}, {"SET", len(keys)}, {"EVALSHA", len(keys)}} {
		fresh := make([]uint32, len(keys))
		for j, k := range keys {
			fresh[j] = uint32(10_000*(i+1)) + k
		}
		if n := together(t, nodes, step.name, step.n, 10*time.Second, get(fresh)); n != step.n {
			t.Errorf("%d of %d %s arrive in one round trip a node", n, step.n, step.name)
		}
	}
	if n := together(t, nodes, "GET", len(keys), 100*time.Millisecond, func() {
		for _, k := range keys {
			if _, err := rows.Get(context.Background(), 10_000+k); err != nil {
				t.Error(err)
			}
		}
	}); n >= len(keys) {
		t.Error("the measure finds no fault with a Get for each")
	}
}

// TestC9ManyKeys: overlapping calls on many keys by several processes, while
// one is killed, connections are cut, replies lost and the server killed.
func TestC9ManyKeys(t *testing.T) {
	form := harness.Run(t)
	seed := harness.Seed(t)
	keys, callers := harness.Choose(form, 200, 1000), harness.Choose(form, 4, 12)
	var servers []string
	calls, loads, killed, cut, outage, reads := 0, 0, 0, 0, 0, 0
	add := func(c, l int) { calls, loads = calls+c, loads+l }
	for _, l := range launchers(t, form, false) {
		t.Run(l.Name, func(t *testing.T) {
			server, name := start(t, l, redstarttest.ServerConfig{AOF: "always"})
			servers = append(servers, name)
			for range harness.Choose(form, 1, 5) {
				add(manyOverlap(t, seed, server, keys, callers))
				killed += manyKilled(t, seed, server, keys)
				cut += manyCut(t, seed, server, keys)
				reads += manyWarm(t, seed, server, redstarts, harness.Choose(form, 700*time.Millisecond, 5*time.Second))
				outage += manyOutage(t, seed, server, keys)
				flush(t, server)
			}
			p := newProxy(t, server)
			oneTrip(t, p.URL(), []*proxy.Proxy{p}, "MGET", 1, keysFrom(0, 300))
		})
	}
	t.Run("a cluster", func(t *testing.T) {
		cluster := topology.RunCluster(t, topology.ClusterConfig{Path: launchers(t, form, false)[0].Path, Replicas: -1, Proxies: true})
		f := newManyFleet(t, seed, redstarts, nil, cluster.URL())
		f.overlap(keysFrom(0, keys), callers)
		add(judgeMany(t, f.events(), nobody, allLive))
		var nodes []*proxy.Proxy
		for _, n := range cluster.Nodes() {
			nodes = append(nodes, cluster.Links().Proxy(nil, n))
		}
		oneTrip(t, cluster.URL(), nodes, "GET", 300, keysFrom(0, 300))
	})
	again, absences, stale := manyNaive(t, seed, keys, callers)
	keep(t, form, "C9", servers, "%d overlapping GetMany, Get and Warm by %d processes, alone and in a cluster: %d ids each loaded exactly once, one loader call at most for each call and for nothing it did not ask for, each answer its id's own, 0 failures told as absences; "+
		"%d ids of a process that was killed in its load loaded once more, %d whose connections were cut or replies lost not; %d calls while the server was killed got values or errors; a GetMany is one round trip a node (300 ids: MGET alone, a GET each in a cluster; so are their claims and their fills); 0 stale of %d reads beside Warm "+
		"(%s: %d ids loaded more than once, %d failures told as absences, %d stale)", calls, c9Processes, loads, killed, cut, outage, reads, manyThenSet, again, absences, stale)
}

func flush(t *testing.T, server *redstarttest.Server) {
	t.Helper()
	if _, err := server.Do(t.Context(), "FLUSHALL"); err != nil {
		t.Fatal(err)
	}
}

func manyOverlap(t *testing.T, seed uint64, server *redstarttest.Server, keys, callers int) (calls, loads int) {
	t.Helper()
	f := newManyFleet(t, seed, redstarts, server, "overlap")
	f.overlap(keysFrom(0, keys), callers)
	calls, loads = judgeMany(t, f.events(), nobody, allLive)
	if uint64(loads) != uint64(keys) || f.stats(0).Waits+f.stats(1).Waits+f.stats(2).Waits == 0 {
		t.Errorf("%d loads of %d keys, or nobody waited; the run proves nothing", loads, keys)
	}
	return calls, loads
}

// manyKilled: the process that loads is killed; the others load each of its keys
// once more.
func manyKilled(t *testing.T, seed uint64, server *redstarttest.Server, keys int) int {
	t.Helper()
	f := newManyFleet(t, seed, redstarts, server, "killed")
	all := keysFrom(10_000, keys)
	_, holder, waiters := f.holding(all)
	f.children[0].Kill()
	gone(t, holder)
	f.finish(waiters...)
	judgeMany(t, f.events(), func(uint32) int { return 1 }, func(p uint16) bool { return p == 0 })
	return keys
}

// manyCut: the holder's connections are cut while it loads, and then replies to
// claims and to fills are lost.
func manyCut(t *testing.T, seed uint64, server *redstarttest.Server, keys int) int {
	t.Helper()
	f := newManyFleet(t, seed, redstarts, server, "cut")
	release, holder, waiters := f.holding(keysFrom(20_000, keys))
	if f.ways[0].Reset() == 0 {
		t.Error("no connection was cut")
	}
	release()
	f.finish(append(waiters, holder)...)
	for i, name := range []string{"SET", "EVALSHA"} {
		rule := f.ways[0].AddRule(proxy.Rule{Match: proxy.Named(name), Nth: 1 + f.rng.IntN(keys/2), Action: proxy.SwallowReply(proxy.CutConnection)})
		f.finish(f.call(0, byGetMany, keysFrom(20_000+(i+1)*keys, keys)))
		rule.Remove()
		if rule.Hits() == 0 {
			t.Errorf("no reply to %s was lost", name)
		}
		f.finish(f.call(1, byGetMany, keysFrom(20_000+(i+1)*keys, keys)))
	}
	judgeMany(t, f.events(), nobody, allLive)
	return 3 * keys
}

// manyOutage: the server is killed while a process loads and others wait.
func manyOutage(t *testing.T, seed uint64, server *redstarttest.Server, keys int) int {
	t.Helper()
	f := newManyFleet(t, seed, redstarts, server, "outage")
	all := keysFrom(30_000, keys)
	release, holder, waiters := f.holding(all)
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	// What is asked for now finds no server.
	for p := range c9Processes {
		waiters = append(waiters, f.call(p, byGetMany, all))
	}
	f.finish(waiters[:c9Processes-1]...)
	release()
	f.finish(append(waiters[c9Processes-1:], holder)...)
	if err := server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	events := f.events()
	for _, wrong := range history.ManyAnswers(events, truthOf, true) {
		t.Error(wrong)
	}
	// One load without the server at a time in each process, so one for each call at most.
	calls := 2 * c9Processes
	perKey := map[uint32]int{}
	for _, e := range events {
		if e.Kind == history.LoadBegan {
			perKey[e.Key]++
		}
	}
	for key, n := range perKey {
		if n > calls {
			t.Errorf("%d was loaded %d times by %d calls", key, n, calls)
		}
	}
	back := harness.Monotonic()
	for p := range c9Processes {
		redstarttest.Eventually(t, time.Minute, "the process serves again", func() bool {
			f.finish(f.call(p, byGetMany, all))
			begin := back
			back = harness.Monotonic()
			after := since(f.events(), begin)
			return len(history.ManyAnswers(after, truthOf, false)) == 0
		})
	}
	return calls
}

// since are the events that began at a time or later.
func since(events []history.Event, begin uint64) (after []history.Event) {
	for _, e := range events {
		if e.Begin >= begin {
			after = append(after, e)
		}
	}
	return after
}

// manyWarm: values are written while a Warm holds older ones, and all the time
// beside Warm and GetMany; nothing older is read later.
func manyWarm(t *testing.T, seed uint64, server *redstarttest.Server, recipe string, least time.Duration) (reads int) {
	t.Helper()
	f := newManyFleet(t, seed, recipe, server, "warm")
	all := keysFrom(40_000, 50)
	for i, how := range []string{bySetMany, byInvalidateMany} {
		part := all[25*i : 25*i+25]
		release := f.hold(0)
		before := f.source.Loads(gateOf(0))
		warm := f.call(0, byWarm, part)
		redstarttest.Eventually(t, time.Minute, "the Warm loads", func() bool { return f.source.Loads(gateOf(0)) > before })
		var there []uint32
		for _, k := range part {
			if truthOf(k) == history.Present {
				there = append(there, k)
			}
		}
		f.write(1, how, there)
		release()
		f.finish(warm, f.call(1, byGetMany, part), f.call(2, byGetMany, part))
	}
	for end := time.Now().Add(least); time.Now().Before(end); {
		var calls []<-chan error
		for p := range c9Processes {
			first := f.rng.IntN(20)
			calls = append(calls, f.call(p, []string{byWarm, byGetMany, byGet}[f.rng.IntN(3)], all[first:first+30]))
		}
		rest(t.Context(), time.Duration(f.rng.IntN(20))*time.Millisecond)
		some := all[10*f.rng.IntN(5):][:5] // all of these are there
		f.write(f.rng.IntN(c9Processes), []string{bySetMany, byInvalidateMany}[f.rng.IntN(2)], some)
		f.finish(calls...)
	}
	events := f.events()
	stale := history.Stale(events)
	if recipe != redstarts {
		return len(stale)
	}
	reportAll(t, stale)
	for _, wrong := range history.ManyAnswers(events, truthOf, false) {
		t.Error(wrong)
	}
	refused := uint64(0)
	for p := range c9Processes {
		refused += f.stats(p).Refused
	}
	if refused == 0 {
		t.Error("no load was overtaken; the run proves nothing")
	}
	return history.Count(events, history.Read)
}

// manyNaive: the checkers find fault with the recipe.
func manyNaive(t *testing.T, seed uint64, keys, callers int) (again, absences, stale int) {
	t.Helper()
	t.Run(manyThenSet, func(t *testing.T) {
		server := redstarttest.Run(t, redstarttest.ServerConfig{})
		f := newManyFleet(t, seed, manyThenSet, server, "naive")
		f.overlap(keysFrom(0, keys), callers)
		events := f.events()
		perKey := map[uint32]int{}
		for _, e := range events {
			if e.Kind == history.LoadBegan {
				perKey[e.Key]++
			}
			if e.Kind == history.Absence && truthOf(e.Key) == history.Failing {
				absences++
			}
		}
		for _, n := range perKey {
			if n > 1 {
				again++
			}
		}
		if len(history.ManyLoads(events, nobody)) == 0 || again == 0 {
			t.Error("the checker of loads finds no fault with it")
		}
		if len(history.ManyAnswers(events, truthOf, false)) == 0 || absences == 0 {
			t.Error("the checker of answers finds no fault with it")
		}
		if stale = manyWarm(t, seed, server, manyThenSet, 0); stale == 0 {
			t.Error("the checker of stale reads finds no fault with it")
		}
	})
	return again, absences, stale
}
