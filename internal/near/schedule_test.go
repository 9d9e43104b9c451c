package near

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/redstarttest"
	"github.com/redstart-go/redstart/redstarttest/proxy"
)

// Schedules that chance does not find, step by step.

func (f *field) set(t *testing.T, id int, v int64) {
	t.Helper()
	s := f.storm.foreign
	if err := s.Do(t.Context(), s.B().Set().Key(f.reader.key(id)).Value(strconv.FormatInt(v, 10)).Build()).Error(); err != nil {
		t.Fatal(err)
	}
}

// want reads a key as a cache does.
func (f *field) want(t *testing.T, id int, want int64) {
	t.Helper()
	if v, _, err := f.reader.get(t.Context(), id); err != nil || v != want {
		t.Fatalf("read %d, %v; want %d", v, err, want)
	}
}

// hold holds the next command that match picks, or its reply.
func hold(t *testing.T, p *proxy.Proxy, a proxy.Action, match func(cmd []string) bool) (held func() bool, release func()) {
	t.Helper()
	before := p.Faults()
	h := p.AddRule(proxy.Rule{Match: match, Action: a})
	held = func() bool {
		now := p.Faults()
		return now.HeldRequests+now.HeldReplies > before.HeldRequests+before.HeldReplies
	}
	release = func() {
		h.Remove()
		h.Release()
	}
	t.Cleanup(release)
	return held, release
}

func trackingOn(cmd []string) bool {
	return cmd[0] == "CLIENT" && strings.EqualFold(cmd[1], "TRACKING")
}

// redials are the moments of a new session at which a fill, and then a foreign
// write, may come.
var redials = map[string]struct {
	action proxy.Action
	match  func(cmd []string) bool
}{
	"before it is asked for":      {proxy.HoldRequest(), trackingOn},
	"when it is not yet answered": {proxy.HoldReply(), trackingOn},
	"before the first question":   {proxy.HoldRequest(), proxy.Named("PING")},
	"before the first answer":     {proxy.HoldReply(), proxy.Named("PING")},
}

// What is read while a session is made is not kept beyond the write of which
// nobody could tell.
func TestFillDuringRedial(t *testing.T) {
	t.Parallel()
	for name, at := range redials {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newField(t, 1, whole, false, 1)
			f.set(t, 0, 1)
			alive(t, f.reader, 0)
			held, release := hold(t, f.sessions, at.action, at.match)
			if f.sessions.ResetMatching(tracking) != 1 {
				t.Fatal("there is no tracking connection")
			}
			eventually(t, "a session on its way", func() bool { f.reader.Mark(1, "other"); return held() })
			f.want(t, 0, 1)
			f.set(t, 0, 2)
			f.want(t, 0, 2)
			release()
			eventually(t, "a kept value", func() bool {
				f.want(t, 0, 2)
				_, ok := f.reader.Get(0)
				return ok
			})
		})
	}
	// The twin: what was read then is taken for the next session's.
	f := newField(t, 1, whole, false, 1)
	f.set(t, 0, 1)
	f.want(t, 0, 1) // over the client, there is no session yet
	f.set(t, 0, 2)
	key := f.reader.key(0)
	var l *life
	eventually(t, "a session", func() bool { _, l = f.reader.at(key); return l != nil })
	f.reader.entries.Set(0, &Item[int64]{Value: 1, key: key, until: never, life: l})
	written := time.Now()
	eventually(t, "a read beyond MaxStale", func() bool {
		v, _, err := f.reader.get(t.Context(), 0)
		return err == nil && v == 1 && time.Since(written) > maxStale
	})
}

// A change during the GET, foreign or own, told or not, is not overlooked.
func TestChangeDuringGET(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(t *testing.T, f *field){
		"foreign": func(t *testing.T, f *field) { f.set(t, 0, 2) },
		"own": func(t *testing.T, f *field) {
			f.sessions.Blackhole(proxy.ToClient) // no message
			c := f.reader.client
			if err := c.Do(t.Context(), c.B().Set().Key(f.reader.key(0)).Value("2").Build()).Error(); err != nil {
				t.Fatal(err)
			}
			f.reader.wrote(t.Context(), 0)
			f.sessions.Heal()
		},
		"FLUSHALL": func(t *testing.T, f *field) {
			for _, args := range [][]string{{"FLUSHALL"}, {"SET", f.reader.key(0), "2"}} {
				if _, err := f.server.Do(t.Context(), args...); err != nil {
					t.Fatal(err)
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newField(t, 1, whole, false, 2)
			f.set(t, 0, 1)
			alive(t, f.reader, 1)
			held, release := hold(t, f.sessions, proxy.HoldReply(), proxy.Named("GET"))
			got := make(chan int64)
			go func() {
				v, _, _ := f.reader.get(t.Context(), 0)
				got <- v
			}()
			eventually(t, "a reply held", held)
			change(t, f)
			eventually(t, "the mark dirty", func() bool {
				key := f.reader.key(0)
				s := f.reader.shard(key)
				s.mu.Lock()
				defer s.mu.Unlock()
				return s.marks[key] == nil || s.marks[key].dirty // or the GET has timed out
			})
			release()
			if v := <-got; v != 1 && v != 2 { // it began before
				t.Errorf("read %d", v)
			}
			if it, ok := f.reader.Get(0); ok && it.Value != 2 {
				t.Errorf("kept %d", it.Value)
			}
			f.want(t, 0, 2)
		})
	}
}

// A value that was missed since its session was silent is not there again when
// the session speaks: a newer one may have been read elsewhere meanwhile.
func TestNoRevival(t *testing.T) {
	t.Parallel()
	f := newField(t, 1, whole, false, 1)
	f.set(t, 0, 1)
	alive(t, f.reader, 0)
	s, l := f.reader.at(f.reader.key(0))
	held, release := hold(t, f.sessions, proxy.HoldReply(), proxy.Named("PING"))
	eventually(t, "no answer", held)
	eventually(t, "a miss", func() bool { _, ok := f.reader.Get(0); return !ok })
	if m := f.reader.Mark(0, f.reader.key(0)); m != nil {
		t.Error("a mark over a silent session")
	}
	f.want(t, 0, 1) // all the same, over the client
	release()
	eventually(t, "the session speaks", func() bool {
		if _, ok := f.reader.Get(0); ok {
			t.Fatal("the value is there again")
		}
		s2, l2 := f.reader.at(f.reader.key(0))
		return s2 == s && l2 != nil && l2 != l
	})
	if it, ok := f.reader.Get(0); ok {
		t.Errorf("the value is there again: %+v", it)
	}
	alive(t, f.reader, 0)
}

// Without RESP3 a server takes CLIENT TRACKING ON and tells nothing: that is no
// tracking.
func TestRESP2(t *testing.T) {
	t.Parallel()
	server := redstarttest.Run(t, redstarttest.ServerConfig{})
	inner, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{server.Addr()}, AlwaysRESP2: true, DisableCache: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(inner.Close)
	c, err := redstart.Wrap(inner, redstart.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	r := newReader(t, whole, c, c, false)
	eventually(t, "a mark", func() bool {
		m := r.Mark(0, "k")
		if m == nil {
			return false
		}
		if m.Session() != nil {
			t.Fatal("the server is taken to track")
		}
		m.Drop()
		return true
	})
}

// Sessions that were lost leave nothing behind: no connection, no life, no mark,
// no index.
func TestLostSessionsLeaveNothing(t *testing.T) {
	t.Parallel()
	f := newField(t, 1, whole, false, 4)
	c := f.reader.cfg.Client
	for range 1 + cuts() {
		alive(t, f.reader, 0, 1, 2, 3)
		if busy := c.Stats().Busy; busy != 1 {
			t.Errorf("%d connections are lent", busy)
		}
		if f.sessions.ResetMatching(tracking) != 1 {
			t.Fatal("there is no tracking connection")
		}
		eventually(t, "nothing left", func() bool { return f.reader.left() == 0 })
	}
	eventually(t, "the connection given back", func() bool { return c.Stats().Busy <= 1 })
}

// left counts all that a tier holds.
func (r *reader) left() (n int) {
	r.Tier.mu.Lock()
	n += len(r.lives)
	r.Tier.mu.Unlock()
	for i := range r.shards {
		s := &r.shards[i]
		s.mu.Lock()
		n += len(s.marks) + len(s.held) + len(s.cells)
		s.mu.Unlock()
	}
	return n + r.entries.EstimatedSize()
}

// An entry that depends on other keys goes with any of them.
func TestLabels(t *testing.T) {
	t.Parallel()
	f := newField(t, 1, whole, false, 2)
	alive(t, f.reader, 1)
	keep := func() {
		t.Helper()
		m := f.reader.Mark(0, f.reader.key(0))
		if m == nil {
			t.Fatal("no mark")
		}
		for _, label := range []string{"tag:a", "tag:b"} {
			if _, ok := m.Label(label); !ok {
				t.Fatal("no label")
			}
			if _, _, _, err := fetch(t.Context(), session{m.Session()}, label); err != nil {
				t.Fatal(err)
			}
		}
		v, absent, ttl, err := fetch(t.Context(), session{m.Session()}, f.reader.key(0))
		if err != nil {
			t.Fatal(err)
		}
		m.Keep(v, absent, ttl, 0)
	}
	for name, change := range map[string]func(){
		"a foreign write": func() {
			if _, err := f.server.Do(t.Context(), "INCR", "tag:b"); err != nil {
				t.Fatal(err)
			}
		},
		"an own one": func() { f.reader.Forget("tag:a") },
		"FLUSHALL": func() {
			if _, err := f.server.Do(t.Context(), "FLUSHALL"); err != nil {
				t.Fatal(err)
			}
		},
		"too many labels": func() {
			m := f.reader.Mark(1, "many")
			for n := range 2 * 64 * maxCells {
				m.Label("label:" + strconv.Itoa(n))
			}
			m.Drop()
		},
	} {
		keep()
		if _, ok := f.reader.Get(0); !ok && name != "too many labels" {
			eventually(t, "an entry", func() bool { keep(); _, ok := f.reader.Get(0); return ok })
		}
		change()
		eventually(t, "the entry gone by "+name, func() bool { _, ok := f.reader.Get(0); return !ok })
	}
	for i := range f.reader.shards {
		if n := len(f.reader.shards[i].cells); n > maxCells {
			t.Errorf("%d labels are remembered in a shard", n)
		}
	}
}

// What is kept is bounded, and so is the index to it.
func TestBounds(t *testing.T) {
	t.Parallel()
	f := newField(t, 1, whole, false, 1)
	for name, cfg := range map[string]Config[int, int64]{
		"items":  {Items: 100},
		"weight": {Weight: 100, Weigh: func(_ int, v int64) uint32 { return 1 }},
	} {
		cfg.Client, cfg.MaxStale = f.reader.cfg.Client, time.Minute
		tier, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		r := &reader{Tier: tier, recipe: whole, client: f.reader.client, prefix: name}
		r.tracked(t)
		s, _ := r.at("x")
		for id := range 3000 {
			m := r.Mark(id, r.key(id))
			if m == nil {
				t.Fatal("no mark")
			}
			if m.Session() != s {
				t.Fatal("another session")
			}
			m.Keep(int64(id), false, 0, 0)
			m.Keep(-1, false, 0, 0) // nothing any more
			m.Drop()
		}
		eventually(t, "at most 100 values in memory, and in the index", func() bool { return r.left() <= 201 })
		n := 0
		for id, it := range r.All() {
			n++
			if it.Value != int64(id) {
				t.Errorf("kept %d for %d", it.Value, id)
			}
		}
		if n == 0 || n > 100 {
			t.Errorf("%d values", n)
		}
	}
	for _, cfg := range []Config[int, int64]{{MaxStale: time.Second}, {Items: 1}} {
		if _, err := New(cfg); err == nil {
			t.Errorf("New took %+v", cfg)
		}
	}
}

// A TTL of the server's ends a value here as well, and no change of it is missed.
func TestTTL(t *testing.T) {
	t.Parallel()
	f := newField(t, 1, whole, false, 1, "--enable-debug-command", "yes")
	f.set(t, 0, 1)
	alive(t, f.reader, 0)
	for _, args := range [][]string{{"DEBUG", "SET-ACTIVE-EXPIRE", "0"}, {"PEXPIRE", f.reader.key(0), "300"}} { // the server will not tell
		if _, err := f.server.Do(t.Context(), args...); err != nil {
			t.Fatal(err)
		}
	}
	set := time.Now()
	eventually(t, "kept with its TTL", func() bool {
		_, _, _ = f.reader.get(t.Context(), 0)
		it, ok := f.reader.Get(0)
		return ok && it.until != never
	})
	eventually(t, "nothing", func() bool {
		began := time.Since(set)
		v, absent, err := f.reader.get(t.Context(), 0)
		if err == nil && !absent && began > 320*time.Millisecond {
			t.Fatalf("read %d, %v after the key was to live 300ms", v, began)
		}
		return err == nil && absent
	})
}

// A key that no prefix covers, of which the server would not tell, is not kept.
func TestUncovered(t *testing.T) {
	t.Parallel()
	f := newField(t, 1, whole, true, 1)
	alive(t, f.reader, 0)
	if m := f.reader.Mark(1, "other:1"); m != nil {
		t.Error("a mark for a key without the prefix")
	}
	m := f.reader.Mark(0, f.reader.key(0))
	if m == nil {
		t.Fatal("no mark")
	}
	defer m.Drop()
	if _, ok := m.Label("tag"); ok {
		t.Error("a label without the prefix")
	}
}
