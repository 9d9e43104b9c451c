package redstart_test

import (
	"context"
	"testing"

	"go.uber.org/goleak"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/embedded"
	"github.com/redstart-go/redstart/redstarttest"
)

// The inner client asks a cluster for its slots after a pause, and closes the
// connections to nodes that left it, or
// changed their role, five seconds later: on goroutines that only sleep.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("github.com/redis/rueidis.(*clusterClient)._refresh.func2"),
		goleak.IgnoreAnyFunction("github.com/redis/rueidis.(*clusterClient).redirectOrNew.func1"),
		goleak.IgnoreAnyFunction("github.com/redis/rueidis.(*call).DelayDo.func1"))
}

// onServers runs a test on the embedded server and on every server found.
func onServers(t *testing.T, test func(t *testing.T, url string)) {
	t.Helper()
	t.Run("embedded", func(t *testing.T) {
		s, err := embedded.Start(embedded.Config{})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		test(t, s.URL())
	})
	launchers := redstarttest.Launchers()
	if len(launchers) == 0 {
		t.Run("redis-server", func(t *testing.T) { redstarttest.Run(t, redstarttest.ServerConfig{}) })
	}
	for _, l := range launchers {
		t.Run(l.Name, func(t *testing.T) {
			test(t, redstarttest.Run(t, redstarttest.ServerConfig{Path: l.Path}).URL())
		})
	}
}

func open(t *testing.T, url string, cfg redstart.Config) *redstart.Client {
	t.Helper()
	c, err := redstart.Open(context.Background(), url, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}
