package shard

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/redstarttest"
)

// set stores key -> key for n keys of every shard, and gives the keys mixed.
func fill(t *testing.T, c *Client, n int) []string {
	t.Helper()
	var keys []string
	for _, m := range c.Layout().Members() {
		keys = append(keys, keysOn(c, m.Name, n)...)
	}
	slices.Sort(keys) // by number, so the shards take turns
	for _, k := range keys {
		if err := c.Do(t.Context(), c.B().Set().Key(k).Value(k).Build()).Error(); err != nil {
			t.Fatal(err)
		}
	}
	return keys
}

// Every key is where the layout says, and nowhere else.
func TestKeysGoToTheirShard(t *testing.T) {
	onServers(t, 3, func(t *testing.T, urls []string) {
		c := open(t, config(urls...))
		keys := fill(t, c, 5)
		for name, node := range c.Nodes() {
			for _, k := range keys {
				got, err := node.Do(t.Context(), node.B().Get().Key(k).Build()).ToString()
				if mine := c.Shard(k) == name; mine && got != k || !mine && !rueidis.IsRedisNil(err) {
					t.Errorf("%s has %q = %q, %v; its shard is %s", name, k, got, err, c.Shard(k))
				}
			}
		}
		if len(c.Nodes()) != 3 || c.Mode() != rueidis.ClientModeCluster {
			t.Errorf("%d nodes, mode %v", len(c.Nodes()), c.Mode())
		}
	})
}

// A read of many keys is answered as one server would.
func TestReadsAreMerged(t *testing.T) {
	onServers(t, 3, func(t *testing.T, urls []string) {
		c, ctx := open(t, config(urls...)), t.Context()
		keys := fill(t, c, 4)
		ask := append(append([]string{"absent:1", keys[3]}, keys...), "absent:2", keys[3])

		check := func(how string, r rueidis.RedisResult) {
			t.Helper()
			got, err := r.ToArray()
			if err != nil || len(got) != len(ask) || r.IsCacheHit() {
				t.Fatalf("%s: %d elements of %d, %v, cached %v", how, len(got), len(ask), err, r.IsCacheHit())
			}
			for i, k := range ask {
				v, err := got[i].ToString()
				if absent := strings.HasPrefix(k, "absent"); absent != rueidis.IsRedisNil(err) || !absent && v != k {
					t.Errorf("%s: element %d is %q, %v; want %q", how, i, v, err, k)
				}
			}
		}
		check("Do", c.Do(ctx, c.B().Mget().Key(ask...).Build()))
		check("in lower case", c.Do(ctx, c.B().Arbitrary("mget").Keys(ask...).Build()))
		check("DoCache", c.DoCache(ctx, c.B().Mget().Key(ask...).Cache(), time.Minute))
		check("DoMulti", c.DoMulti(ctx, c.B().Set().Key("x").Value("y").Build(), c.B().Mget().Key(ask...).Build())[1])

		for verb, cmd := range map[string]rueidis.Completed{
			"EXISTS": c.B().Exists().Key(ask...).Build(), "TOUCH": c.B().Touch().Key(ask...).Build(),
		} {
			if n, err := c.Do(ctx, cmd).AsInt64(); err != nil || n != int64(len(ask)-2) {
				t.Errorf("%s = %d, %v; want %d", verb, n, err, len(ask)-2)
			}
		}
		if n, err := c.Do(ctx, c.B().Dbsize().Build()).AsInt64(); err != nil || n != int64(len(keys)+1) {
			t.Errorf("DBSIZE = %d, %v; want %d", n, err, len(keys)+1)
		}
		m, err := rueidis.MGet(c, ctx, ask)
		if err != nil || len(m) != len(keys)+2 {
			t.Errorf("rueidis.MGet gives %d keys, %v", len(m), err)
		}
		results := c.DoMultiCache(ctx, rueidis.CT(c.B().Get().Key(keys[0]).Cache(), time.Minute), rueidis.CT(c.B().Get().Key("absent:1").Cache(), time.Minute),
			rueidis.CT(c.B().Get().Key(keys[5]).Cache(), time.Minute), rueidis.CT(c.B().Mget().Key(ask...).Cache(), time.Minute))
		for i, want := range []string{keys[0], "", keys[5]} {
			if got, err := results[i].ToString(); got != want || (want == "") != rueidis.IsRedisNil(err) {
				t.Errorf("DoMultiCache %d = %q, %v; want %q", i, got, err, want)
			}
		}
		check("DoMultiCache", results[3])
	})
}

// A command sees what the ones before it in its batch did to its key, merged
// reads included.
func TestBatchKeepsOrder(t *testing.T) {
	onServers(t, 3, func(t *testing.T, urls []string) {
		c, ctx := open(t, config(urls...)), t.Context()
		keys := fill(t, c, 2)
		var multi rueidis.Commands
		for _, k := range keys {
			multi = append(multi, c.B().Append().Key(k).Value("+1").Build())
		}
		multi = append(multi, c.B().Mget().Key(keys...).Build())
		for _, k := range keys {
			multi = append(multi, c.B().Append().Key(k).Value("+2").Build(), c.B().Get().Key(k).Build())
		}
		results := c.DoMulti(ctx, multi...)
		between, err := results[len(keys)].AsStrSlice()
		for i, k := range keys {
			after, err2 := results[len(keys)+2+2*i].ToString()
			if err != nil || err2 != nil || between[i] != k+"+1" || after != k+"+1+2" {
				t.Fatalf("%q is %q, then %q; %v, %v", k, between[i], after, err, err2)
			}
		}
	})
}

// What cannot be done on one shard is refused, with the reason, before anything
// is sent.
func TestRefusals(t *testing.T) {
	onServers(t, 3, func(t *testing.T, urls []string) {
		c, ctx := open(t, config(urls...)), t.Context()
		keys := fill(t, c, 1)
		a, b := keys[0], keys[1]
		same := keysOn(c, c.Shard(a), 2) // another slot, the same shard
		cross := [][]string{
			{"MSET", a, "1", b, "2"},
			{"DEL", a, b},
			{"UNLINK", a, b},
			{"RENAME", a, b},
			{"SINTER", a, b},
			{"PFCOUNT", a, b},
			{"EVAL", "return redis.call('SET', KEYS[1], 'x')", "2", a, b},
			{"ZUNIONSTORE", a, "1", b},
			{"bitop", "and", a, b},
			{"MSET", same[0], "1", same[1], "2"},
			{"SORT", a, "STORE", b},
			{"BLMPOP", "0", "2", a, b, "LEFT"},
			{"XREAD", "STREAMS", a, b, "0", "0"},
		}
		other := [][]string{
			{"FLUSHALL"},
			{"flushdb"},
			{"KEYS", "*"},
			{"SCAN", "0"},
			{"RANDOMKEY"},
			{"INFO"},
			{"CONFIG", "GET", "*"},
			{"MULTI"},
			{"EXEC"},
			{"WAIT", "0", "0"},
			{"CLIENT", "ID"},
			{"UNWATCH"},
			{"EVAL", "return 1", "0"},
			{"EVAL", "return 1", "x"},
			{"SORT", a, "BY", "w_*"},
			{"MIGRATE", "h", "1", a, "0", "1"},
			{"NOSUCH", a},
			{"GET"},
			{"OBJECT", "HELP"},
			{"SCRIPT", "KILL"},
			{"FT.SEARCH", "idx", "*"},
			{"SELECT", "1"},
		}
		for i, words := range append(cross, other...) {
			cmd := func() rueidis.Completed { return c.B().Arbitrary(words...).Build() }
			for how, err := range map[string]error{
				"Do":       c.Do(ctx, cmd()).Error(),
				"DoMulti":  c.DoMulti(ctx, c.B().Get().Key(a).Build(), cmd())[1].Error(),
				"DoStream": func() error { r := c.DoStream(ctx, cmd()); return r.Error() }(),
			} {
				var e *redstart.Error
				if strings.HasPrefix(words[0], "WAIT") && how == "DoMulti" { // it follows the GET
					continue
				}
				if !errors.As(err, &e) || !errors.Is(err, redstart.ErrRefused) || redstart.OutcomeOf(err) != redstart.NotApplied {
					t.Errorf("%v by %s = %v", words, how, err)
					continue
				}
				if i < len(cross) {
					named := strings.Contains(err.Error(), c.Shard(a)) && (strings.Contains(err.Error(), c.Shard(b)) || words[1] == same[0])
					if e.Code != "CROSSSLOT" || !named || strings.Contains(err.Error(), a) {
						t.Errorf("%v by %s: code %q, %v", words, how, e.Code, err)
					}
				}
			}
		}
		for _, k := range keys {
			if v, err := c.Do(ctx, c.B().Get().Key(k).Build()).ToString(); v != k || err != nil {
				t.Errorf("after the refusals %q = %q, %v", k, v, err)
			}
		}
		if v, err := c.Do(ctx, c.B().Mset().KeyValue().KeyValue("{t}1", "1").KeyValue("{t}2", "2").Build()).ToString(); v != "OK" || err != nil {
			t.Errorf("MSET within a slot = %q, %v", v, err)
		}
	})
}

func TestTransactions(t *testing.T) {
	onServers(t, 3, func(t *testing.T, urls []string) {
		c, ctx := open(t, config(urls...)), t.Context()
		keys := fill(t, c, 1)
		b := c.B()
		results := c.DoMulti(ctx, b.Get().Key(keys[0]).Build(),
			b.Multi().Build(), b.Set().Key("{"+keys[1]+"}1").Value("x").Build(), b.Get().Key("{"+keys[1]+"}1").Build(), b.Exec().Build(),
			b.Get().Key(keys[2]).Build())
		if got, err := results[4].AsStrSlice(); err != nil || !slices.Equal(got, []string{"OK", "x"}) {
			t.Errorf("EXEC = %q, %v", got, err)
		}
		for i, k := range map[int]string{0: keys[0], 5: keys[2]} {
			if got, err := results[i].ToString(); got != k || err != nil {
				t.Errorf("beside the transaction %q = %q, %v", k, got, err)
			}
		}
		for name, block := range map[string][]rueidis.Completed{
			"two slots": {b.Multi().Build(), b.Incr().Key("{a}n").Build(), b.Incr().Key("{b}n").Build(), b.Exec().Build()},
			"no end":    {b.Multi().Build(), b.Incr().Key("{a}n").Build(), b.Incr().Key("{a}n").Build()},
			"no key":    {b.Multi().Build(), b.Ping().Build(), b.Exec().Build()},
			"all":       {b.Multi().Build(), b.Incr().Key("{a}n").Build(), b.ScriptLoad().Script("return 1").Build(), b.Exec().Build()},
		} {
			for i, r := range c.DoMulti(ctx, append([]rueidis.Completed{b.Get().Key(keys[0]).Build()}, block...)...) {
				if err := r.Error(); (i == 0) != (err == nil) || i > 0 && !errors.Is(err, redstart.ErrRefused) {
					t.Errorf("%s: command %d: %v", name, i, err)
				}
			}
		}
		if n, err := c.Do(ctx, b.Exists().Key("{a}n", "{b}n").Build()).AsInt64(); n != 0 || err != nil {
			t.Errorf("a refused transaction wrote: %d, %v", n, err)
		}
		if got, err := c.DoMulti(ctx, b.Set().Key("w").Value("1").Build(), b.Wait().Numreplicas(0).Timeout(1).Build())[1].AsInt64(); got != 0 || err != nil {
			t.Errorf("WAIT = %d, %v", got, err)
		}
	})
}

func TestCommandsWithoutKeys(t *testing.T) {
	onServers(t, 3, func(t *testing.T, urls []string) {
		c, ctx := open(t, config(urls...)), t.Context()
		b := c.B()
		if got, err := c.Do(ctx, b.Ping().Build()).ToString(); got != "PONG" || err != nil {
			t.Errorf("PING = %q, %v", got, err)
		}
		if got, err := c.Do(ctx, b.Echo().Message("x").Build()).ToString(); got != "x" || err != nil {
			t.Errorf("ECHO = %q, %v", got, err)
		}
		sha, err := c.Do(ctx, b.ScriptLoad().Script("return KEYS[1]").Build()).ToString()
		if err != nil || len(sha) != 40 {
			t.Fatalf("SCRIPT LOAD = %q, %v", sha, err)
		}
		for name, n := range c.Nodes() {
			if has, err := n.Do(ctx, n.B().ScriptExists().Sha1(sha).Build()).AsIntSlice(); err != nil || has[0] != 1 {
				t.Errorf("%s has the script: %v, %v", name, has, err)
			}
		}
		for _, k := range []string{"a", "b", "c", "d", "e"} {
			if got, err := c.Do(ctx, b.Evalsha().Sha1(sha).Numkeys(1).Key(k).Build()).ToString(); got != k || err != nil {
				t.Errorf("EVALSHA %s = %q, %v", k, got, err)
			}
		}
		if has, err := c.Do(ctx, b.ScriptExists().Sha1(sha, strings.Repeat("0", 40)).Build()).AsIntSlice(); err != nil || !slices.Equal(has, []int64{1, 0}) {
			t.Errorf("SCRIPT EXISTS = %v, %v", has, err)
		}
		if err := c.Do(ctx, b.ScriptFlush().Build()).Error(); err != nil {
			t.Error(err)
		}
		if has, err := c.Do(ctx, b.ScriptExists().Sha1(sha).Build()).AsIntSlice(); err != nil || has[0] != 0 {
			t.Errorf("SCRIPT EXISTS after SCRIPT FLUSH = %v, %v", has, err)
		}
		if results := c.DoMulti(ctx); len(results) != 0 {
			t.Errorf("no commands: %v", results)
		}
	})
}

func TestStreamsOfReplies(t *testing.T) {
	onServers(t, 3, func(t *testing.T, urls []string) {
		c, ctx := open(t, config(urls...)), t.Context()
		keys := fill(t, c, 1)
		var out strings.Builder
		s := c.DoStream(ctx, c.B().Get().Key(keys[1]).Build())
		if _, err := s.WriteTo(&out); err != nil || out.String() != keys[1] {
			t.Errorf("DoStream = %q, %v", out.String(), err)
		}
		out.Reset()
		m := c.DoMultiStream(ctx, c.B().Get().Key(keys[0]).Build(), c.B().Strlen().Key(keys[0]).Build())
		for m.HasNext() {
			if _, err := m.WriteTo(&out); err != nil {
				t.Fatal(err)
			}
		}
		if want := fmt.Sprint(keys[0], len(keys[0])); out.String() != want {
			t.Errorf("DoMultiStream = %q, want %q", out.String(), want)
		}
		if s := c.DoMultiStream(ctx, c.B().Get().Key(keys[0]).Build(), c.B().Get().Key(keys[1]).Build()); !errors.Is(s.Error(), redstart.ErrRefused) {
			t.Errorf("two slots: %v", s.Error())
		}
	})
}

func TestClosed(t *testing.T) {
	s := redstarttest.Run(t, redstarttest.ServerConfig{})
	given, err := redstart.Open(t.Context(), s.URL(), redstart.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer given.Close()
	c := open(t, Config{Shards: []Shard{{Name: "given", Client: given}}})
	c.Close()
	c.Close()
	if err := c.Do(t.Context(), c.B().Get().Key("k").Build()).Error(); !errors.Is(err, redstart.ErrClosed) || redstart.OutcomeOf(err) != redstart.NotApplied {
		t.Errorf("after Close: %v", err)
	}
	if err := given.Do(t.Context(), given.B().Ping().Build()).Error(); err != nil {
		t.Errorf("the given client: %v", err)
	}
}

func TestConfigRefuses(t *testing.T) {
	_, err := Open(t.Context(), Config{ReopenPause: -1, Shards: []Shard{
		{Name: "a"}, {Name: "a", URL: "redis://127.0.0.1:1"}, {Name: "b c", URL: "redis://127.0.0.1:1", Weight: -1},
	}})
	for _, want := range []string{`shard "a": give either`, `"a" is given twice`, "have the same URL", `"b c" is empty, or holds`, "weight of", "ReopenPause"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not say %q: %v", want, err)
		}
	}
}
