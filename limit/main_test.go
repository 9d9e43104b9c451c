package limit

import (
	"context"
	"testing"
	"time"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/embedded"
	"github.com/redstart-go/redstart/redstarttest"
)

// onServers runs a test everywhere: on the embedded server, a redis-server and
// those of REDSTART_TEST_SERVERS, in a cluster and under Sentinel. The test may
// change nothing but keys, and finds none.
func onServers(t *testing.T, test func(t *testing.T, url string)) {
	t.Helper()
	t.Run("embedded", func(t *testing.T) { test(t, inProcess(t)) })
	alone(t, func(t *testing.T, s *redstarttest.Server) { test(t, s.URL()) })
	t.Run("cluster", func(t *testing.T) { test(t, cluster(t)) })
	t.Run("sentinel", func(t *testing.T) { test(t, sentinel(t)) })
}

// inProcess starts the embedded server.
func inProcess(t *testing.T) (url string) {
	t.Helper()
	s, err := embedded.Start(embedded.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s.URL()
}

// open gives a client that is closed before the server stops.
func open(t testing.TB, url string, cfg redstart.Config) *redstart.Client {
	t.Helper()
	c, err := redstart.Open(context.Background(), url, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// limiter makes one that is patient, since the machine may be busy.
func limiter(t testing.TB, c *redstart.Client, cfg Config) *Limiter {
	t.Helper()
	if cfg.Timeout == 0 {
		cfg.Timeout = 5 * time.Second
	}
	l, err := New(c, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// take is Take for a test in which the server is there.
func take(t testing.TB, l *Limiter, id string, n int64) Decision {
	t.Helper()
	d, err := l.Take(context.Background(), id, n)
	if err != nil || d.Err != nil {
		t.Fatalf("Take(%d) = %+v, %v", n, d, err)
	}
	return d
}
