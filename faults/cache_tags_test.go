package faults

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/cache"
	"github.com/redstart-go/redstart/faults/harness"
	"github.com/redstart-go/redstart/faults/history"
	"github.com/redstart-go/redstart/faults/naive"
	"github.com/redstart-go/redstart/redstarttest"
	"github.com/redstart-go/redstart/redstarttest/topology"
)

// tagCost is what the invalidation of a tag took.
type tagCost struct {
	sent map[string]int // commands on the wire
	ran  int            // on the server, those of scripts too
	took time.Duration
}

func (c tagCost) commands() (n int) {
	for _, times := range c.sent {
		n += times
	}
	return n
}

// measured gives what a call costs. The client goes through p.
func measured(t *testing.T, server *redstarttest.Server, commands func() map[string]int, reset func(), call func() error) (c tagCost) {
	t.Helper()
	if _, err := server.Do(t.Context(), "CONFIG", "RESETSTAT"); err != nil {
		t.Fatal(err)
	}
	reset()
	began := time.Now()
	if err := call(); err != nil {
		t.Fatal(err)
	}
	c.took = time.Since(began)
	c.sent = commands()
	info, err := server.Do(t.Context(), "INFO", "commandstats")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(info.(string)) {
		name, rest, ok := strings.Cut(line, ":calls=")
		if !ok || strings.HasPrefix(name, "cmdstat_config") {
			continue
		}
		calls, _, _ := strings.Cut(rest, ",")
		n, err := strconv.Atoi(calls)
		if err != nil {
			t.Fatal(err)
		}
		c.ran += n
	}
	return c
}

// tagged measures InvalidateTag over n entries: the first is loaded, the others
// are copies of it, which carry its stamps.
func tagged(t *testing.T, server *redstarttest.Server, n int, byResult bool) tagCost {
	t.Helper()
	p := newProxy(t, server)
	client := openHere(t, p.URL(), redstart.Config{})
	direct := openHere(t, server.URL(), redstart.Config{})
	cfg := cache.Config[int, row]{
		Key: fmt.Sprintf("many:%v:%d:<id>", byResult, n), ResultTags: byResult,
		LoadResult: func(context.Context, int, cache.Old[row]) (r cache.Result[row], err error) {
			r.Value.Version = 1
			if byResult {
				r.Tags = []string{"tag"}
			}
			return r, nil
		},
	}
	if !byResult {
		cfg.Tags = func(int) []string { return []string{"tag"} }
	}
	rows, err := cache.New(client, cfg)
	if err != nil {
		t.Fatal(err)
	}
	// Once before, so that the scripts are known.
	if err := rows.InvalidateTag(t.Context(), "tag"); err != nil {
		t.Fatal(err)
	}
	if _, err := rows.Get(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	key := func(id int) string { return strings.Replace(cfg.Key, "<id>", strconv.Itoa(id), 1) }
	raw, err := direct.Do(t.Context(), direct.B().Get().Key(key(0)).Build()).ToString()
	if err != nil {
		t.Fatal(err)
	}
	copies(t, direct, 1, n, func(id int) rueidis.Completed { return direct.B().Set().Key(key(id)).Value(raw).Build() })
	count := func() (found int) {
		for id := 0; id < n; id += max(n/500, 1) {
			_, ok, err := rows.Peek(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			if ok {
				found++
			}
		}
		return found
	}
	if found := count(); found < min(n, 500) {
		t.Fatalf("%d entries are there; the run proves nothing", found)
	}
	cost := measured(t, server, p.Commands, p.ResetCounts, func() error { return rows.InvalidateTag(t.Context(), "tag") })
	if found := count(); found != 0 {
		t.Errorf("%d of %d entries are still there", found, min(n, 500))
	}
	return cost
}

// copies sends commands by the thousand.
func copies(t *testing.T, c rueidis.Client, from, to int, command func(id int) rueidis.Completed) {
	t.Helper()
	for from < to {
		var all rueidis.Commands
		for ; from < to && len(all) < 1000; from++ {
			all = append(all, command(from))
		}
		for _, r := range c.DoMulti(t.Context(), all...) {
			if err := r.Error(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// naiveTagged measures the recipe over n entries.
func naiveTagged(t *testing.T, server *redstarttest.Server, n int) tagCost {
	t.Helper()
	p := newProxy(t, server)
	client, err := plainOnce(p.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	tags := naive.TagSet{CacheAside: naive.CacheAside{Client: client, TTL: time.Minute}}
	copies(t, client, 0, n, func(id int) rueidis.Completed {
		return client.B().Set().Key(fmt.Sprint("naive:", id)).Value("1").Build()
	})
	copies(t, client, 0, n, func(id int) rueidis.Completed {
		return client.B().Sadd().Key("tag:t").Member(fmt.Sprint("naive:", id)).Build()
	})
	return measured(t, server, p.Commands, p.ResetCounts, func() error { return tags.InvalidateTag(t.Context(), "t") })
}

// tagCosts is the checker of O(1): it says what is wrong with the costs of few
// and of many entries, which may be so many commands.
func tagCosts(few, many tagCost, most int) string {
	if few.commands() > most || many.commands() > most || few.ran != many.ran {
		return fmt.Sprintf("%v and %d on the server for few entries, %v and %d for many; want at most %d, and the same", few.sent, few.ran, many.sent, many.ran, most)
	}
	return ""
}

// tagCrowd is members whose keys have tags, with loads that take their time.
func tagCrowd(t *testing.T, seed uint64, url, recipe string, hows []string) *crowd {
	t.Helper()
	c := newCrowd(t, seed, 2, refinedArg{
		memberArg: memberArg{Recipe: recipe, URL: url, Direct: url, TTL: 10 * time.Second, Lease: time.Second, LoadTimeout: 5 * time.Second, ErrorTTL: 50 * time.Millisecond},
		Tagged:    true, ResultTags: true,
	}, bustleArg{Keys: 12, Readers: 6, Every: 300 * time.Microsecond, Hows: hows, Pause: 25 * time.Millisecond}, nil)
	c.source.Behave(func(ctx context.Context, _ harness.Ask, answer harness.Answer) harness.Answer {
		rest(ctx, time.Duration(2+rand.IntN(20))*time.Millisecond)
		return answer
	})
	c.begin()
	c.more("reads", 200, func(n counts) int64 { return n.Reads })
	return c
}

// evictions counts the stamps of tags that a server evicts.
func evictions(t *testing.T, server *redstarttest.Server) (count func() int) {
	t.Helper()
	client := openHere(t, server.URL(), redstart.Config{})
	if _, err := server.Do(t.Context(), "CONFIG", "SET", "notify-keyspace-events", "Ee"); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	n := 0
	ctx, cancel := context.WithCancel(t.Context())
	var hears sync.WaitGroup
	hears.Go(func() {
		_ = client.Receive(ctx, client.B().Subscribe().Channel("__keyevent@0__:evicted").Build(), func(m rueidis.PubSubMessage) {
			if strings.HasPrefix(m.Message, keyOf("%")) {
				mu.Lock()
				n++
				mu.Unlock()
			}
		})
	})
	t.Cleanup(func() { cancel(); hears.Wait() })
	return func() int {
		mu.Lock()
		defer mu.Unlock()
		return n
	}
}

// evict fills a full server with what nobody needs, and deletes a stamp from
// time to time, until so many stamps were evicted.
func evict(t *testing.T, c *crowd, server *redstarttest.Server, enough int, least time.Duration) (evicted, deleted int) {
	t.Helper()
	count := evictions(t, server)
	client := openHere(t, server.URL(), redstart.Config{})
	junk := strings.Repeat("x", 2000)
	end := time.Now().Add(least)
	for n := 0; time.Now().Before(end) || count() < enough; n++ {
		copies(t, client, 100*n, 100*n+100, func(id int) rueidis.Completed {
			return client.B().Set().Key(fmt.Sprint("junk:", id)).Value(junk).Build()
		})
		if n%20 == 0 {
			stamps, err := client.Do(t.Context(), client.B().Keys().Pattern(keyOf("%*")).Build()).AsStrSlice()
			if err != nil {
				t.Fatal(err)
			}
			if len(stamps) > 0 {
				if err := client.Do(t.Context(), client.B().Del().Key(stamps[c.rng.IntN(len(stamps))]).Build()).Error(); err != nil {
					t.Fatal(err)
				}
				deleted++
			}
		}
		c.pause(time.Duration(c.rng.IntN(10)) * time.Millisecond)
		if time.Now().After(end.Add(time.Minute)) {
			t.Errorf("only %d stamps were evicted", count())
			break
		}
	}
	return count(), deleted
}

// TestC12Tags: what the end of a tag costs, and that it holds while stamps are
// evicted, deleted, and overtaken by loads.
func TestC12Tags(t *testing.T) {
	form := harness.Run(t)
	seed := harness.Seed(t)
	const few, many = 10, 100_000
	var servers []string
	var costs []string
	reads, floors, evicted, deleted := 0, 0, 0, 0
	hows := []string{byTag, byTag, byResultTag, byResultTag, byClear, byInvalidate, foreignDel}
	judge := func(t *testing.T, c *crowd, where string) {
		events := c.stop()
		reportAll(t, history.Stale(events))
		reportAll(t, history.Invented(events))
		var dead, refused uint64
		for _, m := range c.members {
			var s cache.Stats
			ask(t, m, "stats", 0, &s)
			dead, refused = dead+s.Dead, refused+s.Refused
		}
		r, f := history.Count(events, history.Read), history.Count(events, history.Invalidated)
		t.Logf("%s: %d reads (%d failed), %d invalidated, %d dead entries found, %d loads refused", where, r, history.Count(events, history.ReadFailed), f, dead, refused)
		if dead == 0 || refused == 0 {
			t.Error("no entry was found dead, or no load overtaken; the run proves nothing")
		}
		reads, floors = reads+r, floors+f
	}
	for i, l := range launchers(t, form, false) {
		t.Run(l.Name, func(t *testing.T) {
			server, name := start(t, l, redstarttest.ServerConfig{})
			servers = append(servers, name)
			for _, byResult := range []bool{false, true} {
				most := 1
				if byResult {
					most = 2
				}
				a, b := tagged(t, server, few, byResult), tagged(t, server, many, byResult)
				if wrong := tagCosts(a, b, most); wrong != "" {
					t.Error(wrong)
				}
				t.Logf("tags of results %v: %v for %d entries in %v, %v for %d in %v", byResult, a.sent, few, a.took, b.sent, many, b.took)
				if i == 0 {
					costs = append(costs, fmt.Sprintf("%s (%s)", strings.TrimSuffix(strings.TrimPrefix(fmt.Sprint(b.sent), "map["), "]"), harness.Short3(b.took)))
				}
			}
			full, _ := start(t, l, redstarttest.ServerConfig{Args: []string{"--maxmemory", "6mb", "--maxmemory-policy", "allkeys-random"}})
			c := tagCrowd(t, seed, full.URL(), redstarts, hows)
			e, d := evict(t, c, full, 5, harness.Choose(form, 3*time.Second, 40*time.Second))
			judge(t, c, fmt.Sprintf("%d stamps evicted, %d deleted", e, d))
			evicted, deleted = evicted+e, deleted+d
			if e == 0 || d == 0 {
				t.Error("no stamp was evicted, or none deleted")
			}
		})
	}
	t.Run("a cluster", func(t *testing.T) {
		cluster := topology.RunCluster(t, topology.ClusterConfig{Path: launchers(t, form, false)[0].Path, Replicas: -1})
		c := tagCrowd(t, seed, cluster.URL(), redstarts, hows)
		c.pause(harness.Choose(form, 1500*time.Millisecond, 20*time.Second))
		judge(t, c, "in a cluster")
	})
	stale, of, commands := 0, 0, 0
	t.Run(setOfKeys, func(t *testing.T) {
		server := redstarttest.Run(t, redstarttest.ServerConfig{})
		const some = 3000
		a, b := naiveTagged(t, server, few), naiveTagged(t, server, some)
		if commands = b.commands(); tagCosts(a, b, 2) == "" {
			t.Error("the checker of costs finds no fault with it")
		}
		c := tagCrowd(t, seed, server.URL(), setOfKeys, []string{byTag})
		c.pause(time.Second)
		events := c.stop()
		stale, of = len(history.Stale(events)), history.Count(events, history.Read)
		if stale == 0 {
			t.Error("the checker of stale reads finds no fault with it")
		}
	})
	keep(t, form, "C12", servers, "InvalidateTag of a tag of the id, and of one of a result, over %d entries: %s; the same as for %d; 0 stale of %d reads after %d invalidations by tags and otherwise, while %d stamps were evicted (allkeys-random) and %d deleted, and in a cluster "+
		"(%s: %d commands for 3,000 entries, %d stale of %d reads)", many, strings.Join(costs, ", "), few, reads, floors, evicted, deleted, setOfKeys, commands, stale, of)
}
