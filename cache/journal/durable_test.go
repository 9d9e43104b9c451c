package journal

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/redstarttest"
	"github.com/redstart-go/redstart/redstarttest/proxy"
)

func TestEvictionIsRefused(t *testing.T) {
	onServer(t, func(t *testing.T, s *redstarttest.Server) {
		c := open(t, s.URL(), redstart.Config{})
		cfg := usual(newTable())
		set := func(name, value string) { command(t, s, "CONFIG", "SET", name, value) }
		set("maxmemory-policy", "allkeys-lru")
		journalOn(t, c, cfg) // without a bound nothing is evicted
		set("maxmemory", "64mb")
		_, err := New(c, cfg)
		if !errors.Is(err, ErrEviction) || !strings.Contains(err.Error(), "maxmemory-policy") || redstart.OutcomeOf(err) != redstart.NotApplied {
			t.Fatalf("%v", err)
		}
		cfg.AllowEviction = true
		journalOn(t, c, cfg)
		cfg.AllowEviction = false
		for _, policy := range []string{"noeviction", "volatile-lru", "volatile-ttl"} {
			set("maxmemory-policy", policy)
			journalOn(t, c, cfg)
		}
		command(t, s, "ACL", "SETUSER", "app", "on", ">secret", "~*", "&*", "+@all", "-info")
		denied := open(t, "redis://app:secret@"+s.Addr(), redstart.Config{})
		if _, err = New(denied, cfg); !errors.Is(err, ErrEviction) || !strings.Contains(err.Error(), "maxmemory-policy") {
			t.Fatalf("%v", err)
		}
		cfg.UnknownEviction = true
		journalOn(t, denied, cfg)
		cfg.Durability = EverySecond()
		if _, err = New(c, cfg); err == nil || !strings.Contains(err.Error(), "appendonly") {
			t.Fatalf("%v", err)
		}
	})
}

func TestDurabilityNeedsItsServer(t *testing.T) {
	cfg := usual(newTable())
	cfg.Durability = WaitAOF(0, 0)
	_, err := New(open(t, mini(t), redstart.Config{}), cfg)
	if !errors.Is(err, redstart.ErrUnsupported) || !strings.Contains(err.Error(), "waitaof") || !strings.Contains(err.Error(), "embedded") {
		t.Fatalf("%v", err)
	}
}

// Writes wait for the disk or for replicas, and share the waits.
func TestDurableWrites(t *testing.T) {
	for _, l := range redstarttest.Launchers() {
		t.Run(l.Name, func(t *testing.T) {
			s := redstarttest.Run(t, redstarttest.ServerConfig{Path: l.Path, AOF: "everysec"})
			c := open(t, s.URL(), redstart.Config{})
			d := newTable()
			cfg := usual(d)
			cfg.Partitions = 2
			cfg.Durability = EverySecond()
			put(t, journalOn(t, c, cfg), "a", "1")

			cfg.Durability = Replicated(1, 50*time.Millisecond)
			j := journalOn(t, c, cfg)
			err := j.Put(t.Context(), "a", "2")
			if !errors.Is(err, ErrNotDurable) || redstart.OutcomeOf(err) != redstart.Unknown {
				t.Fatalf("without a replica: %v", err)
			}
			reads(t, j, "a", "2")

			cfg.Durability = WaitAOF(0, 5*time.Second)
			j, err = New(c, cfg)
			if errors.Is(err, redstart.ErrUnsupported) {
				t.Logf("%s has no WAITAOF", l.Name)
				cfg.Durability = Replicated(1, 5*time.Second)
				replica := redstarttest.Run(t, redstarttest.ServerConfig{Path: l.Path, Args: []string{"--replicaof", strings.ReplaceAll(s.Addr(), ":", " ")}})
				_ = replica
				eventually(t, "the replica is there", func() bool {
					n, err := c.Do(t.Context(), c.B().Arbitrary("WAIT", "1", "100").Build()).AsInt64()
					return err == nil && n == 1
				})
				j, err = New(c, cfg)
			}
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Do(t.Context(), c.B().ScriptFlush().Build()).Error(); err != nil {
				t.Fatal(err)
			}
			command(t, s, "CONFIG", "RESETSTAT")
			var all sync.WaitGroup
			for w := range 32 {
				all.Go(func() {
					for i := range 2 {
						if err := j.Put(context.Background(), "k"+strconv.Itoa(w), strconv.Itoa(i)); err != nil {
							t.Error(err)
						}
					}
				})
			}
			all.Wait()
			stats, _ := command(t, s, "INFO", "commandstats").(string)
			for line := range strings.Lines(stats) {
				if name, rest, _ := strings.Cut(line, ":calls="); strings.HasPrefix(name, "cmdstat_wait") {
					n, _, _ := strings.Cut(rest, ",")
					calls, _ := strconv.Atoi(n)
					t.Logf("%d waits for 64 writes", calls)
					if calls == 0 || calls >= 64 {
						t.Errorf("%d waits for 64 writes", calls)
					}
				}
			}
			running(t, j)
			flush(t, j)
			if n := len(d.all()); n != 33 {
				t.Errorf("%d rows", n)
			}
			lag(t, j)
		})
	}
}

// A put whose reply is lost is written once, whatever was written meanwhile.
func TestLostReplies(t *testing.T) {
	onServer(t, func(t *testing.T, s *redstarttest.Server) {
		p, err := proxy.New(s.Addr())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(p.Close)
		for _, durability := range []Durability{Memory(), Replicated(1, time.Millisecond)} {
			d := newTable()
			cfg := usual(d)
			cfg.Name, cfg.Partitions, cfg.Durability = "j"+strconv.Itoa(int(durability.level)), 1, durability
			j := journalOn(t, open(t, p.URL(), redstart.Config{}), cfg)
			put := func(v string) {
				if err := j.Put(t.Context(), "a", v); err != nil && !errors.Is(err, ErrNotDurable) {
					t.Fatal(err)
				}
			}
			put("0") // the script is known
			const n = 20
			for i := range n {
				h := p.AddRule(proxy.Rule{Match: proxy.Named("EVALSHA"), Nth: 1, Action: proxy.SwallowReply(proxy.CutConnection)})
				put(strconv.Itoa(i))
				h.Remove()
			}
			if l := lag(t, j); l.Acked != n+1 {
				t.Errorf("%d records of %d writes: %+v", l.Acked, n+1, j.Stats())
			}
			if r := j.Stats().Repeated; r < n/2 {
				t.Errorf("%d replies of %d were lost", r, n)
			}
			running(t, j)
			flush(t, j)
			if v, _ := d.get("a"); v != strconv.Itoa(n-1) {
				t.Errorf("a is %q", v)
			}
		}
	})
}

// The server is killed and comes back with its AOF: what was acknowledged is
// there, and the flusher goes on by itself.
func TestServerIsKilled(t *testing.T) {
	for _, l := range redstarttest.Launchers() {
		t.Run(l.Name, func(t *testing.T) {
			s := redstarttest.Run(t, redstarttest.ServerConfig{Path: l.Path, AOF: "always"})
			d := newTable()
			cfg := usual(d)
			j := journalOn(t, open(t, s.URL(), redstart.Config{Timeout: 10 * time.Second}), cfg)
			running(t, j)
			acked := map[string]string{}
			for i := range 300 {
				id, v := "k"+strconv.Itoa(i%40), strconv.Itoa(i)
				if i%100 == 50 {
					if err := s.Kill(); err != nil {
						t.Fatal(err)
					}
					go func() {
						if err := s.Restart(context.Background()); err != nil {
							t.Error(err)
						}
					}()
				}
				put(t, j, id, v)
				acked[id] = v
			}
			flush(t, j)
			for id, v := range acked {
				if got, _ := d.get(id); got != v {
					t.Errorf("%s is %q, want %q", id, got, v)
				}
			}
			lag(t, j)
		})
	}
}
