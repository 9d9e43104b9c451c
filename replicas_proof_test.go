package redstart_test

import (
	"context"
	"errors"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/key"
	"github.com/redstart-go/redstart/redstarttest"
	"github.com/redstart-go/redstart/redstarttest/proxy"
	"github.com/redstart-go/redstart/redstarttest/topology"
)

// replicaOf starts a server that follows another one.
func replicaOf(t *testing.T, addr string, args ...string) *redstarttest.Server {
	t.Helper()
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	return redstarttest.Run(t, redstarttest.ServerConfig{Args: append([]string{"--replicaof", host + " " + port}, args...)})
}

// readsFrom waits until reads by c under ctx are answered by a replica.
func readsFrom(ctx context.Context, t *testing.T, c *redstart.Client) {
	t.Helper()
	redstarttest.Eventually(t, 20*time.Second, "a replica answers", func() bool {
		before := c.Stats().ReplicaReads
		_ = c.Do(ctx, c.B().Get().Key("k").Build()).Error()
		return c.Stats().ReplicaReads > before
	})
}

func set(ctx context.Context, t *testing.T, c rueidis.CoreClient, name, value string) {
	t.Helper()
	if err := c.Do(ctx, c.B().Set().Key(name).Value(value).Build()).Error(); err != nil {
		t.Fatal(err)
	}
}

// Whoever answers at a replica's address from one moment to the next, started
// again from an old snapshot, say, holds nothing of what was proven there.
func TestAnotherProcessAtTheReplicasAddress(t *testing.T) {
	primary := redstarttest.Run(t, redstarttest.ServerConfig{})
	link, err := proxy.New(primary.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer link.Close()
	front, err := proxy.New(primary.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer front.Close()
	_, port, err := net.SplitHostPort(front.Addr())
	if err != nil {
		t.Fatal(err)
	}
	inStep := replicaOf(t, primary.Addr(), "--replica-announce-ip", "127.0.0.1", "--replica-announce-port", port)
	behind := replicaOf(t, link.Addr())
	front.SetTarget(inStep.Addr())
	c := open(t, primary.URL(), redstart.Config{ReadFrom: redstart.ReadFrom{Replicas: true, MaxLag: 30 * time.Second}})
	set(t.Context(), t, c, "k", "old")
	redstarttest.Eventually(t, 20*time.Second, "both replicas hold the key", func() bool {
		a, _ := inStep.Do(t.Context(), "GET", "k")
		b, _ := behind.Do(t.Context(), "GET", "k")
		return a == "old" && b == "old"
	})
	link.Delay(0, 5*time.Second)
	ctx := redstart.ReadYourWrites(t.Context())
	set(ctx, t, c, "k", "new")
	readsFrom(ctx, t, c)

	front.SetTarget(behind.Addr())
	front.Reset()
	swapped := time.Now()
	reads, missed := 0, 0
	for time.Since(swapped) < 2*time.Second {
		v, err := c.Do(ctx, c.B().Get().Key("k").Build()).ToString()
		if err != nil {
			t.Fatal(err)
		}
		if reads++; v != "new" {
			missed++
		}
	}
	if missed > 0 {
		t.Errorf("%d of %d reads did not see the write", missed, reads)
	}
	front.SetTarget(inStep.Addr())
	front.Reset()
	readsFrom(ctx, t, c)
}

// One's own writes are known whoever they were sent through: a client that
// reads from no replica, one that is wrapped, a node's, a stream.
func TestOwnWritesThroughAnyClient(t *testing.T) {
	s := topology.RunSentinel(t, topology.SentinelConfig{Replicas: 1, Proxies: true})
	primary, err := s.Primary(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	replicas, err := s.Replicas(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	url := "redis://" + primary.Announced()
	reader := open(t, url, redstart.Config{ReadFrom: redstart.ReadFrom{Replicas: true}})
	set(t.Context(), t, reader, "k", "0")
	readsFrom(t.Context(), t, reader)
	redstarttest.Eventually(t, 10*time.Second, "the replica holds the key", func() bool {
		v, err := replicas[0].Do(t.Context(), "GET", "k")
		return err == nil && v == "0"
	})
	plain := open(t, url, redstart.Config{})
	raw, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{primary.Announced()}, DisableCache: true})
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	wrapped, err := redstart.Wrap(raw, redstart.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer wrapped.Close()
	s.Links().Proxy(replicas[0], primary).Delay(0, 3*time.Second)
	n := 0
	for how, write := range map[string]func(ctx context.Context, value string) error{
		"another client": func(ctx context.Context, value string) error {
			return plain.Do(ctx, plain.B().Set().Key("k").Value(value).Build()).Error()
		},
		"a batch of another client": func(ctx context.Context, value string) error {
			return plain.DoMulti(ctx, plain.B().Set().Key("k").Value(value).Build())[0].Error()
		},
		"a wrapped client": func(ctx context.Context, value string) error {
			return wrapped.Do(ctx, wrapped.B().Set().Key("k").Value(value).Build()).Error()
		},
		"a node": func(ctx context.Context, value string) error {
			for _, node := range reader.Nodes() {
				return node.Do(ctx, node.B().Set().Key("k").Value(value).Build()).Error()
			}
			return errors.New("no node")
		},
		"a stream": func(ctx context.Context, value string) error {
			r := reader.DoStream(ctx, reader.B().Set().Key("k").Value(value).Build())
			_, err := r.WriteTo(&strings.Builder{})
			return err
		},
		"a script": func(ctx context.Context, value string) error {
			return redstart.NewScript("set", "redis.call('SET', KEYS[1], ARGV[1])  return 1").Exec(ctx, plain, []string{"k"}, []string{value}).Error()
		},
		"a connection of its own": func(ctx context.Context, value string) error {
			return plain.Dedicated(func(d rueidis.DedicatedClient) error {
				return d.Do(ctx, d.B().Set().Key("k").Value(value).Build()).Error()
			})
		},
	} {
		t.Run(how, func(t *testing.T) {
			n++
			value := strconv.Itoa(n)
			ctx := redstart.ReadYourWrites(t.Context())
			if err := write(ctx, value); err != nil {
				t.Fatal(err)
			}
			if v, err := reader.Do(ctx, reader.B().Get().Key("k").Build()).ToString(); err != nil || v != value {
				t.Errorf("GET = %q, %v; want %q", v, err, value)
			}
		})
	}
	s.Links().Heal()
}

// A replica knows nothing of keys that have left its primary for another one:
// what it misses, the primary is asked for.
func TestReplicaReadsOfASlotOnItsWay(t *testing.T) {
	for _, l := range redstarttest.Launchers() {
		t.Run(l.Name, func(t *testing.T) {
			cl := topology.RunCluster(t, topology.ClusterConfig{Path: l.Path})
			c := open(t, cl.URL(), redstart.Config{ReadFrom: redstart.ReadFrom{Replicas: true, MaxLag: 30 * time.Second}})
			ctx := redstart.ReadYourWrites(t.Context())
			slot := int(key.Slot("k"))
			for _, name := range []string{"k", "{k}2", "{k}3"} {
				set(ctx, t, c, name, "v")
			}
			from, err := cl.PrimaryOf(t.Context(), slot)
			if err != nil {
				t.Fatal(err)
			}
			to := cl.Nodes()[0]
			if to == from {
				to = cl.Nodes()[1]
			}
			readsFrom(ctx, t, c)
			check := func(when string) {
				t.Helper()
				if v, err := c.Do(ctx, c.B().Get().Key("k").Build()).ToString(); err != nil || v != "v" {
					t.Errorf("%s: GET = %q, %v", when, v, err)
				}
				if n, err := c.Do(ctx, c.B().Strlen().Key("k").Build()).AsInt64(); err != nil || n != 1 {
					t.Errorf("%s: STRLEN = %d, %v", when, n, err)
				}
				if v, err := c.DoMulti(ctx, c.B().Get().Key("k").Build())[0].ToString(); err != nil || v != "v" {
					t.Errorf("%s: GET in a batch = %q, %v", when, v, err)
				}
				if n, err := c.Do(ctx, c.B().Exists().Key("k", "{k}2", "{k}3").Build()).AsInt64(); err != nil || n != 3 {
					t.Errorf("%s: EXISTS = %d, %v", when, n, err)
				}
			}
			check("before")
			m, err := cl.BeginMigration(t.Context(), slot, to)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := m.MoveKeys(t.Context(), 10); err != nil {
				t.Fatal(err)
			}
			replicas, err := cl.ReplicasOf(t.Context(), from)
			if err != nil {
				t.Fatal(err)
			}
			redstarttest.Eventually(t, 10*time.Second, "the old primary's replica has lost the key", func() bool {
				info, err := replicas[0].Do(t.Context(), "CLUSTER", "COUNTKEYSINSLOT", strconv.Itoa(slot))
				return err == nil && info == int64(0)
			})
			for range 20 {
				check("on its way")
			}
			if err := m.End(t.Context()); err != nil {
				t.Fatal(err)
			}
			for range 20 {
				check("arrived")
			}
		})
	}
}

// An address that a primary gives for its replica may lead elsewhere: to a
// replica of somebody else, which has other data.
func TestAnotherPrimarysReplicaIsNotRead(t *testing.T) {
	foreign := redstarttest.Run(t, redstarttest.ServerConfig{})
	theirs := replicaOf(t, foreign.Addr())
	if _, err := foreign.Do(t.Context(), "SET", "k", "theirs"); err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(theirs.Addr())
	if err != nil {
		t.Fatal(err)
	}
	primary := redstarttest.Run(t, redstarttest.ServerConfig{})
	replicaOf(t, primary.Addr(), "--replica-announce-ip", "127.0.0.1", "--replica-announce-port", port)
	c := open(t, primary.URL(), redstart.Config{ReadFrom: redstart.ReadFrom{Replicas: true}})
	set(t.Context(), t, c, "k", "ours")
	redstarttest.Eventually(t, 10*time.Second, "the replica is listed and seen", func() bool {
		seen, err := c.Topology(t.Context())
		return err == nil && len(seen.Shards[0].Replicas) == 1 && seen.Shards[0].Replicas[0].Linked
	})
	for range 50 {
		if v, err := c.Do(t.Context(), c.B().Get().Key("k").Build()).ToString(); err != nil || v != "ours" {
			t.Fatalf("GET = %q, %v", v, err)
		}
	}
}

// What a replica does not permit, the primary may.
func TestReplicaThatRefusesRefers(t *testing.T) {
	primary := redstarttest.Run(t, redstarttest.ServerConfig{})
	replica := replicaOf(t, primary.Addr())
	c := open(t, primary.URL(), redstart.Config{ReadFrom: redstart.ReadFrom{Replicas: true}})
	set(t.Context(), t, c, "k", "v")
	redstarttest.Eventually(t, 10*time.Second, "the replica holds the key", func() bool {
		v, err := replica.Do(t.Context(), "GET", "k")
		return err == nil && v == "v"
	})
	readsFrom(t.Context(), t, c)
	if _, err := replica.Do(t.Context(), "ACL", "SETUSER", "default", "-get"); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		if v, err := c.Do(t.Context(), c.B().Get().Key("k").Build()).ToString(); err != nil || v != "v" {
			t.Errorf("GET = %q, %v", v, err)
		}
	}
}

// A hedge that fails loses to the replica that answers.
func TestHedgeToAPrimaryThatIsAway(t *testing.T) {
	s := topology.RunSentinel(t, topology.SentinelConfig{Replicas: 1, Proxies: true, DownAfter: time.Minute})
	primary, err := s.Primary(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	replicas, err := s.Replicas(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c := open(t, "redis://"+primary.Announced(), redstart.Config{ReadFrom: redstart.ReadFrom{Replicas: true, Hedge: true}}).FailFast()
	set(t.Context(), t, c, "k", "v")
	redstarttest.Eventually(t, 10*time.Second, "the replica holds the key", func() bool {
		v, err := replicas[0].Do(t.Context(), "GET", "k")
		return err == nil && v == "v"
	})
	readsFrom(t.Context(), t, c)
	for range 300 { // learn
		if err := c.Do(t.Context(), c.B().Get().Key("k").Build()).Error(); err != nil {
			t.Fatal(err)
		}
	}
	front := s.Links().Proxy(nil, primary)
	front.AddRule(proxy.Rule{
		Match:  func(cmd []string) bool { return !strings.EqualFold(cmd[0], "INFO") },
		Action: proxy.AnswerError("-LOADING Redis is loading the dataset in memory"),
	})
	redstarttest.Eventually(t, 10*time.Second, "the primary is known to be away", func() bool {
		return errors.Is(c.Do(t.Context(), c.B().Set().Key("k").Value("v").Build()).Error(), redstart.ErrUnavailable)
	})
	s.Links().Proxy(nil, replicas[0]).Delay(0, 20*time.Millisecond)
	before := c.Stats()
	for range 20 {
		if v, err := c.Do(t.Context(), c.B().Get().Key("k").Build()).ToString(); err != nil || v != "v" {
			t.Errorf("GET = %q, %v", v, err)
		}
	}
	if now := c.Stats(); now.Hedges == before.Hedges {
		t.Errorf("nothing was asked twice: %+v", now)
	}
}
