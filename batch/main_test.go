package batch

import (
	"context"
	"fmt"
	"iter"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/embedded"
	"github.com/redstart-go/redstart/redstarttest"
	"github.com/redstart-go/redstart/redstarttest/proxy"
)

// The inner client leaves goroutines behind that only sleep, for five seconds at
// most: they close connections to nodes that left a cluster, and ask for its
// slots after a pause.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("github.com/redis/rueidis.(*clusterClient)._refresh.func2"),
		goleak.IgnoreAnyFunction("github.com/redis/rueidis.(*clusterClient).redirectOrNew.func1"),
		goleak.IgnoreAnyFunction("github.com/redis/rueidis.(*call).DelayDo.func1"))
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
		t.Cleanup(func() { _ = s.Close() })
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
func open(t testing.TB, url string, cfg redstart.Config) *redstart.Client {
	t.Helper()
	c, err := redstart.Open(context.Background(), url, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// proxied gives a server, a proxy before it and a client through that.
func proxied(t testing.TB) (*redstarttest.Server, *proxy.Proxy, *redstart.Client) {
	t.Helper()
	s := redstarttest.Run(t, redstarttest.ServerConfig{})
	p, err := proxy.New(s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return s, p, open(t, p.URL(), redstart.Config{})
}

// keys gives n names.
func keys(n int) iter.Seq[string] {
	return func(yield func(string) bool) {
		for i := range n {
			if !yield(keyAt(i)) {
				return
			}
		}
	}
}

func keyAt(i int) string { return fmt.Sprintf("key:%d", i) }

// entries gives n of them, each with a value of its own.
func entries(n int) iter.Seq[Entry] {
	return func(yield func(Entry) bool) {
		for i := range n {
			if !yield(Entry{Key: keyAt(i), Value: valueAt(i)}) {
				return
			}
		}
	}
}

func valueAt(i int) string { return fmt.Sprintf("value %d", i) }

// written runs Set to its end and fails the test at the first error.
func written(t testing.TB, c *redstart.Client, n int) {
	t.Helper()
	for r := range Set(context.Background(), c, entries(n), Config{}) {
		if r.Err != nil {
			t.Fatal(r.Err)
		}
	}
}

// patient is how long a test waits for what must come.
const patient = 20 * time.Second

// command runs one command on the server, past every client.
func command(t *testing.T, s *redstarttest.Server, words ...string) any {
	t.Helper()
	v, err := s.Do(t.Context(), words...)
	if err != nil {
		t.Fatalf("%v: %v", words, err)
	}
	return v
}
