package redstart_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/redstarttest"
	"github.com/redstart-go/redstart/redstarttest/topology"
)

// calls reads how often a server ran a command.
func calls(t *testing.T, n *topology.Node, command string) int {
	t.Helper()
	info, err := n.Do(t.Context(), "INFO", "commandstats")
	if err != nil {
		t.Fatal(err)
	}
	return commandCalls(info.(string), command)
}

func commandCalls(info, command string) int {
	var n int
	for line := range strings.Lines(info) {
		if _, err := fmt.Sscanf(line, "cmdstat_"+command+":calls=%d,", &n); err == nil {
			return n
		}
	}
	return 0
}

// Reads go to replicas that are in step, and to the primary when none is.
func TestReplicasAreRead(t *testing.T) {
	s := topology.RunSentinel(t, topology.SentinelConfig{Proxies: true})
	primary, err := s.Primary(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	nodes, err := s.Replicas(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	zones := map[string]string{nodes[0].Announced(): "here", nodes[1].Announced(): "there"}
	for name, url := range map[string]string{"alone": "redis://" + primary.Announced(), "sentinel": s.URL()} {
		t.Run(name, func(t *testing.T) {
			c := open(t, url, redstart.Config{Zone: "here", ZoneOf: func(addr string) string { return zones[addr] }})
			if err := c.Do(t.Context(), c.B().Set().Key("k").Value("v").Build()).Error(); err != nil {
				t.Fatal(err)
			}
			redstarttest.Eventually(t, 10*time.Second, "both replicas hold the key, which reads without a bound do not wait for", func() bool {
				for _, n := range nodes {
					if v, err := n.Do(t.Context(), "GET", "k"); err != nil || v != "v" {
						return false
					}
				}
				return true
			})
			get := func(from redstart.ReadFrom) error {
				r, err := c.ReadingFrom(from)
				if err != nil {
					t.Fatal(err)
				}
				return r.Do(t.Context(), r.B().Get().Key("k").Build()).Error()
			}
			readAt := func(from redstart.ReadFrom) (counts [3]int) { // of 20 reads
				for i, n := range append([]*topology.Node{primary}, nodes...) {
					counts[i] = -calls(t, n, "get")
				}
				for range 20 {
					if err := get(from); err != nil {
						t.Fatal(err)
					}
				}
				for i, n := range append([]*topology.Node{primary}, nodes...) {
					counts[i] += calls(t, n, "get")
				}
				return counts
			}
			redstarttest.Eventually(t, 10*time.Second, "both replicas are read in turn", func() bool {
				return readAt(redstart.ReadFrom{Replicas: true}) == [3]int{0, 10, 10}
			})
			redstarttest.Eventually(t, 10*time.Second, "replicas within a second are read in turn", func() bool {
				return readAt(redstart.ReadFrom{Replicas: true, MaxLag: time.Second}) == [3]int{0, 10, 10}
			})
			if got := readAt(redstart.ReadFrom{Replicas: true, Choose: redstart.SameZone}); got != [3]int{0, 20, 0} {
				t.Errorf("in the same zone: %v", got)
			}
			if got := readAt(redstart.ReadFrom{}); got != [3]int{20, 0, 0} {
				t.Errorf("from the primary: %v", got)
			}
			if got := readAt(redstart.ReadFrom{Replicas: true, MaxLag: time.Nanosecond}); got != [3]int{20, 0, 0} {
				t.Errorf("within a nanosecond: %v", got)
			}
			s.Links().Proxy(nil, nodes[1]).Delay(0, 30*time.Millisecond)
			redstarttest.Eventually(t, 10*time.Second, "the nearer one is read", func() bool {
				return readAt(redstart.ReadFrom{Replicas: true, Choose: redstart.Nearest}) == [3]int{0, 20, 0}
			})
			s.Links().Proxy(nil, nodes[1]).Heal()

			seen, err := c.Topology(t.Context())
			if err != nil || len(seen.Shards) != 1 || len(seen.Shards[0].Replicas) != 2 {
				t.Fatalf("Topology = %+v, %v", seen, err)
			}
			for _, n := range append(seen.Shards[0].Replicas, seen.Shards[0].Primary) {
				if !n.Up || !n.Linked || n.Lag < 0 || n.Lag > 5*time.Second || n.Behind < 0 || n.RTT <= 0 || n.Zone != zones[n.Addr] {
					t.Errorf("node %+v", n)
				}
			}
			if st := c.Stats(); st.ReplicaReads == 0 || st.Open == 0 || st.Connects == 0 || len(st.Nodes) != 3 {
				t.Errorf("Stats = %+v", st)
			}
		})
	}
}

// A batch of reads travels to the replicas together, in the order of its items.
func TestReplicasServeBatches(t *testing.T) {
	cl := topology.RunCluster(t, topology.ClusterConfig{NodeTimeout: 2 * time.Second})
	c := open(t, cl.URL(), redstart.Config{ReadFrom: redstart.ReadFrom{Replicas: true, MaxLag: 2 * time.Second}})
	ctx := redstart.ReadYourWrites(t.Context())
	const keys = 200
	for i := range keys {
		if err := c.Do(ctx, c.B().Set().Key("k"+strconv.Itoa(i)).Value(strconv.Itoa(i)).Build()).Error(); err != nil {
			t.Fatal(err)
		}
	}
	replicas := cl.Nodes()[3:]
	read := func() (n int) {
		for _, r := range replicas {
			n += calls(t, r, "get")
		}
		return n
	}
	redstarttest.Eventually(t, 10*time.Second, "a whole batch is read from the replicas, one's own writes in it", func() bool {
		before := read()
		var gets []rueidis.Completed
		for i := range keys {
			gets = append(gets, c.B().Get().Key("k"+strconv.Itoa(i)).Build())
		}
		for i, r := range c.DoMulti(ctx, gets...) {
			if v, err := r.ToString(); err != nil || v != strconv.Itoa(i) {
				t.Fatalf("item %d: %q, %v", i, v, err)
			}
		}
		return read() == before+keys
	})
	t.Logf("%+v", c.Stats())
	seen, err := c.Topology(t.Context())
	if err != nil || len(seen.Shards) != 3 || seen.Shards[0].Slots+seen.Shards[1].Slots+seen.Shards[2].Slots != 16384 {
		t.Fatalf("Topology = %+v, %v", seen, err)
	}

	// Replicas die under readers, and nobody sees it.
	stop, end := context.WithCancel(t.Context())
	var work sync.WaitGroup
	for w := range 4 {
		work.Go(func() {
			for i := w; stop.Err() == nil; i++ {
				call, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				k := strconv.Itoa(i % keys)
				if v, err := c.Do(call, c.B().Get().Key("k"+k).Build()).ToString(); err != nil || v != k {
					t.Errorf("GET: %q, %v", v, err)
				}
				cancel()
			}
		})
	}
	before := c.Stats()
	if err := replicas[0].Kill(); err != nil {
		t.Fatal(err)
	}
	if err := replicas[1].Freeze(); err != nil {
		t.Fatal(err)
	}
	redstarttest.Eventually(t, 20*time.Second, "reads from those that are left and from the primaries", func() bool {
		now := c.Stats()
		return now.ReplicaReads > before.ReplicaReads+500 && now.Referred > before.Referred+500
	})
	end()
	work.Wait()
	if err := replicas[1].Continue(); err != nil {
		t.Fatal(err)
	}
}

// What cannot be meant is refused by name.
func TestReadFromIsChecked(t *testing.T) {
	for _, bad := range []redstart.ReadFrom{
		{Replicas: true, MaxLag: -1},
		{Replicas: true, MaxLag: time.Hour},
		{Replicas: true, Choose: 9},
		{Replicas: true, Choose: redstart.SameZone},
		{MaxLag: time.Second},
	} {
		if _, err := redstart.Open(t.Context(), "redis://127.0.0.1:1", redstart.Config{ReadFrom: bad}); err == nil || !strings.Contains(err.Error(), "ReadFrom") {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}
