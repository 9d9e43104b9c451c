package topology

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/redstart-go/redstart/redstarttest"
)

// Shared is one Cluster and one Sentinel for all tests of a package, since they
// take seconds to form: the first test that asks starts one, every test finds it
// empty, and TestMain ends them by Close. Tests that share may not run at the same
// time, and may neither kill nor freeze a server. The zero value is ready.
//
// The servers take each other for dead only after ten seconds of silence: a busy
// machine is no failover.
type Shared struct {
	cluster  formed[*Cluster]
	sentinel formed[*Sentinel]
}

const calm = 10 * time.Second

// Cluster is three primaries with a third of the slots each. Without a
// redis-server the test is skipped, as by [redstarttest.Run].
func (s *Shared) Cluster(t redstarttest.TB) (url string) {
	t.Helper()
	c := s.cluster.get(t, func(ctx context.Context) (*Cluster, error) {
		return StartCluster(ctx, ClusterConfig{Replicas: -1, NodeTimeout: calm})
	})
	if c == nil {
		return ""
	}
	for _, n := range c.Nodes() {
		empty(t, n)
	}
	return c.URL()
}

// Sentinel is a primary with two replicas, found through three sentinels. Without
// a redis-server the test is skipped.
func (s *Shared) Sentinel(t redstarttest.TB) (url string) {
	t.Helper()
	d := s.sentinel.get(t, func(ctx context.Context) (*Sentinel, error) {
		return StartSentinel(ctx, SentinelConfig{DownAfter: calm})
	})
	if d == nil {
		return ""
	}
	primary, err := d.Primary(context.Background())
	if err != nil {
		t.Fatalf("%v", err)
	}
	empty(t, primary)
	return d.URL()
}

// Close ends what was started.
func (s *Shared) Close() error { return errors.Join(s.cluster.close(), s.sentinel.close()) }

func empty(t redstarttest.TB, n *Node) {
	t.Helper()
	if _, err := n.Do(context.Background(), "FLUSHALL"); err != nil {
		t.Fatalf("%v", err)
	}
}

// formed is a deployment that the first test to need it starts.
type formed[T interface{ Close() error }] struct {
	start   sync.Once
	started bool
	it      T
	err     error
}

func (f *formed[T]) get(t redstarttest.TB, start func(context.Context) (T, error)) (none T) {
	t.Helper()
	if _, err := redstarttest.Find(); err != nil {
		redstarttest.Run(t, redstarttest.ServerConfig{}) // skips, or fails where a server is required
		return none
	}
	f.start.Do(func() {
		f.it, f.err = start(context.Background())
		f.started = f.err == nil
	})
	if f.err != nil {
		t.Fatalf("%v", f.err)
	}
	return f.it
}

func (f *formed[T]) close() error {
	if !f.started {
		return nil
	}
	return f.it.Close()
}
