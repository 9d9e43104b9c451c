package embedded_test

import (
	"context"
	"testing"
	"time"

	"github.com/redis/rueidis"
	"go.uber.org/goleak"

	"github.com/redstart-go/redstart/embedded"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start gives a server and a client of it, both closed at the end of the test.
func start(t *testing.T, cfg embedded.Config) (*embedded.Server, rueidis.Client) {
	t.Helper()
	s, err := embedded.Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, client(t, s)
}

func client(t *testing.T, s *embedded.Server) rueidis.Client {
	t.Helper()
	opt, err := rueidis.ParseURL(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	opt.DisableCache = true
	c, err := rueidis.NewClient(opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func deadline(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// do sends a command as words.
func do(t *testing.T, c rueidis.Client, words ...string) rueidis.RedisResult {
	t.Helper()
	return c.Do(deadline(t), c.B().Arbitrary(words...).Build())
}

// eventually polls cond; a condition, never a time, is what tests wait for.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	end := time.Now().Add(10 * time.Second)
	for !cond() {
		if time.Now().After(end) {
			t.Fatalf("still not so after 10 s: %s", what)
		}
		<-time.After(time.Millisecond)
	}
}
