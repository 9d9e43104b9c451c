package redstart_test

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/key"
	"github.com/redstart-go/redstart/redstarttest"
	"github.com/redstart-go/redstart/redstarttest/proxy"
	"github.com/redstart-go/redstart/redstarttest/topology"
	"github.com/redstart-go/redstart/resilience"
)

// To a node of a cluster that is away goes one probe at a time (K5); callers
// wait for its return, or fail at once, and the other nodes' keys are served.
func TestClusterNodeAway(t *testing.T) {
	cl := topology.RunCluster(t, topology.ClusterConfig{NodeTimeout: 5 * time.Second, Proxies: true})
	var mu sync.Mutex
	away, back := map[string]int{}, map[string]int{}
	c := open(t, cl.URL(), redstart.Config{Events: redstart.Events{
		Away: func(i redstart.AwayInfo) { mu.Lock(); defer mu.Unlock(); away[i.Addr]++ },
		Back: func(i redstart.BackInfo) { mu.Lock(); defer mu.Unlock(); back[i.Addr]++ },
	}})
	sick, err := cl.PrimaryOf(t.Context(), int(key.Slot("a")))
	if err != nil {
		t.Fatal(err)
	}
	healthy := "b"
	for i := 0; ; i++ {
		if n, err := cl.PrimaryOf(t.Context(), int(key.Slot(healthy))); err != nil {
			t.Fatal(err)
		} else if n != sick {
			break
		}
		healthy = "b" + strconv.Itoa(i)
	}
	for _, k := range []string{"a", healthy} {
		if err := c.Do(t.Context(), c.B().Set().Key(k).Value("0").Build()).Error(); err != nil {
			t.Fatal(err)
		}
	}
	loading := cl.Links().Proxy(nil, sick).AddRule(proxy.Rule{
		Match:  func(cmd []string) bool { return true },
		Action: proxy.AnswerError("-LOADING Redis is loading the dataset in memory"),
	})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	const callers = 100
	results := make(chan error, callers)
	for range callers {
		go func() { results <- c.Do(ctx, c.B().Incr().Key("a").Build()).Error() }()
	}
	fast := c.FailFast()
	redstarttest.Eventually(t, 10*time.Second, "the node is known to be away", func() bool {
		err := fast.Do(ctx, c.B().Incr().Key("a").Build()).Error()
		return errors.Is(err, redstart.ErrUnavailable) && redstart.OutcomeOf(err) == redstart.NotApplied && c.Stats().Held == callers
	})
	sent := loading.Hits()
	for _, r := range []rueidis.RedisResult{
		c.Do(ctx, c.B().Incr().Key(healthy).Build()),
		fast.DoMulti(ctx, c.B().Incr().Key("a").Build(), c.B().Incr().Key(healthy).Build())[1],
	} {
		if err := r.Error(); err != nil {
			t.Errorf("a key of another node: %v", err)
		}
	}
	if err := fast.DoMulti(ctx, c.B().Incr().Key("a").Build(), c.B().Incr().Key(healthy).Build())[0].Error(); !errors.Is(err, redstart.ErrUnavailable) {
		t.Errorf("a key of the node, in a batch: %v", err)
	}
	open := 0
	for _, n := range c.Stats().Nodes {
		if n.Breaker == resilience.Open {
			open++
			if n.Addr != sick.Announced() || n.Cause == nil {
				t.Errorf("away: %+v", n)
			}
		}
	}
	if open != 1 {
		t.Errorf("%d breakers are open", open)
	}
	begun := time.Now()
	redstarttest.Eventually(t, 10*time.Second, "a second of it", func() bool { return time.Since(begun) > time.Second })
	probes := loading.Hits() - sent
	loading.Remove()
	for range callers {
		if err := <-results; err != nil {
			t.Errorf("a caller who waited got %v", err)
		}
	}
	t.Logf("%d commands until the node was known to be away, then %d probes in %v with %d callers waiting", sent, probes, time.Since(begun).Round(time.Millisecond), callers)
	if sent > 3*callers || probes > 40 {
		t.Errorf("%d commands, then %d reached the node", sent, probes)
	}
	redstarttest.Eventually(t, 10*time.Second, "the return is told", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return away[sick.Announced()] > 0 && away[sick.Announced()] == back[sick.Announced()]
	})
}

// A database other than 0 works where the cluster has several, and is refused
// in words elsewhere.
func TestClusterDatabase(t *testing.T) {
	for _, l := range redstarttest.Launchers() {
		several := strings.Contains(l.Name, "valkey9")
		if !several && l.Name != "PATH" { // one that has only one will do
			continue
		}
		t.Run(l.Name, func(t *testing.T) {
			cfg := topology.ClusterConfig{Path: l.Path, Replicas: -1}
			if several {
				cfg.Args = []string{"--cluster-databases", "4"}
			}
			cl := topology.RunCluster(t, cfg)
			c, err := redstart.Open(t.Context(), cl.URL()+"/2", redstart.Config{})
			if !several {
				if err == nil {
					c.Close()
				}
				if err == nil || !strings.Contains(err.Error(), "SELECT is not allowed in cluster mode") {
					t.Errorf("Open: %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if err := c.Do(t.Context(), c.B().Set().Key("k").Value("v").Build()).Error(); err != nil {
				t.Fatal(err)
			}
			n, err := cl.PrimaryOf(t.Context(), int(key.Slot("k")))
			if err != nil {
				t.Fatal(err)
			}
			if info, err := n.Do(t.Context(), "INFO", "keyspace"); err != nil || !strings.Contains(info.(string), "db2:keys=1") {
				t.Errorf("keyspace: %v, %v", info, err)
			}
		})
	}
}
