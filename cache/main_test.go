package cache

import (
	"context"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/embedded"
	"github.com/redstart-go/redstart/redstarttest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// user is the value most tests cache.
type user struct {
	ID   int
	Name string
	Seen time.Time
	Tags []string
}

// onServers runs a test on every server that is here: the embedded one, a
// redis-server, and those of REDSTART_TEST_SERVERS.
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
