package journal

import (
	"testing"

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
	defer func() { _ = deployed.Close() }()
	return m.M.Run()
}

// deployed serves all tests, one after the other.
var deployed topology.Shared

func cluster(t *testing.T) (url string)  { return deployed.Cluster(t) }
func sentinel(t *testing.T) (url string) { return deployed.Sentinel(t) }

// onServer runs a test that kills, freezes or configures its server, counts its
// commands or stands between it and the client, on each server program that is
// here.
func onServer(t *testing.T, test func(t *testing.T, s *redstarttest.Server)) {
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
