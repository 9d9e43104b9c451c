package shard

import (
	"context"
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/embedded"
	"github.com/redstart-go/redstart/redstarttest"
)

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		os.Exit(copyChild())
	}
	goleak.VerifyTestMain(m)
}

// onServers runs a test over n servers: embedded ones, and those of each
// redis-server that is here.
func onServers(t *testing.T, n int, test func(t *testing.T, urls []string)) {
	t.Helper()
	t.Run("embedded", func(t *testing.T) {
		urls := make([]string, n)
		for i := range urls {
			s, err := embedded.Start(embedded.Config{})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			urls[i] = s.URL()
		}
		test(t, urls)
	})
	launchers := redstarttest.Launchers()
	if len(launchers) == 0 {
		t.Run("redis-server", func(t *testing.T) { redstarttest.Run(t, redstarttest.ServerConfig{}) })
	}
	for _, l := range launchers {
		t.Run(l.Name, func(t *testing.T) {
			urls := make([]string, n)
			for i := range urls {
				urls[i] = redstarttest.Run(t, redstarttest.ServerConfig{Path: l.Path}).URL()
			}
			test(t, urls)
		})
	}
}

// config names the shards s0, s1 and so on.
func config(urls ...string) Config {
	var cfg Config
	for i, u := range urls {
		cfg.Shards = append(cfg.Shards, Shard{Name: fmt.Sprintf("s%d", i), URL: u})
	}
	return cfg
}

func open(t *testing.T, cfg Config) *Client {
	t.Helper()
	c, err := Open(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func wrap(t *testing.T, c *Client, cfg redstart.Config) *redstart.Client {
	t.Helper()
	r, err := redstart.Wrap(c, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

// keysOn gives n keys of a shard.
func keysOn(c *Client, shard string, n int) []string {
	var keys []string
	for i := 0; len(keys) < n; i++ {
		if k := fmt.Sprintf("key:%d", i); c.Shard(k) == shard {
			keys = append(keys, k)
		}
	}
	return keys
}
