package cache

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/redstarttest/proxy"
	"github.com/redstart-go/redstart/redstarttest/topology"
)

// In a cluster each step is one round trip a node: with the reply to the first
// command of a step held back at every node, all the others still arrive.
func TestGetManyInCluster(t *testing.T) {
	cluster := topology.RunCluster(t, topology.ClusterConfig{Replicas: -1, Proxies: true})
	t.Run("round trips", func(t *testing.T) { clusterRoundTrips(t, cluster) })
	t.Run("each id once", func(t *testing.T) {
		var seen calls
		caches := manyFleet(t, cluster.URL(), 4, func(_ context.Context, ids []int) (map[int]user, error) {
			seen.add(ids)
			time.Sleep(20 * time.Millisecond)
			return every(ids), nil
		}, func(cfg *Config[int, user]) {
			cfg.Key = "once:<id>"
			cfg.Load = nil
		})
		overlap(t, caches, 300)
		for id, n := range seen.perID() {
			if n != 1 {
				t.Errorf("%d was loaded %d times", id, n)
			}
		}
		t.Logf("%d calls of LoadMany for %d ids", len(seen.all()), len(seen.perID()))
	})
}

func clusterRoundTrips(t *testing.T, cluster *topology.Cluster) {
	const ids = 900
	us := manyUsers(t, open(t, cluster.URL(), redstart.Config{Pipelines: 1}), func(_ context.Context, ids []int) (map[int]user, error) { return every(ids), nil })
	warm := make([]int, ids) // connections, and scripts, of every node
	for i := range warm {
		warm[i] = -1 - i
	}
	if _, err := us.GetMany(t.Context(), warm); err != nil {
		t.Fatal(err)
	}
	var nodes []*proxy.Proxy
	for _, n := range cluster.Nodes() {
		p := cluster.Links().Proxy(nil, n)
		p.ResetCounts()
		nodes = append(nodes, p)
	}
	count := func(p *proxy.Proxy, name string) int { return p.Commands()[name] }
	all := func(name string) (n int) {
		for _, p := range nodes {
			n += count(p, name)
		}
		return n
	}
	// held runs a call with the first reply of a kind held back at each node,
	// until all commands of that kind are there.
	held := func(call func(), names ...string) {
		t.Helper()
		first := make([][]*proxy.Handle, len(names))
		for j, name := range names {
			for _, p := range nodes {
				first[j] = append(first[j], p.AddRule(proxy.Rule{Match: proxy.Named(name), Nth: 1, Action: proxy.HoldReply()}))
			}
		}
		done := make(chan struct{})
		go func() { defer close(done); call() }()
		for j, name := range names {
			eventually(t, "all of "+name+" are there", func() bool { return all(name) == ids })
			for i, h := range first[j] {
				if err := h.Wait(t.Context()); err != nil {
					t.Fatal(err)
				}
				if n := count(nodes[i], name); n < ids/6 {
					t.Errorf("node %d got %d of %s: this shows nothing", i, n, name)
				}
				h.Release()
				h.Remove()
			}
		}
		<-done
		t.Logf("%s: %d on each of %d nodes or so, in one round trip", strings.Join(names, ", "), ids/len(nodes), len(nodes))
	}
	get := func() {
		got, err := us.GetMany(t.Context(), upTo(ids))
		isEvery(t, upTo(ids), got, err)
	}
	held(get, "GET", "SET", "EVALSHA")
	for _, p := range nodes {
		p.ResetCounts()
	}
	held(get, "GET") // now hits
	for _, name := range []string{"SET", "EVALSHA", "EVAL", "MGET"} {
		if n := all(name); n != 0 {
			t.Errorf("%d %s for hits", n, name)
		}
	}
}
