package cache

import (
	"context"
	"testing"
	"time"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/embedded"
	"github.com/redstart-go/redstart/redstarttest"
)

// user is the value most tests cache.
type user struct {
	ID   int
	Name string
	Seen time.Time
	Tags []string
}

// onServers runs a test everywhere: on the embedded server, a redis-server and
// those of REDSTART_TEST_SERVERS, on one that refuses to track keys, in a cluster
// and under Sentinel. The test may change nothing but keys, and finds none.
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
	alone(t, func(t *testing.T, s *redstarttest.Server) { test(t, s.URL()) })
	t.Run("deaf", func(t *testing.T) { test(t, deaf(t, redstarttest.Run(t, redstarttest.ServerConfig{}))) })
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

// users makes a cache of users with a load.
func users(t *testing.T, c *redstart.Client, load func(context.Context, int) (user, error), change ...func(*Config[int, user])) *Cache[int, user] {
	t.Helper()
	cfg := Config[int, user]{Key: "user:<id>", Load: load}
	for _, f := range change {
		f(&cfg)
	}
	users, err := New(c, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return users
}

// eventually waits for what must come.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	redstarttest.Eventually(t, 10*time.Second, what, cond)
}
