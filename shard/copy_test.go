package shard

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/redstarttest"
)

// sample of every type; the large ones are kept as tables, in an order of the
// server's own.
func fillTypes(t *testing.T, c *Client, n int) {
	t.Helper()
	var multi rueidis.Commands
	add := func(words ...string) { multi = append(multi, c.B().Arbitrary(words...).Build()) }
	for i := range n {
		key := func(what string) string { return fmt.Sprintf("%s:%d", what, i) }
		add("SET", key("string"), strings.Repeat("x", i%50)+"\x00\xff\r\n")
		add("SET", key("ttl"), key("ttl"), "PX", "600000")
		add("RPUSH", key("list"), "a", "b", key("c"))
		size := 3
		if i%10 == 0 {
			size = 600
		}
		hash, set, zset := []string{"HSET", key("hash")}, []string{"SADD", key("set")}, []string{"ZADD", key("zset")}
		for j := range size {
			member := fmt.Sprintf("member %d of %d", j, i)
			hash, set, zset = append(hash, member, "v"), append(set, member), append(zset, fmt.Sprint(float64(j)/3), member)
		}
		add(hash...)
		add(set...)
		add(zset...)
		add("XADD", key("stream"), "1-1", "f", "v")
	}
	for i, r := range c.DoMulti(t.Context(), multi...) {
		if err := r.Error(); err != nil {
			t.Fatalf("command %d: %v", i, err)
		}
	}
}

// everything is each key's contents and shard, by name. TTLs are asserted apart.
func everything(t *testing.T, shards map[string]*redstart.Client) map[string]string {
	t.Helper()
	all := map[string]string{}
	for name, c := range shards {
		for cursor := uint64(0); ; {
			e, err := c.Do(t.Context(), c.B().Scan().Cursor(cursor).Count(1000).Build()).AsScanEntry()
			if err != nil {
				t.Fatal(err)
			}
			for _, k := range e.Elements {
				list, err := contents(t.Context(), c, k)
				if err == nil && list[0] == "" {
					var entries []rueidis.XRangeEntry
					entries, err = c.Do(t.Context(), c.B().Xrange().Key(k).Start("-").End("+").Build()).AsXRange()
					list = []string{fmt.Sprint(entries)}
				}
				if err != nil {
					t.Fatal(err)
				}
				if strings.HasPrefix(k, "ttl") {
					ttl, err := c.Do(t.Context(), c.B().Pttl().Key(k).Build()).AsInt64()
					if err != nil || ttl <= 400_000 || ttl > 600_000 {
						t.Errorf("%s has %d ms left, %v; had 600,000", k, ttl, err)
					}
				} else if ttl, _ := c.Do(t.Context(), c.B().Pttl().Key(k).Build()).AsInt64(); ttl != -1 {
					t.Errorf("%s has a TTL: %d ms", k, ttl)
				}
				if was, twice := all[k]; twice && !strings.HasPrefix(was, name+" ") {
					all[k] = "on two shards"
				} else {
					all[k] = name + " " + fmt.Sprintf("%q", list)
				}
			}
			if cursor = e.Cursor; cursor == 0 {
				break
			}
		}
	}
	return all
}

// settled checks that every key is where the new layout says, as it was.
func settled(t *testing.T, before, after map[string]string, l Layout) {
	t.Helper()
	if len(after) != len(before) {
		t.Errorf("%d keys, there were %d", len(after), len(before))
	}
	wrong := 0
	for k, was := range before {
		_, contents, _ := strings.Cut(was, " ")
		if want := l.OwnerOf(k) + " " + contents; after[k] != want {
			if wrong++; wrong <= 5 {
				t.Errorf("%s is %.120q, want %.120q", k, after[k], want)
			}
		}
	}
	if wrong > 0 {
		t.Errorf("%d keys are not where or what they should be", wrong)
	}
}

// three opens a client over two of three servers, and one over all.
func three(t *testing.T, urls []string) (two, all *Client, plan []Move, shards map[string]*redstart.Client) {
	t.Helper()
	two, all = open(t, config(urls[:2]...)), open(t, config(urls...))
	shards, err := all.Shards(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return two, all, Plan(two.Layout(), all.Layout()), shards
}

func TestCopyMovesEveryType(t *testing.T) {
	launchers := redstarttest.Launchers()
	if len(launchers) == 0 {
		redstarttest.Run(t, redstarttest.ServerConfig{})
	}
	for _, l := range launchers {
		t.Run(l.Name, func(t *testing.T) {
			s := servers(t, 3, redstarttest.ServerConfig{Path: l.Path})
			two, all, plan, shards := three(t, []string{s[0].URL(), s[1].URL(), s[2].URL()})
			fillTypes(t, two, 60)
			before := everything(t, shards)
			var last Copied
			done, err := Copy(t.Context(), plan, CopyConfig{Shards: shards, Count: 64, BatchBytes: 4096, Progress: func(c Copied) {
				if c.Moved < last.Moved {
					t.Errorf("progress goes back from %+v to %+v", last, c)
				}
				last = c
			}})
			if err != nil || done != last || done.Found+done.Conflicts+done.Gone != 0 {
				t.Fatalf("%+v, %v; the last progress was %+v", done, err, last)
			}
			settled(t, before, everything(t, shards), all.Layout())
			t.Logf("%+v", done)
			if share := float64(done.Moved) / float64(len(before)); share > 0.5+0.02 || share < 0.2 {
				t.Errorf("%.3f of the keys moved", share)
			}
			// Nothing is left to do; the way back restores what was.
			if again, err := Copy(t.Context(), plan, CopyConfig{Shards: shards}); err != nil || again.Moved+again.Found != 0 {
				t.Errorf("again: %+v, %v", again, err)
			}
			if back, err := Copy(t.Context(), Plan(all.Layout(), two.Layout()), CopyConfig{Shards: shards}); err != nil || back.Moved != done.Moved {
				t.Errorf("back: %+v, %v", back, err)
			}
			settled(t, before, everything(t, shards), two.Layout())
		})
	}
}

// Killed at any page and started again, Copy loses nothing.
func TestCopyKilledAndResumed(t *testing.T) {
	s := servers(t, 3, redstarttest.ServerConfig{})
	urls := []string{s[0].URL(), s[1].URL(), s[2].URL()}
	two, all, _, shards := three(t, urls)
	fillTypes(t, two, 120)
	before := everything(t, shards)
	kills := 0
	for finished := false; !finished; {
		child := exec.Command(os.Args[0], "-test.run=^$")
		child.Env = append(os.Environ(), childEnv+"="+strings.Join(urls, " "))
		child.Stderr = os.Stderr
		in, err := child.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		pages, limit := 0, 1+kills
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if pages++; pages >= limit && kills < 6 {
				// While it waits in one source's progress, the other's batch may be half
				// way between RESTORE and UNLINK.
				if err := child.Process.Kill(); err != nil {
					t.Fatal(err)
				}
				kills++
				break
			}
			if _, err := fmt.Fprintln(in, "on"); err != nil {
				t.Fatal(err)
			}
		}
		finished = child.Wait() == nil
		if n := len(everything(t, shards)); n != len(before) {
			t.Fatalf("after %d kills there are %d keys of %d", kills, n, len(before))
		}
	}
	if kills < 6 {
		t.Errorf("only %d kills", kills)
	}
	settled(t, before, everything(t, shards), all.Layout())
}

// The target, then a source, dies in the middle; with the AOF on nothing is lost.
func TestCopySurvivesServers(t *testing.T) {
	s := servers(t, 3, redstarttest.ServerConfig{AOF: "always"})
	two, all, plan, shards := three(t, []string{s[0].URL(), s[1].URL(), s[2].URL()})
	fillTypes(t, two, 120)
	before := everything(t, shards)
	for name, c := range shards {
		shards[name] = c.FailFast()
	}
	for _, victim := range []*redstarttest.Server{s[2], s[0], s[1]} {
		pages := 0
		ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
		done, err := Copy(ctx, plan, CopyConfig{Shards: shards, Count: 40, Batch: 5, Progress: func(Copied) {
			if pages++; pages == 3 {
				if err := victim.Kill(); err != nil {
					t.Error(err)
				}
			}
		}})
		cancel()
		if pages < 3 {
			t.Fatalf("it ended before the kill: %+v, %v", done, err)
		}
		if err == nil || redstart.OutcomeOf(err) != redstart.Unknown {
			t.Errorf("with a dead server: %v (%v)", err, redstart.OutcomeOf(err))
		}
		if err := victim.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, c := range shards {
			redstarttest.Eventually(t, 20*time.Second, "the server is back", func() bool { return c.Do(t.Context(), c.B().Ping().Build()).Error() == nil })
		}
	}
	if done, err := Copy(t.Context(), plan, CopyConfig{Shards: shards}); err != nil {
		t.Errorf("%+v, %v", done, err)
	}
	settled(t, before, everything(t, shards), all.Layout())
}

// A key on both shards, alike by contents if not by form, was delivered before;
// one that differs is left alone, or as Config says.
func TestCopyConflicts(t *testing.T) {
	s := servers(t, 2, redstarttest.ServerConfig{})
	one, both := open(t, config(s[0].URL())), open(t, config(s[0].URL(), s[1].URL()))
	plan := Plan(one.Layout(), both.Layout())
	shards, err := both.Shards(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	do := func(c *redstart.Client, words ...string) rueidis.RedisResult {
		r := c.Do(t.Context(), c.B().Arbitrary(words...).Build())
		if err := r.Error(); err != nil && !rueidis.IsRedisNil(err) {
			t.Fatal(err)
		}
		return r
	}
	key := keysOn(both, "s1", 4)
	get := func(name, k string) string { v, _ := do(shards[name], "GET", k).ToString(); return v }
	reset := func() {
		for _, c := range shards {
			do(c, "FLUSHALL")
		}
		do(shards["s0"], "SET", key[0], "old")
		do(shards["s1"], "SET", key[0], "new")
		do(shards["s0"], "SET", key[1], "same")
		do(shards["s1"], "SET", key[1], "same")
		do(shards["s0"], "SET", key[2], "plain")
		forward, backward := []string{"SADD", key[3]}, []string{"SADD", key[3]}
		for i := range 1000 {
			forward, backward = append(forward, fmt.Sprint("m", i)), append(backward, fmt.Sprint("m", 999-i))
		}
		do(shards["s0"], forward...)
		do(shards["s1"], backward...)
	}
	for name, c := range map[string]struct {
		cfg         CopyConfig
		want        Copied
		source, got string
	}{
		"report":       {CopyConfig{}, Copied{Moved: 1, Found: 2, Conflicts: 1}, "old", "new"},
		"target wins":  {CopyConfig{Conflict: TargetWins}, Copied{Moved: 1, Found: 2, Conflicts: 1}, "", "new"},
		"source wins":  {CopyConfig{Conflict: SourceWins}, Copied{Moved: 4}, "", "old"},
		"kept":         {CopyConfig{Conflict: TargetWins, Keep: true}, Copied{Moved: 1, Found: 2, Conflicts: 1}, "old", "new"},
		"report, kept": {CopyConfig{Keep: true}, Copied{Moved: 1, Found: 2, Conflicts: 1}, "old", "new"},
	} {
		reset()
		form0, _ := do(shards["s0"], "DUMP", key[3]).ToString()
		form1, _ := do(shards["s1"], "DUMP", key[3]).ToString()
		if form0 == form1 {
			t.Fatal("the two sets have the same form: this test shows nothing")
		}
		c.cfg.Shards = shards
		done, err := Copy(t.Context(), plan, c.cfg)
		done.Scanned, done.Bytes = 0, 0
		if report := c.cfg.Conflict == ReportConflict; report != errors.Is(err, ErrConflict) || !report && err != nil || done != c.want {
			t.Errorf("%s: %+v, %v; want %+v", name, done, err, c.want)
		}
		if get("s0", key[0]) != c.source || get("s1", key[0]) != c.got {
			t.Errorf("%s: the source has %q, the target %q; want %q, %q", name, get("s0", key[0]), get("s1", key[0]), c.source, c.got)
		}
		for _, k := range key[1:3] {
			if v := get("s0", k); (v != "") != c.cfg.Keep || get("s1", k) == "" {
				t.Errorf("%s: %s is %q on the source, %q on the target", name, k, v, get("s1", k))
			}
		}
	}
}

// Somebody who writes to the source meanwhile is noticed.
func TestCopyNoticesWriters(t *testing.T) {
	s := servers(t, 2, redstarttest.ServerConfig{})
	one, both := open(t, config(s[0].URL())), open(t, config(s[0].URL(), s[1].URL()))
	shards, err := both.Shards(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	fill(t, one, 200)
	moving := keysOn(both, "s1", 300)[299]
	_, err = Copy(t.Context(), Plan(one.Layout(), both.Layout()), CopyConfig{Shards: shards, Progress: func(Copied) {
		if err := one.Do(t.Context(), one.B().Set().Key(moving).Value("late").Build()).Error(); err != nil {
			t.Error(err)
		}
	}})
	if err == nil || !strings.Contains(err.Error(), "1 keys appeared") {
		t.Errorf("Copy = %v", err)
	}
	if v, err := one.Do(t.Context(), one.B().Get().Key(moving).Build()).ToString(); v != "late" || err != nil {
		t.Errorf("what was written is %q, %v", v, err)
	}
}

func TestRestored(t *testing.T) {
	for pttl, want := range map[int64]struct {
		ttl   int64
		there bool
	}{-2: {0, false}, -1: {0, true}, 0: {1, true}, 1: {1, true}, 600_000: {600_000, true}} {
		if ttl, there := restored(pttl); ttl != want.ttl || there != want.there {
			t.Errorf("PTTL %d is restored as %d, %v", pttl, ttl, there)
		}
	}
}

func TestCopyRefuses(t *testing.T) {
	s := servers(t, 1, redstarttest.ServerConfig{})
	clients := map[string]*redstart.Client{}
	for _, name := range []string{"a", "b"} {
		c, err := redstart.Open(t.Context(), s[0].URL(), redstart.Config{})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		clients[name] = c
	}
	if _, err := Copy(t.Context(), []Move{{1, "a", "b"}}, CopyConfig{Shards: clients}); err == nil || !strings.Contains(err.Error(), "same database of the same server") {
		t.Errorf("two names of one server: %v", err)
	}
	_, err := Copy(t.Context(), []Move{{1, "a", "x"}, {2, "b", "b"}}, CopyConfig{Shards: clients, Batch: -1, Conflict: 9})
	for _, want := range []string{`no client for "x"`, "moves slot 2", "Batch", "Conflict is 9"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not say %q: %v", want, err)
		}
	}
	if done, err := Copy(t.Context(), nil, CopyConfig{}); err != nil || done != (Copied{}) {
		t.Errorf("an empty plan: %+v, %v", done, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Copy(ctx, []Move{{1, "a", "b"}}, CopyConfig{Shards: clients}); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled context: %v", err)
	}
}
