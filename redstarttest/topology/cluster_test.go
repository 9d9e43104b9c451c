package topology_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redstart-go/redstart/redstarttest"
	"github.com/redstart-go/redstart/redstarttest/topology"
)

func TestCluster(t *testing.T) {
	onEach(t, func(t *testing.T, i int, path string) {
		begin := time.Now()
		c := topology.RunCluster(t, topology.ClusterConfig{Path: path, Proxies: i%2 == 1})
		t.Log("formed in", time.Since(begin).Round(time.Millisecond))
		nodes := c.Nodes()
		if want := "redis+cluster://" + strings.Join(c.Addrs(), ","); c.URL() != want || len(nodes) != 6 {
			t.Errorf("URL = %s, want %s", c.URL(), want)
		}
		for i, slot := range []int{0, 8000, 16383} {
			if n := got(c.PrimaryOf(t.Context(), slot))(t); n != nodes[i] {
				t.Errorf("slot %d is at %s", slot, n.Announced())
			}
			if r := got(c.ReplicasOf(t.Context(), nodes[i]))(t); !slices.Equal(r, nodes[i+3:i+4]) {
				t.Errorf("%d replicas of primary %d", len(r), i+1)
			}
		}
		migrates(t, c)

		// The others vote a replica in.
		slot := 8000
		fault := time.Now()
		must(t, nodes[1].Kill())
		promoted, at, err := c.WaitPromoted(within(t, patience), slot, nodes[1])
		must(t, err)
		if promoted != nodes[4] || at.Before(fault) {
			t.Errorf("%s took the slot after %v", promoted.Announced(), at.Sub(fault))
		}
		t.Log("after the kill: promoted", at.Sub(fault).Round(time.Millisecond))
		must(t, nodes[1].Restart(within(t, patience)))
		must(t, c.Settle(within(t, patience)))
		if r := got(c.ReplicasOf(t.Context(), promoted))(t); !slices.Equal(r, nodes[1:2]) {
			t.Errorf("the old primary is not the one replica: %d", len(r))
		}
		must(t, c.FailoverTo(within(t, patience), nodes[1], topology.Gentle))
		must(t, c.Settle(within(t, patience)))
		if n := got(c.PrimaryOf(t.Context(), slot))(t); n != nodes[1] {
			t.Errorf("slot %d is at %s after the gentle failover", slot, n.Announced())
		}
		closes(t, c, nodes)
	})
}

// migrates moves a slot with keys step by step, and another at once.
func migrates(t *testing.T, c *topology.Cluster) {
	t.Helper()
	const slot = 42
	from, to := c.Nodes()[0], c.Nodes()[2]
	moved, asks := fmt.Sprintf("MOVED %d %s", slot, to.Announced()), fmt.Sprintf("ASK %d %s", slot, to.Announced())
	for i := range 5 {
		do(t, from, "SET", inSlot(slot, i), "v")
	}
	m := got(c.BeginMigration(t.Context(), slot, to))(t)
	if m.From != from || m.To != to {
		t.Fatalf("from %s to %s", m.From.Announced(), m.To.Announced())
	}
	absent := inSlot(slot, 99)
	if e := refused(t, from, "GET", absent); e != asks {
		t.Errorf("an absent key at the source: %s, want %s", e, asks)
	}
	if v := do(t, from, "GET", inSlot(slot, 0)); v != "v" {
		t.Errorf("a key that has not moved: %v", v)
	}
	if n := got(m.MoveKeys(t.Context(), 2))(t); n != 2 {
		t.Errorf("moved %d of 2 keys", n)
	}
	if n := do(t, from, "CLUSTER", "COUNTKEYSINSLOT", "42"); n != int64(3) {
		t.Errorf("%v of 3 keys are at the source", n)
	}
	all := []string{"MGET"}
	for i := range 5 {
		all = append(all, inSlot(slot, i))
	}
	if e := refused(t, from, all...); !strings.HasPrefix(e, "TRYAGAIN") {
		t.Errorf("MGET in the middle: %s", e)
	}
	if err := m.End(t.Context()); err == nil || !strings.Contains(err.Error(), "3 keys") {
		t.Errorf("End with keys left: %v", err)
	}
	if n := got(m.MoveKeys(t.Context(), 100))(t); n != 3 {
		t.Errorf("moved %d of 3 keys", n)
	}
	must(t, m.End(t.Context()))
	for _, n := range []*topology.Node{from, c.Nodes()[1]} {
		if e := refused(t, n, "GET", absent); e != moved {
			t.Errorf("after the migration: %s, want %s", e, moved)
		}
	}
	if v := do(t, to, "GET", inSlot(slot, 4)); v != "v" {
		t.Errorf("a key that has moved: %v", v)
	}

	// Back, whole.
	must(t, c.Migrate(within(t, patience), slot, from))
	if v := do(t, from, "GET", inSlot(slot, 4)); v != "v" {
		t.Errorf("a key that came back: %v", v)
	}
	if _, err := c.BeginMigration(t.Context(), slot, from); err == nil {
		t.Error("began to move a slot to where it is")
	}
	m = got(c.BeginMigration(t.Context(), slot, to))(t)
	must(t, m.Abandon(t.Context()))
	if v := do(t, from, "GET", absent); v != nil {
		t.Errorf("an absent key after Abandon: %v", v)
	}
	must(t, c.Settle(within(t, patience)))
}

func TestClusterPartition(t *testing.T) {
	t.Parallel()
	c := topology.RunCluster(t, topology.ClusterConfig{Proxies: true, Password: password, Args: []string{"--maxmemory", "64mb"}})
	links, old := c.Links(), c.Nodes()[0]
	if !strings.HasPrefix(c.URL(), "redis+cluster://"+userinfo+"@127.0.0.1:") {
		t.Errorf("URL = %s", c.URL())
	}
	if links.Proxy(c.Nodes()[3], old).Faults().Accepted == 0 || links.Proxy(nil, old).Faults().Accepted != 0 {
		t.Error("the replica did not come by its way, or somebody by the clients'")
	}
	do(t, old, "SET", inSlot(0, 0), "v")
	must(t, c.Migrate(within(t, patience), 0, c.Nodes()[1])) // with the password

	links.Isolate(old)
	promoted, _, err := c.WaitPromoted(within(t, patience), 1, old)
	must(t, err)
	if promoted != c.Nodes()[3] {
		t.Errorf("%s took the slot", promoted.Announced())
	}
	redstarttest.Eventually(t, patience, "the isolated primary sees that the others are away", func() bool {
		info, err := old.Do(within(t, patience), "CLUSTER", "INFO")
		return err == nil && strings.Contains(info.(string), "cluster_state:fail")
	})
	if pong := ask(t, old.Announced(), "PING"); pong != "NOAUTH Authentication required." {
		t.Errorf("the isolated primary says %v to a client", pong)
	}
	links.Heal()
	must(t, c.Settle(within(t, patience)))
	if r := got(c.ReplicasOf(t.Context(), promoted))(t); !slices.Contains(r, old) {
		t.Error("the old primary is no replica after the partition")
	}
	closes(t, c, c.Nodes())
}

func TestClusterThatDoesNotForm(t *testing.T) {
	t.Parallel()
	redstarttest.Run(t, redstarttest.ServerConfig{}) // skips without a server
	c, err := topology.StartCluster(within(t, 4*time.Second), topology.ClusterConfig{
		Primaries: 1, Password: password, Args: []string{"--masterauth", "another"},
	})
	if c != nil || err == nil {
		t.Fatalf("a cluster formed whose replica cannot follow: %v", c)
	}
	for _, want := range []string{"does not settle", "node 2, a replica of 127.0.0.1:", "--- node 2, 127.0.0.1:"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not say %q: %v", want, err)
		}
	}
	_, err = topology.StartCluster(t.Context(), topology.ClusterConfig{Primaries: -1, NodeTimeout: -1})
	if err == nil || !strings.Contains(err.Error(), "Primaries") || !strings.Contains(err.Error(), "NodeTimeout") {
		t.Errorf("wrong fields: %v", err)
	}
}
