package journal

import (
	"context"
	"testing"
	"time"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/embedded"
	"github.com/redstart-go/redstart/redstarttest"
)

// onServers runs a test everywhere: on the embedded server, a redis-server and
// those of REDSTART_TEST_SERVERS, in a cluster and
// under Sentinel. The test may change nothing but keys, and finds none.
func onServers(t *testing.T, test func(t *testing.T, url string)) {
	t.Helper()
	t.Run("embedded", func(t *testing.T) {
		s, err := embedded.Start(embedded.Config{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		test(t, s.URL())
	})
	onServer(t, func(t *testing.T, s *redstarttest.Server) { test(t, s.URL()) })
	t.Run("cluster", func(t *testing.T) { test(t, cluster(t)) })
	t.Run("sentinel", func(t *testing.T) { test(t, sentinel(t)) })
}

// open gives a client that is closed before the server stops.
func open(t *testing.T, url string, cfg redstart.Config) *redstart.Client {
	t.Helper()
	c, err := redstart.Open(context.Background(), url, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// eventually waits for what must come.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	redstarttest.Eventually(t, 10*time.Second, what, cond)
}

// command sends a command to a server beside the client.
func command(t *testing.T, s *redstarttest.Server, args ...string) any {
	t.Helper()
	reply, err := s.Do(t.Context(), args...)
	if err != nil {
		t.Fatal(err)
	}
	return reply
}
