package near

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redstart-go/redstart/redstarttest"
	"github.com/redstart-go/redstart/redstarttest/proxy"
)

func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	redstarttest.Eventually(t, 20*time.Second, what, cond)
}

func tracking(i proxy.ConnInfo) bool { return i.Tracking }

// field is a server behind two proxies: one before the sessions of a tier, one
// before all else of its client.
type field struct {
	server         *redstarttest.Server
	sessions, data *proxy.Proxy
	reader         *reader
	storm          *storm
}

func proxied(t *testing.T, addr string) *proxy.Proxy {
	t.Helper()
	p, err := proxy.New(addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

func newField(t *testing.T, seed uint64, how recipe, byPrefix bool, keys int, args ...string) *field {
	t.Helper()
	f := &field{server: redstarttest.Run(t, redstarttest.ServerConfig{Args: args})}
	f.sessions, f.data = proxied(t, f.server.Addr()), proxied(t, f.server.Addr())
	f.reader = newReader(t, how, open(t, f.sessions.URL()), open(t, f.data.URL()), byPrefix)
	f.storm = newStorm(seed, keys, f.reader, raw(t, f.server.Addr()))
	return f
}

// faults are what may happen to a tier on one server. Each tells when it has
// happened.
var faults = []struct {
	name  string
	args  []string
	fault func(ctx context.Context, t *testing.T, f *field)
}{
	{"calm", nil, func(ctx context.Context, _ *testing.T, _ *field) { pause(ctx, time.Second) }},
	{"the tracking connection cut", nil, func(ctx context.Context, t *testing.T, f *field) {
		for range cuts() {
			f.tracked(t)
			pause(ctx, 200*time.Millisecond)
			eventually(t, "a tracking connection cut", func() bool { return f.sessions.ResetMatching(tracking) > 0 })
			f.tracked(t)
		}
	}},
	{"the data connections cut", nil, func(ctx context.Context, t *testing.T, f *field) {
		for range 10 {
			pause(ctx, 100*time.Millisecond)
			f.data.Reset()
		}
		if f.data.Faults().Resets < 5 {
			t.Error("no connection was cut")
		}
	}},
	{"messages held back", nil, func(ctx context.Context, t *testing.T, f *field) {
		for _, d := range []time.Duration{maxStale / 3, maxStale / 2, maxStale} {
			const id = 7 // which only foreigners write, and seldom
			alive(t, f.reader, id)
			f.sessions.Blackhole(proxy.ToClient)
			f.storm.set(ctx, t, id)
			pause(ctx, d)
			f.sessions.Heal()
		}
		for _, d := range []time.Duration{maxStale / 10, maxStale / 4, 2 * maxStale / 5} {
			f.sessions.Delay(0, 0)
			f.tracked(t)
			f.sessions.Delay(0, d)
			pause(ctx, 3*maxStale/2)
		}
		if n := f.sessions.Faults(); n.HeldBytes == 0 || n.Delayed == 0 {
			t.Error("nothing was held back")
		}
	}},
	{"a frozen server", nil, func(ctx context.Context, t *testing.T, f *field) {
		for _, d := range []time.Duration{maxStale / 2, 2 * maxStale} {
			pause(ctx, 300*time.Millisecond)
			if err := f.server.Freeze(); err != nil {
				t.Error(err)
			}
			pause(ctx, d)
			if err := f.server.Continue(); err != nil {
				t.Error(err)
			}
		}
		pause(ctx, 300*time.Millisecond)
	}},
	{"FLUSHALL", nil, func(ctx context.Context, t *testing.T, f *field) {
		before := f.reader.Stats().Flushed
		pause(ctx, time.Second)
		if f.reader.Stats().Flushed == before {
			t.Error("the tier has heard of no FLUSHALL")
		}
	}},
	{"eviction", []string{"--maxmemory", "3mb", "--maxmemory-policy", "allkeys-random"}, func(ctx context.Context, t *testing.T, f *field) {
		fill := make([]byte, 10000)
		for n := 0; ctx.Err() == nil && n < 400; n++ {
			_, _ = f.server.Do(ctx, "SET", "fill:"+time.Duration(n).String(), string(fill))
		}
		if f.stat(t, "evicted_keys") == 0 {
			t.Error("nothing was evicted")
		}
	}},
	{"all at once", nil, func(ctx context.Context, t *testing.T, f *field) {
		rnd := f.storm.random(7)
		end := time.Now().Add(stormTime())
		for time.Now().Before(end) {
			if rnd.IntN(2) == 0 { // else while the session is made
				f.tracked(t)
			}
			switch rnd.IntN(5) {
			case 0:
				f.sessions.ResetMatching(tracking)
			case 1:
				f.data.Reset()
			case 2:
				f.sessions.Blackhole(proxy.ToClient)
				pause(ctx, upTo(rnd, 2*maxStale))
				f.sessions.Heal()
			case 3:
				f.sessions.Delay(0, upTo(rnd, maxStale/2))
			case 4:
				_ = f.server.Freeze()
				pause(ctx, upTo(rnd, maxStale))
				_ = f.server.Continue()
			}
			pause(ctx, upTo(rnd, 2*time.Second))
		}
		f.sessions.Delay(0, 0)
		f.tracked(t)
		pause(ctx, 200*time.Millisecond)
	}},
	{"more keys than the server can remember", []string{"--tracking-table-max-keys", "2"}, func(ctx context.Context, t *testing.T, f *field) {
		pause(ctx, time.Second)
		if n := f.stat(t, "tracking_total_keys"); n == 0 || n > f.storm.keys/2 {
			t.Errorf("the server remembers %d keys", n)
		}
	}},
}

// stat is a number of INFO's.
func (f *field) stat(t *testing.T, name string) (n int) {
	t.Helper()
	info, err := f.server.Do(t.Context(), "INFO", "stats")
	if err != nil {
		t.Error(err)
		return 0
	}
	_, rest, _ := strings.Cut(info.(string), name+":")
	if _, err := fmt.Sscan(rest, &n); err != nil {
		t.Error(err)
	}
	return n
}

func stormTime() time.Duration {
	if long() {
		return time.Minute
	}
	return 1500 * time.Millisecond
}

func cuts() int {
	if long() {
		return 20
	}
	return 1
}

// tracked waits until a mark is given.
func (r *reader) tracked(t *testing.T) {
	t.Helper()
	eventually(t, "tracking", func() bool {
		m := r.Mark(-1, "n:none")
		if m == nil {
			return false
		}
		m.Drop()
		return true
	})
}

func (f *field) tracked(t *testing.T) { t.Helper(); f.reader.tracked(t) }

// Under none of the faults does a value go back, outlive MaxStale, or hide an
// own write.
func TestFaults(t *testing.T) {
	t.Parallel()
	seed := seeded(t)
	for i, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			for _, byPrefix := range []bool{false, true} {
				if !long() && byPrefix != (i%2 == 1) {
					continue
				}
				field := newField(t, seed, whole, byPrefix, 8, f.args...)
				field.storm.evicts, field.storm.flushes = f.name == "eviction", f.name == "FLUSHALL"
				alive(t, field.reader, 0)
				v := field.storm.run(t.Context(), t, func(ctx context.Context) { f.fault(ctx, t, field) })
				t.Logf("by prefix %v: %v; %d hits, %+v", byPrefix, v, field.reader.hits, field.reader.Stats())
				if v.bad() != 0 {
					t.Error("not right")
				}
				if field.reader.hits < 100 {
					t.Error("hardly a hit: nothing was tried")
				}
				if f.name == "messages held back" && v.oldest < maxStale/10 {
					t.Error("nothing older was read: no message was held back")
				}
			}
		})
	}
}

// The checker finds each rule that is left out, and the naive recipe.
func TestRulesLeftOut(t *testing.T) {
	t.Parallel()
	seed := seeded(t)
	held := func(ctx context.Context, _ *testing.T, f *field) {
		for ctx.Err() == nil {
			pause(ctx, 100*time.Millisecond)
			f.sessions.Blackhole(proxy.ToClient)
			pause(ctx, 2*maxStale)
			f.sessions.Heal()
		}
	}
	delayed := func(ctx context.Context, _ *testing.T, f *field) {
		f.sessions.Delay(0, maxStale/10)
		<-ctx.Done()
	}
	calm := func(ctx context.Context, _ *testing.T, _ *field) { <-ctx.Done() }
	for _, c := range []struct {
		name  string
		how   recipe
		fault func(ctx context.Context, t *testing.T, f *field)
		found func(verdict) int
	}{
		{"a mark after the GET", lateMark, calm, func(v verdict) int { return v.stale + v.back + v.ownLost }},
		{"own writes not forgotten", deafToOwn, delayed, func(v verdict) int { return v.ownLost }},
		{"two GETs at a time, without a mark", twoGETs, calm, func(v verdict) int { return v.back + v.stale }},
		{"served without asking for a life", undying, held, func(v verdict) int { return v.stale }},
		{"read over the client's connections", otherConn, calm, func(v verdict) int { return v.stale }},
		{"a map with a TTL", naiveRecipe, calm, func(v verdict) int { return v.stale }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := newField(t, seed, c.how, false, 2)
			began := time.Now()
			var v verdict
			f.storm.run(t.Context(), t, func(ctx context.Context) {
				ctx, found := context.WithCancel(ctx)
				var watch sync.WaitGroup
				watch.Go(func() {
					defer found()
					for time.Since(began) < 30*time.Second && c.found(v) == 0 {
						pause(ctx, 300*time.Millisecond)
						v = verdict{}
						for _, h := range f.storm.histories {
							v.add(h.check(maxStale))
						}
					}
				})
				c.fault(ctx, t, f)
				watch.Wait()
			})
			t.Logf("after %v: %v", time.Since(began).Round(time.Millisecond), v)
			if c.found(v) == 0 {
				t.Error("the checker did not find it")
			}
		})
	}
}

// scissors is a way to a server that can end in the middle of a message.
type scissors struct {
	net.Listener
	armed atomic.Bool
	cuts  atomic.Int32
	work  sync.WaitGroup
}

func newScissors(t *testing.T, target string) *scissors {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &scissors{Listener: l}
	t.Cleanup(func() { l.Close(); s.work.Wait() })
	s.work.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", target)
			if err != nil {
				client.Close()
				continue
			}
			s.work.Go(func() {
				_, _ = io.Copy(server, client)
				server.Close()
			})
			s.work.Go(func() {
				defer client.Close()
				defer server.Close()
				b := make([]byte, 1<<16)
				for {
					n, err := server.Read(b)
					if err != nil {
						return
					}
					if i := bytes.Index(b[:n], []byte("invalidate")); i >= 0 && s.armed.CompareAndSwap(true, false) {
						s.cuts.Add(1)
						_, _ = client.Write(b[:i+len("inval")])
						return
					}
					if _, err := client.Write(b[:n]); err != nil {
						return
					}
				}
			})
		}
	})
	return s
}

// A connection that ends in the middle of a message has told all the same:
// everything may have changed.
func TestCutInAMessage(t *testing.T) {
	t.Parallel()
	server := redstarttest.Run(t, redstarttest.ServerConfig{})
	way := newScissors(t, server.Addr())
	r := newReader(t, whole, open(t, "redis://"+way.Addr().String()), open(t, server.URL()), false)
	s := newStorm(seeded(t), 4, r, raw(t, server.Addr()))
	alive(t, r, 0)
	v := s.run(t.Context(), t, func(ctx context.Context) {
		for n := range int32(cuts()) {
			pause(ctx, 200*time.Millisecond)
			way.armed.Store(true)
			eventually(t, "a message cut in two", func() bool { return way.cuts.Load() == n+1 })
			r.tracked(t)
		}
	})
	t.Log(v)
	if v.bad() != 0 {
		t.Error("not right")
	}
}
