package topology_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redstart-go/redstart/redstarttest"
	"github.com/redstart-go/redstart/redstarttest/topology"
)

// promoted waits for the failover that follows a fault, checks its events, and says how long its steps took.
func promoted(t *testing.T, s *topology.Sentinel, old *topology.Node, fault time.Time) *topology.Node {
	t.Helper()
	addr, at, err := s.WaitPromoted(within(t, patience), old.Announced())
	must(t, err)
	n := s.Node(addr)
	if n == nil || n == old {
		t.Fatalf("%s was promoted, which is %v", addr, n)
	}
	if role := do(t, n, "ROLE").([]any)[0]; role != "master" {
		t.Fatalf("the promoted node is a %v", role)
	}
	down, err := s.Await(within(t, patience), fault, func(e topology.Event) bool { return e.Name == "+odown" })
	must(t, err)
	told, err := s.Await(within(t, patience), fault, func(e topology.Event) bool { return e.Name == "+switch-master" })
	must(t, err)
	if down.Addr() != old.Announced() || told.Addr() != addr {
		t.Errorf("+odown of %s, +switch-master to %s; want %s, %s", down.Addr(), told.Addr(), old.Announced(), addr)
	}
	if at.Before(down.At) || told.At.Before(at) {
		t.Errorf("+odown %v, promotion %v, +switch-master %v: not in this order", down.At, at, told.At)
	}
	t.Logf("after the fault: down %v, promoted %v, announced %v",
		down.At.Sub(fault).Round(time.Millisecond), at.Sub(fault).Round(time.Millisecond), told.At.Sub(fault).Round(time.Millisecond))
	return n
}

// follows checks that all is well again and old is a replica, and gives the primary. On a machine so slow that a
// server did not answer within DownAfter, there was another failover: then there is a primary, and any may be it.
func follows(t *testing.T, s *topology.Sentinel, old, primary *topology.Node, fault time.Time) *topology.Node {
	t.Helper()
	must(t, s.Settle(within(t, patience)))
	now := got(s.Primary(within(t, patience)))(t)
	for _, e := range s.Events() {
		if e.Name == "+switch-master" && e.At.After(fault) && e.Addr() != primary.Announced() {
			t.Logf("%s: failed over once more, to %s", e.At, e.Addr())
			return now
		}
	}
	if now != primary {
		t.Fatalf("the primary is %s, want %s", now.Announced(), primary.Announced())
	}
	if role := do(t, old, "ROLE").([]any)[0]; role != "slave" {
		t.Errorf("the old primary is a %v", role)
	}
	if replicas := got(s.Replicas(within(t, patience)))(t); len(replicas) != 2 || !slices.Contains(replicas, old) {
		t.Errorf("%d replicas, of which the old primary: %t", len(replicas), slices.Contains(replicas, old))
	}
	return now
}

func TestSentinel(t *testing.T) {
	onEach(t, func(t *testing.T, i int, path string) {
		begin := time.Now()
		cfg := topology.SentinelConfig{Path: path, Proxies: i%2 == 1}
		if i == 0 {
			cfg.Password, cfg.SentinelPassword, cfg.Name = password, `\other'`, "orders"
			cfg.AOF, cfg.Args, cfg.SentinelArgs = "always", []string{"--min-replicas-max-lag", "7"}, []string{"--maxclients", "100"}
		}
		s := topology.RunSentinel(t, cfg)
		t.Log("formed in", time.Since(begin).Round(time.Millisecond))
		primary := got(s.Primary(t.Context()))(t)
		replicas := got(s.Replicas(t.Context()))(t)
		if primary != s.Nodes()[0] || !slices.Equal(replicas, s.Nodes()[1:]) || len(replicas) != 2 || len(s.Sentinels()) != 3 {
			t.Fatalf("primary %s, %d replicas, %d sentinels", primary.Announced(), len(replicas), len(s.Sentinels()))
		}
		want := "redis+sentinel://" + strings.Join(s.Addrs(), ",") + "/mymaster"
		if i == 0 {
			want = "redis+sentinel://" + userinfo + "@" + strings.Join(s.Addrs(), ",") + "/orders"
			if lag := do(t, primary, "CONFIG", "GET", "min-replicas-max-lag").([]any)[1]; lag != "7" {
				t.Errorf("the argument is not the server's: %v", lag)
			}
		}
		if s.URL() != want || !strings.HasSuffix(want, "/"+s.Name()) {
			t.Errorf("URL = %s, want %s", s.URL(), want)
		}
		do(t, primary, "SET", "k", "1")
		for _, r := range replicas {
			redstarttest.Eventually(t, patience, "the replicas have the write", func() bool { return do(t, r, "GET", "k") == "1" })
		}

		fault := time.Now()
		must(t, primary.Kill())
		second := promoted(t, s, primary, fault)
		must(t, primary.Restart(within(t, patience)))
		second = follows(t, s, primary, second, fault)

		fault = time.Now()
		must(t, second.Freeze())
		third := promoted(t, s, second, fault)
		must(t, second.Continue())
		follows(t, s, second, third, fault)
		if v := do(t, second, "GET", "k"); v != "1" {
			t.Fatalf("k = %v after two failovers", v)
		}
		closes(t, s, slices.Concat(s.Nodes(), s.Sentinels()))
	})
}

// What Settle hastens it sets back.
func TestSettleLeavesTheSentinelsPace(t *testing.T) {
	s := topology.RunSentinel(t, topology.SentinelConfig{Replicas: -1, Sentinels: 1})
	must(t, s.Sentinels()[0].Kill())
	if n, err := s.Primary(t.Context()); err == nil {
		t.Errorf("no sentinel is there, and it names %s", n.Announced())
	}
	must(t, s.Sentinels()[0].Restart(within(t, patience)))
	must(t, s.Settle(within(t, patience)))
	periods := do(t, s.Sentinels()[0], "SENTINEL", "DEBUG").([]any)
	for name, want := range map[string]string{"INFO-PERIOD": "10000", "PUBLISH-PERIOD": "2000", "PING-PERIOD": "1000", "MIN-LINK-RECONNECT-PERIOD": "15000"} {
		if i := slices.Index(periods, any(name)); i < 0 || periods[i+1] != want {
			t.Errorf("%s is not %s in %v", name, want, periods)
		}
	}
}

// What cannot be written in a URL as it is, nor in a configuration file.
const (
	password = `s3"cret:/@`
	userinfo = ":s3%22cret%3A%2F%40"
)

// A client that is with the old primary goes on writing there, and loses it all.
func TestSentinelPartition(t *testing.T) {
	t.Parallel()
	s := topology.RunSentinel(t, topology.SentinelConfig{Proxies: true})
	links, old := s.Links(), s.Nodes()[0]
	for _, n := range s.Nodes()[1:] {
		if links.Proxy(n, old).Faults().Accepted == 0 {
			t.Error("a replica did not come by its way")
		}
	}
	for _, n := range s.Sentinels() {
		if links.Proxy(n, old).Faults().Accepted == 0 || links.Proxy(n, s.Sentinels()[0]) != nil && links.Proxy(n, s.Sentinels()[0]).Faults().Accepted == 0 {
			t.Error("a sentinel did not come by its way")
		}
	}
	client := links.Proxy(nil, old)
	if n := client.Faults().Accepted; n != 0 {
		t.Errorf("%d connections came by the clients' way, and there was no client", n)
	}

	fault := time.Now()
	links.Isolate(old)
	set := ask(t, old.Announced(), "SET", "k", "lost")
	primary := promoted(t, s, old, fault)
	if again := ask(t, old.Announced(), "SET", "k", "lost again"); set != "OK" || again != "OK" || client.Faults().Accepted != 2 {
		t.Errorf("the isolated primary answers its client %v, then %v; %d connections", set, again, client.Faults().Accepted)
	}
	if links.Proxy(s.Sentinels()[0], old).Faults().HeldBytes == 0 {
		t.Error("nothing of a sentinel was held")
	}
	links.Heal()
	follows(t, s, old, primary, fault)
	if v := do(t, old, "GET", "k"); v != nil {
		t.Errorf("k = %v after the partition", v)
	}

	// Clients apart: the sentinel is well, but they do not hear from it.
	first := s.Sentinels()[0]
	links.Cut(nil, first)
	if _, err := askWithin(500*time.Millisecond, first.Announced(), "PING"); err == nil {
		t.Error("a sentinel that is cut from its clients answers one")
	}
	must(t, s.Settle(within(t, patience)))
	links.Join(nil, first)
	if pong := ask(t, first.Announced(), "PING"); pong != "PONG" {
		t.Errorf("PING = %v", pong)
	}
	if links.Proxy(old, old) != nil || links.Proxy(old, nil) != nil {
		t.Error("there is a way that leads nowhere")
	}
	closes(t, s, slices.Concat(s.Nodes(), s.Sentinels()))
}

func TestSentinelThatDoesNotForm(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		cfg  topology.SentinelConfig
		want []string
	}{
		"no quorum": {topology.SentinelConfig{Sentinels: 1, Quorum: 2}, []string{"does not settle", "sentinel 1", "--- data node 3, 127.0.0.1:"}},
		"no start":  {topology.SentinelConfig{Args: []string{"--no-such-option", "1"}}, []string{"data node 1", "no-such-option"}},
		"bad fields": {topology.SentinelConfig{Name: "a b", Sentinels: -1, DownAfter: time.Microsecond}, []string{
			"SentinelConfig.Name", "SentinelConfig.Sentinels", "SentinelConfig.DownAfter",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			redstarttest.Run(t, redstarttest.ServerConfig{}) // skips without a server
			s, err := topology.StartSentinel(within(t, 3*time.Second), tc.cfg)
			if s != nil || err == nil {
				t.Fatalf("it formed: %v", s)
			}
			for _, want := range tc.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the error does not say %q: %v", want, err)
				}
			}
		})
	}
}

func TestWaitsEnd(t *testing.T) {
	s := topology.RunSentinel(t, topology.SentinelConfig{Replicas: -1, Sentinels: 1})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := s.WaitPromoted(ctx, ""); err == nil || !strings.Contains(err.Error(), "no sentinel promoted") {
		t.Errorf("WaitPromoted: %v", err)
	}
	if _, err := s.Await(ctx, time.Time{}, func(topology.Event) bool { return false }); err == nil {
		t.Error("Await found what is not there")
	}
	if err := s.Settle(ctx); err == nil {
		t.Error("it settled in no time")
	}
}
