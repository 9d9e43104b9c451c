package batch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/key"
	"github.com/redstart-go/redstart/redstarttest/topology"
)

// The same on a cluster: items go to their nodes, a slot on its way is waited
// for, and a scan sees every node.
func TestCluster(t *testing.T) {
	cluster := topology.RunCluster(t, topology.ClusterConfig{Replicas: -1})
	inner, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: cluster.Addrs(), DisableRetry: true, AlwaysPipelining: true, DisableCache: true, ClusterOption: rueidis.ClusterOption{MaxMovedRedirections: 16}})
	if err != nil {
		t.Fatal(err)
	}
	defer inner.Close()
	wrapped, err := redstart.Wrap(inner, redstart.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer wrapped.Close()
	t.Run("wrapped", func(t *testing.T) { onCluster(t, cluster, wrapped, "w") })
	t.Run("opened", func(t *testing.T) { onCluster(t, cluster, open(t, cluster.URL(), redstart.Config{}), "o") })
}

// hotAt is one of 60 keys, each in a slot of its own.
func hotAt(prefix string, i int) string { return fmt.Sprintf("{%s:%d}", prefix, i%60) }

func onCluster(t *testing.T, cluster *topology.Cluster, c *redstart.Client, prefix string) {
	ctx, end := context.WithTimeout(t.Context(), time.Minute)
	defer end()
	const n, hot = 6000, 60

	// Slots in use move while batches are on their way, all to one node: with
	// moves to and fro, servers come to think of each other that it has a slot.
	moving := make(chan error, 1)
	moved := 0
	stop, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		for i := 0; i < hot && stop.Err() == nil; i++ {
			slot := int(key.Slot(hotAt(prefix, i)))
			from, err := cluster.PrimaryOf(ctx, slot)
			if err == nil && from == cluster.Nodes()[0] {
				continue
			}
			if err == nil {
				err = cluster.Migrate(ctx, slot, cluster.Nodes()[0])
			}
			if err != nil {
				moving <- err
				return
			}
			moved++
		}
		moving <- nil
	}()
	for range 3 {
		for r := range Set(ctx, c, entries(n), Config{}) {
			if r.Err != nil {
				t.Fatalf("Set %d: %v", r.Index, r.Err)
			}
		}
		for r := range Get(ctx, c, keys(n), Config{}) {
			if r.Err != nil || r.Value != valueAt(r.Index) || r.Key != keyAt(r.Index) {
				t.Fatalf("Get %d: %+v", r.Index, r)
			}
		}
	}
	counts := map[string]int64{}
	for r := range Do(ctx, c, func(yield func(Command) bool) {
		for i := range n {
			k := hotAt(prefix, i)
			if !yield(Command{Words: []string{"INCR", k}, Key: k}) {
				return
			}
		}
	}, Config{}) {
		counts[r.Key]++
		if v, err := r.Reply.AsInt64(); r.Err != nil || err != nil || v != counts[r.Key] {
			t.Fatalf("INCR %d: %d, %v, %v", r.Index, v, err, r.Err)
		}
	}
	two := redstart.NewScript("two", "redis.call('INCR', KEYS[1]) return redis.call('INCR', KEYS[2])")
	for r := range Do(ctx, c, func(yield func(Command) bool) {
		for i := range n {
			k := hotAt(prefix, i) + ":a"
			if !yield(Eval(c, two, []string{k, k + ":b"}, nil)) {
				return
			}
		}
	}, Config{Unordered: true}) {
		if r.Err != nil {
			t.Fatalf("a script on two keys, %d: %v", r.Index, r.Err)
		}
	}
	for i := range hot {
		k := hotAt(prefix, i) + ":a:b"
		if v, err := c.Do(ctx, c.B().Get().Key(k).Build()).AsInt64(); err != nil || v != n/hot {
			t.Errorf("%s = %d, %v", k, v, err)
		}
	}
	cancel()
	if err := <-moving; err != nil {
		t.Fatal(err)
	}

	if _, err := Atomic(ctx, c, incr("a"), incr("b")); err == nil || redstart.OutcomeOf(err) != redstart.NotApplied || !strings.Contains(err.Error(), "15495, 3300") {
		t.Errorf("two slots: %v", err)
	}
	if r, err := Atomic(ctx, c, incr("{"+prefix+"}a"), Command{Words: []string{"PING"}}, incr("{"+prefix+"}b")); err != nil || len(r) != 3 {
		t.Errorf("Atomic: %v, %v", r, err)
	}
	if r, err := AtomicWatch(ctx, c, []string{"{" + prefix + "}a", "{" + prefix + "}b"}, func(read Reader) ([]Command, error) {
		if v, err := read(Command{Words: []string{"GET", "{" + prefix + "}b"}, Key: "{" + prefix + "}b"}).AsInt64(); err != nil || v != 1 {
			t.Errorf("a read within: %d, %v", v, err)
		}
		return []Command{incr("{" + prefix + "}a")}, nil
	}); err != nil || len(r) != 1 {
		t.Errorf("AtomicWatch: %v, %v", r, err)
	}
	for r := range Do(ctx, c, slices.Values([]Command{{Words: []string{"PING"}}, incr("{" + prefix + "}a")}), Config{}) {
		if (r.Index == 0) != errors.Is(r.Err, redstart.ErrRefused) {
			t.Errorf("item %d: %v", r.Index, r.Err)
		}
	}

	seen, rounds := map[string]bool{}, 0
	for cursor := ""; rounds == 0 || cursor != ""; rounds++ {
		here := 0
		for k, err := range Scan(ctx, c, "key:*", ScanConfig{Cursor: &cursor}) {
			if err != nil {
				t.Fatal(err)
			}
			seen[k] = true
			if here++; here == 1700 {
				break
			}
		}
	}
	if len(seen) != n || rounds < 4 {
		t.Errorf("%d keys of %d in %d rounds", len(seen), n, rounds)
	}
	for r := range Del(ctx, c, keys(n), Config{}) {
		if r.Err != nil || !r.Found {
			t.Fatalf("Del %d: %+v", r.Index, r)
		}
	}
	t.Logf("%d moves of slots meanwhile, no error", moved)
	if moved == 0 {
		t.Error("no slot moved")
	}
}
