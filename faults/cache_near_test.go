package faults

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/redstart-go/redstart/faults/harness"
	"github.com/redstart-go/redstart/faults/history"
	"github.com/redstart-go/redstart/key"
	"github.com/redstart-go/redstart/redstarttest"
	"github.com/redstart-go/redstart/redstarttest/topology"
)

// crowd is refined members with traffic, and where their histories are.
type crowd struct {
	t       *testing.T
	rng     *rand.Rand
	source  *harness.Source
	dir     string
	log     *history.Log // the test's own
	members []*harness.Child
	args    []refinedArg
	traffic bustleArg
}

// newCrowd starts members; change may say what is of one alone.
func newCrowd(t *testing.T, seed uint64, n int, arg refinedArg, traffic bustleArg, change func(i int, arg *refinedArg)) *crowd {
	t.Helper()
	c := &crowd{t: t, rng: harness.Rand(seed, "crowd", 0), source: harness.NewSource(t), dir: t.TempDir(), traffic: traffic}
	c.traffic.Seed = seed
	var err error
	if c.log, err = history.Create(c.dir, "test"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.log.Close() })
	c.source.OnCommit(func(key string, version uint64) {
		now := harness.Monotonic()
		c.add(history.Event{Kind: history.Committed, Key: rowNumber(key), Version: version, Begin: now, End: now})
	})
	for i := range n {
		a := arg
		a.Process, a.Processes, a.Source, a.History = i, n, c.source.Addr(), c.dir
		if change != nil {
			change(i, &a)
		}
		c.args = append(c.args, a)
		c.members = append(c.members, harness.Start(t, "refined", a))
	}
	return c
}

func (c *crowd) add(e history.Event) {
	if err := c.log.Add(e); err != nil {
		c.t.Errorf("write the history: %v", err)
	}
}

// begin lets the traffic begin everywhere.
func (c *crowd) begin() {
	c.t.Helper()
	for _, m := range c.members {
		ask(c.t, m, "start", c.traffic, nil)
	}
}

func (c *crowd) counts(i int) (n counts) {
	c.t.Helper()
	ask(c.t, c.members[i], "counts", 0, &n)
	return n
}

// more waits until every member has more of what is counted.
func (c *crowd) more(what string, n int64, of func(counts) int64) {
	c.t.Helper()
	for i := range c.members {
		first := of(c.counts(i))
		redstarttest.Eventually(c.t, time.Minute, fmt.Sprintf("process %d: %s", i, what), func() bool { return of(c.counts(i)) >= first+n })
	}
}

func (c *crowd) nearAgain() {
	c.t.Helper()
	c.more("reads near", 20, func(n counts) int64 { return n.Near })
}

// stop ends the traffic, and gives what was recorded.
func (c *crowd) stop() []history.Event {
	c.t.Helper()
	for _, m := range c.members {
		if m != nil { // else it was killed
			ask(c.t, m, "stop", 0, nil)
		}
	}
	events, err := history.ReadDir(c.dir)
	if err != nil {
		c.t.Fatal(err)
	}
	return events
}

func (c *crowd) pause(d time.Duration) { <-time.After(d) }

const nearMaxStale = 600 * time.Millisecond

// nearCrowd is members with a near tier, by key but the last one, which has it
// by broadcast. Without places for loads past the server a read that is no near
// one is as new as the server.
func nearCrowd(t *testing.T, seed uint64, direct string, recipe string, ways []*way) *crowd {
	t.Helper()
	const members = 3
	arg := refinedArg{
		memberArg: memberArg{Recipe: recipe, URL: direct, Direct: direct, TTL: time.Minute, Lease: time.Second, LoadTimeout: 5 * time.Second, ErrorTTL: 50 * time.Millisecond},
		Near:      true, MaxStale: nearMaxStale, OutageLoads: -1,
	}
	traffic := bustleArg{
		Keys: 13, Quiet: 1, Readers: 5, Every: 500 * time.Microsecond, Pause: 10 * time.Millisecond,
		Hows: []string{byInvalidate, bySet, foreignDel, foreignSet, foreignSet, foreignTTL},
	}
	return newCrowd(t, seed, members, arg, traffic, func(i int, a *refinedArg) {
		a.Broadcast = i == members-1
		if ways != nil {
			a.URL = ways[i].url()
		}
	})
}

// nearRun is what came of a run.
type nearRun struct {
	found       history.NearFaults
	near, reads int
	writes      int
}

func (c *crowd) nearVerdict() (r nearRun) {
	c.t.Helper()
	events := c.stop()
	r.found = history.NearTier(events, nearMaxStale)
	r.reads, r.writes = history.Count(events, history.Read), history.Count(events, history.Invalidated)
	for _, e := range events {
		if e.Kind == history.Read && e.Mark == history.Near {
			r.near++
		}
	}
	c.t.Logf("%d reads, %d of them near; %d writes (%d failed); %d went back, %d beyond MaxStale, %d own writes misread; oldest %v",
		r.reads, r.near, r.writes, history.Count(events, history.InvalidateFailed)+history.Count(events, history.SetFailed),
		len(r.found.Back), len(r.found.Beyond), len(r.found.Own), r.found.Oldest.Round(time.Millisecond))
	reportAll(c.t, history.Invented(events))
	return r
}

// TestC6NearTier: readers and writers in several processes, with writes from
// elsewhere, while what the near tier hangs on fails.
func TestC6NearTier(t *testing.T) {
	form := harness.Run(t)
	seed := harness.Seed(t)
	var servers []string
	var total nearRun
	var struck string
	take := func(r nearRun) {
		reportAll(t, r.found.All())
		total.reads, total.near, total.writes = total.reads+r.reads, total.near+r.near, total.writes+r.writes
		total.found.Oldest = max(total.found.Oldest, r.found.Oldest)
		if 10*r.near < r.reads {
			t.Errorf("only %d of %d reads were near; the run proves little", r.near, r.reads)
		}
	}
	for i, l := range launchers(t, form, false) {
		t.Run(l.Name, func(t *testing.T) {
			server, name := start(t, l, redstarttest.ServerConfig{})
			servers = append(servers, name)
			var ways []*way
			for range 3 {
				ways = append(ways, newWay(t, server.Addr()))
			}
			c := nearCrowd(t, seed, server.URL(), redstarts, ways)
			c.begin()
			c.nearAgain()
			n := &nearStorm{crowd: c, server: server, ways: ways}
			n.rage(harness.Choose(form, 1, 6))
			r := c.nearVerdict()
			take(r)
			if r.found.Oldest < nearMaxStale/10 {
				t.Error("nothing older was read: no message was held back")
			}
			if i == 0 {
				struck = n.String()
			}
		})
	}
	moves := 0
	t.Run("a slot moves", func(t *testing.T) {
		cluster := topology.RunCluster(t, topology.ClusterConfig{Path: launchers(t, form, false)[0].Path, Replicas: -1})
		c := nearCrowd(t, seed, cluster.URL(), redstarts, nil)
		c.begin()
		c.nearAgain()
		for end := time.Now().Add(harness.Choose(form, 3*time.Second, 30*time.Second)); time.Now().Before(end); moves++ {
			slot := int(key.Slot(keyOf(rowName(c.rng.IntN(c.traffic.Keys)))))
			from, err := cluster.PrimaryOf(t.Context(), slot)
			if err != nil {
				t.Fatal(err)
			}
			nodes := cluster.Nodes()
			to := nodes[c.rng.IntN(len(nodes))]
			if to == from {
				continue
			}
			if err := cluster.Migrate(t.Context(), slot, to); err != nil {
				t.Fatal(err)
			}
			c.pause(time.Duration(c.rng.IntN(500)) * time.Millisecond)
		}
		c.nearAgain()
		take(c.nearVerdict())
	})
	failover := ""
	if form == harness.Long {
		failover = "; through a Sentinel failover, which is not promised: " + nearFailover(t, seed)
	}
	naive := naiveNear(t, seed)
	keep(t, form, "C6", servers, "0 going back, 0 beyond MaxStale (%v), 0 own writes misread in %d reads (%d near) beside %d writes of 3 processes and of others; oldest %v; %s, %d slots moved under way%s "+
		"(a map with a TTL, without any fault: %d beyond, %d going back of %d reads)",
		nearMaxStale, total.reads, total.near, total.writes, total.found.Oldest.Round(time.Millisecond), struck, moves, failover,
		len(naive.found.Beyond), len(naive.found.Back), naive.reads)
}

// naiveNear is what the recipe comes to. The checker must find fault with it.
func naiveNear(t *testing.T, seed uint64) (r nearRun) {
	t.Helper()
	t.Run(mapWithTTL, func(t *testing.T) {
		server := redstarttest.Run(t, redstarttest.ServerConfig{})
		c := nearCrowd(t, seed, server.URL(), mapWithTTL, nil)
		c.begin()
		c.pause(2 * nearMaxStale)
		r = c.nearVerdict()
		if len(r.found.Beyond) == 0 {
			t.Error("the checker finds no fault with a map that has a TTL")
		}
	})
	return r
}

// nearFailover says how a failover came out in which the old primary lives on.
func nearFailover(t *testing.T, seed uint64) (text string) {
	t.Helper()
	t.Run("failover", func(t *testing.T) {
		d := topology.RunSentinel(t, topology.SentinelConfig{Proxies: true})
		c := nearCrowd(t, seed, d.URL(), redstarts, nil)
		c.begin()
		c.nearAgain()
		old, err := d.Primary(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		d.Links().Isolate(old) // it goes on to answer whoever still asks it
		if _, _, err := d.WaitPromoted(t.Context(), old.Announced()); err != nil {
			t.Fatal(err)
		}
		c.nearAgain()
		r := c.nearVerdict()
		text = fmt.Sprintf("oldest %v, %d beyond, %d going back", r.found.Oldest.Round(time.Millisecond), len(r.found.Beyond), len(r.found.Back))
	})
	return text
}
