package limit

import (
	"context"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/redstart-go/redstart/redstarttest"
	"github.com/redstart-go/redstart/redstarttest/topology"
)

// The inner client leaves goroutines behind that only sleep, for five seconds at
// most: they close connections to nodes that left a cluster, and ask for its
// slots after a pause.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(closing{m},
		goleak.IgnoreAnyFunction("github.com/redis/rueidis.(*clusterClient)._refresh.func2"),
		goleak.IgnoreAnyFunction("github.com/redis/rueidis.(*clusterClient).redirectOrNew.func1"),
		goleak.IgnoreAnyFunction("github.com/redis/rueidis.(*call).DelayDo.func1"))
}

// closing ends what the tests share when they have run.
type closing struct{ *testing.M }

func (m closing) Run() int {
	code := m.M.Run()
	shared.cluster.close()
	shared.sentinel.close()
	return code
}

// shared are deployments that take seconds to form: one of each serves all tests,
// one after the other, and is empty when a test begins. Nobody may kill or freeze
// a server of theirs.
var shared struct {
	cluster  once[*topology.Cluster]
	sentinel once[*topology.Sentinel]
}

// calm is how long a server must be silent before the others take it for dead: a
// busy machine is no failover.
const calm = 10 * time.Second

// once is a deployment that the first test to need it starts.
type once[T interface{ Close() error }] struct {
	start   sync.Once
	started bool
	it      T
	err     error
}

func (o *once[T]) get(t *testing.T, start func(context.Context) (T, error)) T {
	t.Helper()
	if _, err := redstarttest.Find(); err != nil {
		redstarttest.Run(t, redstarttest.ServerConfig{}) // skips, or fails where a server is required
	}
	o.start.Do(func() {
		o.it, o.err = start(context.Background())
		o.started = o.err == nil
	})
	if o.err != nil {
		t.Fatal(o.err)
	}
	return o.it
}

func (o *once[T]) close() {
	if o.started {
		_ = o.it.Close()
	}
}

// cluster is three primaries with a third of the slots each.
func cluster(t *testing.T) (url string) {
	t.Helper()
	cl := shared.cluster.get(t, func(ctx context.Context) (*topology.Cluster, error) {
		return topology.StartCluster(ctx, topology.ClusterConfig{Replicas: -1, NodeTimeout: calm})
	})
	for _, n := range cl.Nodes() {
		command(t, n.Server, "FLUSHALL")
	}
	return cl.URL()
}

// sentinel is a primary with two replicas, found through three sentinels.
func sentinel(t *testing.T) (url string) {
	t.Helper()
	s := shared.sentinel.get(t, func(ctx context.Context) (*topology.Sentinel, error) {
		return topology.StartSentinel(ctx, topology.SentinelConfig{DownAfter: calm})
	})
	primary, err := s.Primary(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	command(t, primary.Server, "FLUSHALL")
	return s.URL()
}

// alone runs a test that kills, freezes or configures its server, counts its
// commands or stands between it and the client, on each server program that is
// here.
func alone(t *testing.T, test func(t *testing.T, s *redstarttest.Server)) {
	t.Helper()
	launchers := redstarttest.Launchers()
	if len(launchers) == 0 {
		t.Run("redis-server", func(t *testing.T) { redstarttest.Run(t, redstarttest.ServerConfig{}) })
	}
	for _, l := range launchers {
		t.Run(l.Name, func(t *testing.T) {
			test(t, redstarttest.Run(t, redstarttest.ServerConfig{Path: l.Path}))
		})
	}
}

// command runs one on the server, past every client.
func command(t *testing.T, s *redstarttest.Server, words ...string) {
	t.Helper()
	if _, err := s.Do(t.Context(), words...); err != nil {
		t.Fatalf("%v: %v", words, err)
	}
}
