package lease

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

func onServers(t *testing.T, test func(t *testing.T, c *redstart.Client)) {
	t.Helper()
	with := func(t *testing.T, url string) {
		c, err := redstart.Open(context.Background(), url, redstart.Config{})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		test(t, c)
	}
	t.Run("embedded", func(t *testing.T) {
		s, err := embedded.Start(embedded.Config{})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		with(t, s.URL())
	})
	t.Run("redis-server", func(t *testing.T) {
		with(t, redstarttest.Run(t, redstarttest.ServerConfig{}).URL())
	})
}

// must fails the test unless a call answered want.
func must(t *testing.T, want bool) func(got bool, err error) {
	return func(got bool, err error) {
		t.Helper()
		if err != nil || got != want {
			t.Fatalf("got %v, %v, want %v", got, err, want)
		}
	}
}

func TestLife(t *testing.T) {
	onServers(t, func(t *testing.T, c *redstart.Client) {
		ctx := t.Context()
		mine := Lease{c, "k", "mine " + Token(), time.Minute}
		theirs := Lease{c, "k", "theirs " + Token(), time.Minute}
		take := func(l Lease) (bool, string, error) {
			taken, current, err := l.Take(ctx)
			return taken, string(current), err
		}
		if taken, _, err := take(mine); err != nil || !taken {
			t.Fatalf("Take = %v, %v", taken, err)
		}
		if taken, current, err := take(theirs); err != nil || taken || current != mine.Mark {
			t.Fatalf("Take of a held lease = %v, %q, %v", taken, current, err)
		}
		must(t, true)(mine.Extend(ctx))
		must(t, false)(theirs.Extend(ctx))
		must(t, false)(theirs.Put(ctx, "v", time.Minute))
		must(t, false)(theirs.Release(ctx))
		for range 2 { // so does a value
			must(t, true)(mine.Put(ctx, "v", time.Minute))
		}
		must(t, false)(mine.Extend(ctx))
		must(t, false)(mine.Put(ctx, "w", time.Minute))

		if taken, current, err := theirs.Replace(ctx, []byte("not v")); err != nil || taken || string(current) != "v" {
			t.Fatalf("Replace of another value = %v, %q, %v", taken, current, err)
		}
		if taken, _, err := theirs.Replace(ctx, []byte("v")); err != nil || !taken {
			t.Fatalf("Replace = %v, %v", taken, err)
		}
		if err := c.Do(ctx, c.B().Del().Key("k").Build()).Error(); err != nil { // anyone's DEL ends it
			t.Fatal(err)
		}
		must(t, false)(theirs.Extend(ctx))
		must(t, false)(theirs.Put(ctx, "v", time.Minute))
		if taken, current, err := theirs.Replace(ctx, []byte("v")); err != nil || taken || len(current) != 0 {
			t.Fatalf("Replace of nothing = %v, %q, %v", taken, current, err)
		}
		if taken, _, err := take(mine); err != nil || !taken {
			t.Fatalf("Take = %v, %v", taken, err)
		}
		must(t, true)(mine.Release(ctx))
		must(t, false)(mine.Release(ctx))
	})
}

func TestPutWithoutTTL(t *testing.T) {
	onServers(t, func(t *testing.T, c *redstart.Client) {
		l := Lease{c, "k", Token(), time.Minute}
		if taken, _, err := l.Take(t.Context()); err != nil || !taken {
			t.Fatalf("Take = %v, %v", taken, err)
		}
		must(t, true)(l.Put(t.Context(), "v", 0))
		if n, err := c.Do(t.Context(), c.B().Pttl().Key("k").Build()).AsInt64(); err != nil || n != -1 {
			t.Errorf("PTTL = %d, %v", n, err)
		}
	})
}

// A kept lease outlives its time; a lost one is noticed; a stopped one ends.
func TestKeep(t *testing.T) {
	onServers(t, func(t *testing.T, c *redstart.Client) {
		const short = 300 * time.Millisecond
		l := Lease{c, "k", Token(), short}
		taken, _, err := l.Take(t.Context())
		must(t, true)(taken, err)
		lost, stop := l.Keep()
		began := time.Now()
		redstarttest.Eventually(t, 10*time.Second, "three times the lease has passed", func() bool { return time.Since(began) > 3*short })
		select {
		case <-lost:
			t.Fatal("lost although kept")
		default:
		}
		must(t, true)(l.Extend(t.Context()))
		if err := c.Do(t.Context(), c.B().Del().Key("k").Build()).Error(); err != nil {
			t.Fatal(err)
		}
		select {
		case <-lost:
		case <-time.After(10 * time.Second):
			t.Fatal("the loss was not noticed")
		}
		stop()

		taken, _, err = l.Take(t.Context())
		must(t, true)(taken, err)
		_, stop = l.Keep()
		stop()
		redstarttest.Eventually(t, 10*time.Second, "the lease runs out", func() bool {
			n, err := c.Do(t.Context(), c.B().Exists().Key("k").Build()).AsInt64()
			return err == nil && n == 0
		})
	})
}
