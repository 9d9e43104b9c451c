package near

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/redstart-go/redstart/embedded"
	"github.com/redstart-go/redstart/redstarttest"
)

// untracked are servers that do not track.
func untracked(t *testing.T) map[string]string {
	t.Helper()
	server := redstarttest.Run(t, redstarttest.ServerConfig{})
	e, err := embedded.Start(embedded.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	return map[string]string{"an ACL": user(t, server, "deaf", "&*", "+@all", "-client|tracking"), "embedded": e.URL()}
}

func user(t *testing.T, server *redstarttest.Server, name string, may ...string) (url string) {
	t.Helper()
	args := append([]string{"ACL", "SETUSER", name, "on", ">secret", "~*"}, may...)
	if _, err := server.Do(t.Context(), args...); err != nil {
		t.Fatal(err)
	}
	return strings.Replace(server.URL(), "://", "://"+name+":secret@", 1)
}

// Where the server does not track, foreign writes are seen within MaxStale, own
// ones at once, and nothing goes back.
func TestWithoutTracking(t *testing.T) {
	t.Parallel()
	for name, url := range untracked(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := open(t, url)
			r := newReader(t, whole, c, c, false)
			s := newStorm(seeded(t), 8, r, open(t, url))
			alive(t, r, 0)
			v := s.run(t.Context(), t, func(ctx context.Context) { pause(ctx, 1500*time.Millisecond) })
			t.Logf("%v; %d hits", v, r.hits)
			if v.bad() != 0 {
				t.Error("not right")
			}
			if v.oldest < maxStale/4 {
				t.Error("nothing stale was read: somebody tells of foreign writes, and nothing was tried")
			}
		})
	}
}

// Those who write through a cache are heard of by others at once, even those
// that never read.
func TestTold(t *testing.T) {
	t.Parallel()
	for name, url := range untracked(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, w := open(t, url), open(t, url)
			cfg := Config[int, int64]{Client: c, Channel: "near", MaxStale: time.Hour, Items: 10}
			tier, err := New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			cfg.Client = w
			writer, err := New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			r := &reader{Tier: tier, recipe: whole, client: c, prefix: "n:"}
			for i := range r.turns {
				r.turns[i] = make(chan struct{}, 1)
			}
			alive(t, r, 0)
			eventually(t, "a subscription", func() bool {
				n, err := c.Do(t.Context(), c.B().PubsubNumsub().Channel("near").Build()).ToArray()
				if err != nil {
					t.Fatal(err)
				}
				count, err := n[1].AsInt64()
				return err == nil && count == 1
			})
			if err := w.Do(t.Context(), w.B().Set().Key(r.key(0)).Value("7").Build()).Error(); err != nil {
				t.Fatal(err)
			}
			writer.Forget(r.key(0))
			writer.Tell(t.Context(), r.key(0))
			eventually(t, "the write seen", func() bool {
				v, _, err := r.get(t.Context(), 0)
				return err == nil && v == 7
			})
			if n := tier.Stats().Pushed; n != 1 {
				t.Errorf("told of %d keys", n)
			}
		})
	}
}

// A subscription that is refused as well costs no value its life.
func TestChannelRefused(t *testing.T) {
	t.Parallel()
	server := redstarttest.Run(t, redstarttest.ServerConfig{})
	c := open(t, user(t, server, "mute", "resetchannels", "+@all", "-client|tracking"))
	r := newReader(t, whole, c, c, false)
	alive(t, r, 0)
	eventually(t, "a refusal", func() bool {
		log, err := server.Do(t.Context(), "ACL", "LOG")
		return err == nil && len(log.([]any)) >= 2 // the tracking, the channel
	})
	if n := r.Stats().Flushed; n != 0 {
		t.Errorf("given up %d times", n)
	}
	v := newStorm(seeded(t), 2, r, raw(t, server.Addr())).run(t.Context(), t, func(ctx context.Context) { pause(ctx, 2*maxStale) })
	if v.bad() != 0 {
		t.Error(v)
	}
}
