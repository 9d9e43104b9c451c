package redstart_test

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/key"
	"github.com/redstart-go/redstart/redstarttest"
	"github.com/redstart-go/redstart/redstarttest/proxy"
	"github.com/redstart-go/redstart/redstarttest/topology"
)

// While a server refuses writes, a read waits for the server alone.
func TestReadsDoNotWaitForWrites(t *testing.T) {
	s := redstarttest.Run(t, redstarttest.ServerConfig{Args: []string{"--replicaof", "127.0.0.1 1"}})
	c := open(t, s.URL(), redstart.Config{})
	if err := c.FailFast().Do(t.Context(), c.B().Set().Key("k").Value("v").Build()).Error(); !errors.Is(err, redstart.ErrUnavailable) {
		t.Fatalf("SET at a replica: %v", err)
	}
	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	read := make(chan error, 1)
	go func() { read <- c.Do(ctx, c.B().Get().Key("k").Build()).Error() }()
	redstarttest.Eventually(t, 10*time.Second, "the reader waits", func() bool { return c.Stats().Held == 1 })
	if err := s.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-read; !rueidis.IsRedisNil(err) {
		t.Errorf("GET: %v", err)
	}
}

// A batch for several nodes that are away waits for all of them as long as a
// call may wait, not for each.
func TestABatchWaitsOnce(t *testing.T) {
	cl := topology.RunCluster(t, topology.ClusterConfig{NodeTimeout: 30 * time.Second, Replicas: -1, Proxies: true})
	const timeout = 500 * time.Millisecond
	c := open(t, cl.URL(), redstart.Config{Timeout: timeout})
	var names []string
	for _, n := range cl.Nodes() {
		for i := 0; ; i++ {
			name := "k" + strconv.Itoa(i)
			if at, err := cl.PrimaryOf(t.Context(), int(key.Slot(name))); err != nil {
				t.Fatal(err)
			} else if at == n {
				set(t.Context(), t, c, name, "v")
				names = append(names, name)
				break
			}
		}
		cl.Links().Proxy(nil, n).AddRule(proxy.Rule{
			Match:  func(cmd []string) bool { return !strings.EqualFold(cmd[0], "CLUSTER") },
			Action: proxy.AnswerError("-LOADING Redis is loading the dataset in memory"),
		})
	}
	redstarttest.Eventually(t, 10*time.Second, "all nodes are known to be away", func() bool {
		for _, name := range names {
			_ = c.FailFast().Do(t.Context(), c.B().Incr().Key(name).Build())
		}
		away := 0
		for _, n := range c.Stats().Nodes {
			if n.Cause != nil {
				away++
			}
		}
		return away == len(names)
	})
	var batch []rueidis.Completed
	for _, name := range names {
		batch = append(batch, c.B().Incr().Key(name).Build())
	}
	begun := time.Now()
	for i, r := range c.DoMulti(t.Context(), batch...) {
		if err := r.Error(); !errors.Is(err, redstart.ErrUnavailable) {
			t.Errorf("item %d: %v", i, err)
		}
	}
	if took := time.Since(begun); took > 2*timeout {
		t.Errorf("it took %v, and may wait for %v", took, timeout)
	}
}

// Sentinels that are lost while the server is away refuse writes when it is
// back.
func TestBlindAfterAnOutage(t *testing.T) {
	s := topology.RunSentinel(t, topology.SentinelConfig{Proxies: true, DownAfter: time.Minute})
	var blind atomic.Bool
	c := open(t, s.URL(), redstart.Config{WithoutSentinel: redstart.RefuseWrites, Events: redstart.Events{
		Sentinel: func(i redstart.SentinelInfo) { blind.Store(!i.Reachable) },
	}})
	set(t.Context(), t, c, "k", "v")
	primary, err := s.Primary(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	front := s.Links().Proxy(nil, primary)
	front.Refuse(true)
	front.Reset()
	redstarttest.Eventually(t, 10*time.Second, "the primary is away", func() bool {
		return errors.Is(c.FailFast().Do(t.Context(), c.B().Get().Key("k").Build()).Error(), redstart.ErrUnavailable)
	})
	for _, n := range s.Sentinels() {
		s.Links().Proxy(nil, n).Refuse(true)
		s.Links().Proxy(nil, n).Reset()
	}
	redstarttest.Eventually(t, 10*time.Second, "no sentinel answers", blind.Load)
	front.Refuse(false)
	redstarttest.Eventually(t, 10*time.Second, "reads are served", func() bool {
		return c.FailFast().Do(t.Context(), c.B().Get().Key("k").Build()).Error() == nil
	})
	if err := c.FailFast().Do(t.Context(), c.B().Set().Key("k").Value("w").Build()).Error(); !errors.Is(err, redstart.ErrUnavailable) {
		t.Errorf("SET while no sentinel answers: %v", err)
	}
	s.Links().Heal()
	for _, n := range s.Sentinels() {
		s.Links().Proxy(nil, n).Refuse(false)
	}
	redstarttest.Eventually(t, 20*time.Second, "writes are served", func() bool {
		return c.FailFast().Do(t.Context(), c.B().Set().Key("k").Value("w").Build()).Error() == nil
	})
}

// DoCache is Do: it waits for a server that is away.
func TestDoCacheWaits(t *testing.T) {
	s := redstarttest.Run(t, redstarttest.ServerConfig{})
	p, err := proxy.New(s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	c := open(t, p.URL(), redstart.Config{})
	set(t.Context(), t, c, "k", "v")
	loading := p.AddRule(proxy.Rule{
		Match:  func([]string) bool { return true },
		Action: proxy.AnswerError("-LOADING Redis is loading the dataset in memory"),
	})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	got := make(chan rueidis.RedisResult, 2)
	go func() { got <- c.DoCache(ctx, c.B().Get().Key("k").Cache(), time.Minute) }()
	go func() { got <- c.DoMultiCache(ctx, rueidis.CT(c.B().Get().Key("k").Cache(), time.Minute))[0] }()
	redstarttest.Eventually(t, 10*time.Second, "both wait", func() bool { return c.Stats().Held == 2 || len(got) > 0 })
	loading.Remove()
	for range cap(got) {
		r := <-got
		if v, err := r.ToString(); err != nil || v != "v" {
			t.Errorf("GET = %q, %v", v, err)
		}
	}
}

// Stats counts who has a connection of his own, however he got it.
func TestStatsCountsTheBusy(t *testing.T) {
	s := redstarttest.Run(t, redstarttest.ServerConfig{})
	c := open(t, s.URL(), redstart.Config{})
	if err := c.Dedicated(func(rueidis.DedicatedClient) error {
		if n := c.Stats().Busy; n != 1 {
			t.Errorf("in Dedicated %d are busy", n)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		c.DoMulti(ctx, c.B().Blpop().Key("q").Timeout(0).Build())
	}()
	redstarttest.Eventually(t, 10*time.Second, "the blocking batch is counted", func() bool { return c.Stats().Busy == 1 })
	stop()
	<-ended
}

// Where the server does not tell, Topology does not wait for what cannot come,
// and is not asked of a client that is closed.
func TestTopologyThatIsNotTold(t *testing.T) {
	s := redstarttest.Run(t, redstarttest.ServerConfig{})
	if _, err := s.Do(t.Context(), "ACL", "SETUSER", "app", "on", ">secret", "~*", "+@all", "-info"); err != nil {
		t.Fatal(err)
	}
	c := open(t, s.URL(), redstart.Config{Username: "app", Password: "secret", Timeout: time.Minute, ReadFrom: redstart.ReadFrom{Replicas: true}})
	for range 2 {
		begun := time.Now()
		seen, err := c.Topology(t.Context())
		if err != nil || len(seen.Shards) != 1 || seen.Shards[0].Primary.Addr != s.Addr() {
			t.Errorf("Topology = %+v, %v", seen, err)
		}
		if took := time.Since(begun); took > 10*time.Second {
			t.Errorf("it took %v", took)
		}
	}
	c.Close()
	if _, err := c.Topology(t.Context()); !errors.Is(err, redstart.ErrClosed) {
		t.Errorf("Topology of a closed client: %v", err)
	}
}
