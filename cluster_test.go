package redstart_test

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/cache"
	"github.com/redstart-go/redstart/redstarttest"
	"github.com/redstart-go/redstart/redstarttest/topology"
)

// One cluster serves all of these, one after the other: it takes seconds to
// form.
func TestCluster(t *testing.T) {
	cl := topology.RunCluster(t, topology.ClusterConfig{NodeTimeout: 2 * time.Second}) // a busy machine is no failover
	t.Run("keys of all slots", func(t *testing.T) { clusterKeys(t, cl) })
	t.Run("cross-slot", func(t *testing.T) { clusterCrossSlot(t, cl) })
	t.Run("cache", func(t *testing.T) { clusterCache(t, cl) })
	t.Run("migration", func(t *testing.T) { clusterMigration(t, cl) })
	t.Run("failover", func(t *testing.T) { clusterFailover(t, cl) })
}

func clusterKeys(t *testing.T, cl *topology.Cluster) {
	c := open(t, cl.URL(), redstart.Config{})
	if c.Mode() != rueidis.ClientModeCluster {
		t.Fatalf("mode %s", c.Mode())
	}
	script := redstart.NewScript("set", "return redis.call('SET', KEYS[1], ARGV[1])")
	var multi []rueidis.Completed
	for i := range 300 {
		k := "k:" + strconv.Itoa(i)
		if err := script.Exec(t.Context(), c, []string{k}, []string{"v"}).Error(); err != nil {
			t.Fatal(err)
		}
		multi = append(multi, script.Command(c, []string{k}, []string{"w"}), c.B().Get().Key(k).Build())
	}
	for _, n := range c.Nodes() {
		_ = n.Do(t.Context(), n.B().ScriptFlush().Build())
	}
	for i, r := range c.DoMulti(t.Context(), multi...) {
		if v, err := r.ToString(); err != nil || v != []string{"OK", "w"}[i%2] && v != "v" {
			t.Fatalf("item %d: %q, %v", i, v, err)
		}
	}
	one := redstarttest.Run(t, redstarttest.ServerConfig{})
	if c, err := redstart.Open(t.Context(), "redis+cluster://"+one.Addr(), redstart.Config{}); err == nil || !strings.Contains(err.Error(), "no cluster") {
		if err == nil {
			c.Close()
		}
		t.Errorf("a server alone as a cluster: %v", err)
	}
}

func clusterCrossSlot(t *testing.T, cl *topology.Cluster) {
	c := open(t, cl.URL(), redstart.Config{})
	err := redstart.NewScript("two", "return 1").Exec(t.Context(), c, []string{"a", "b"}, nil).Error()
	var e *redstart.Error
	if !errors.As(err, &e) || e.Code != "CROSSSLOT" || e.Outcome != redstart.NotApplied || !strings.Contains(err.Error(), "15495, 3300") {
		t.Errorf("two slots: %v", err)
	}
}

// The cache's first promises hold in a cluster as well.
func clusterCache(t *testing.T, cl *topology.Cluster) {
	var loads atomic.Int64
	var caches []*cache.Cache[int, string]
	for range 3 {
		us, err := cache.New(open(t, cl.URL(), redstart.Config{Namespace: "shop"}), cache.Config[int, string]{
			Key: "user:<id>",
			Load: func(_ context.Context, id int) (string, error) {
				loads.Add(1)
				time.Sleep(20 * time.Millisecond)
				return "user " + strconv.Itoa(id), nil
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		caches = append(caches, us)
	}
	const ids = 50
	var wg sync.WaitGroup
	for _, us := range caches {
		for id := range ids {
			for range 3 {
				wg.Go(func() {
					if v, err := us.Get(t.Context(), id); err != nil || v != "user "+strconv.Itoa(id) {
						t.Errorf("Get(%d) = %q, %v", id, v, err)
					}
				})
			}
		}
	}
	wg.Wait()
	if n := loads.Load(); n != ids {
		t.Errorf("%d loads of %d keys", n, ids)
	}
	if err := caches[0].Invalidate(t.Context(), 7); err != nil {
		t.Fatal(err)
	}
	if _, ok, err := caches[1].Peek(t.Context(), 7); ok || err != nil {
		t.Errorf("Peek after Invalidate = %v, %v", ok, err)
	}
}

// While slots move, scripts, commands and batches see no error (K2).
func clusterMigration(t *testing.T, cl *topology.Cluster) {
	c := open(t, cl.URL(), redstart.Config{})
	const tag = "{moving}"
	slot := 0
	for _, r := range c.DoMulti(t.Context(), c.B().ClusterKeyslot().Key(tag).Build()) {
		n, err := r.AsInt64()
		if err != nil {
			t.Fatal(err)
		}
		slot = int(n)
	}
	two := redstart.NewScript("two keys", "redis.call('INCR', KEYS[1]) return redis.call('INCR', KEYS[2])")
	ctx, stop := context.WithCancel(t.Context())
	var ran [3]atomic.Int64
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				call, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				a, b := tag+strconv.Itoa(i%20), tag+"n"+strconv.Itoa(w)
				if err := two.Exec(call, c, []string{a, b}, nil).Error(); err != nil {
					t.Errorf("script: %v", err)
				}
				ran[0].Add(1)
				if err := c.Do(call, c.B().Set().Key(tag+"s").Value("x").Build()).Error(); err != nil {
					t.Errorf("SET: %v", err)
				}
				ran[1].Add(1)
				for _, r := range c.DoMulti(call, c.B().Incr().Key(tag+"m"+strconv.Itoa(w)).Build(), two.Command(c, []string{a, b}, nil), c.B().Get().Key("elsewhere").Build()) {
					if err := r.Error(); err != nil && !rueidis.IsRedisNil(err) {
						t.Errorf("DoMulti: %v", err)
					}
				}
				ran[2].Add(1)
				cancel()
			}
		})
	}
	moves := 0
	for range 3 {
		from, err := cl.PrimaryOf(t.Context(), slot)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range cl.Nodes()[:3] {
			if n != from {
				if err := cl.Migrate(t.Context(), slot, n); err != nil {
					t.Fatal(err)
				}
				moves++
				break
			}
		}
		before := ran[2].Load()
		redstarttest.Eventually(t, 30*time.Second, "traffic after the move", func() bool { return ran[2].Load() > before+20 })
	}
	stop()
	wg.Wait()
	t.Logf("%d moves of a live slot under %d scripts, %d SETs, %d batches", moves, ran[0].Load(), ran[1].Load(), ran[2].Load())
}

// A primary dies: what may run twice sees no error, the rest at most Unknown.
func clusterFailover(t *testing.T, cl *topology.Cluster) {
	c := open(t, cl.URL(), redstart.Config{})
	ctx, stop := context.WithCancel(t.Context())
	var done, unknown atomic.Int64
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				call, cancel := context.WithTimeout(t.Context(), 30*time.Second)
				k := "f:" + strconv.Itoa(w*1000+i%1000)
				if err := c.Do(call, c.B().Set().Key(k).Value("x").Build()).Error(); err != nil {
					t.Errorf("SET: %v", err)
				}
				if err := c.Do(call, c.B().Get().Key(k).Build()).Error(); err != nil && !rueidis.IsRedisNil(err) {
					t.Errorf("GET: %v", err)
				}
				switch err := c.Do(call, c.B().Incr().Key("n"+k).Build()).Error(); {
				case err == nil:
				case redstart.OutcomeOf(err) == redstart.Unknown:
					unknown.Add(1)
				default:
					t.Errorf("INCR: %v (%v)", err, redstart.OutcomeOf(err))
				}
				done.Add(1)
				cancel()
			}
		})
	}
	redstarttest.Eventually(t, 30*time.Second, "traffic", func() bool { return done.Load() > 200 })
	victim, err := cl.PrimaryOf(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := victim.Kill(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if _, _, err := cl.WaitPromoted(t.Context(), 0, victim); err != nil {
		t.Fatal(err)
	}
	before := done.Load()
	redstarttest.Eventually(t, 30*time.Second, "traffic after the failover", func() bool { return done.Load() > before+500 })
	t.Logf("%v from the kill to traffic on the new primary; %d of %d INCR Unknown", time.Since(began).Round(time.Millisecond), unknown.Load(), done.Load())
	stop()
	wg.Wait()
}
