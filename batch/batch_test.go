package batch

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/redstart-go/redstart"
)

func TestGetSetDel(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		c := open(t, url, redstart.Config{})
		ctx := t.Context()
		for _, cfg := range []Config{{}, {Size: 1}, {Size: 7, InFlight: 1}, {Size: 1000, InFlight: 9}, {Bytes: 1}} {
			for _, n := range []int{0, 1, 6, 100, 101, 1234} {
				name := fmt.Sprintf("%+v, %d", cfg, n)
				check := func(verb string, results iter.Seq[Result], want func(int, Result) bool) {
					t.Helper()
					i := 0
					for r := range results {
						if r.Index != i || r.Key != keyAt(i) || r.Err != nil || !want(i, r) {
							t.Fatalf("%s: %s: result %d is %+v", name, verb, i, r)
						}
						i++
					}
					if i != n {
						t.Fatalf("%s: %s: %d results, want %d", name, verb, i, n)
					}
				}
				check("Set", Set(ctx, c, entries(n), cfg), func(int, Result) bool { return true })
				check("Get", Get(ctx, c, keys(n), cfg), func(i int, r Result) bool { return r.Found && r.Value == valueAt(i) })
				check("Del", Del(ctx, c, keys(n), cfg), func(_ int, r Result) bool { return r.Found })
				check("Get, none", Get(ctx, c, keys(n), cfg), func(_ int, r Result) bool { return !r.Found && r.Value == "" })
				check("Del, none", Del(ctx, c, keys(n), cfg), func(_ int, r Result) bool { return !r.Found })
			}
		}
	})
}

func TestSetTTL(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		c := open(t, url, redstart.Config{})
		var errs []error
		for r := range Set(t.Context(), c, slices.Values([]Entry{
			{Key: "a", Value: "1", TTL: time.Minute}, {Key: "b", Value: "2"}, {Key: "c", Value: "3", TTL: -1}, {Key: "d", Value: "4", TTL: time.Microsecond},
		}), Config{}) {
			errs = append(errs, r.Err)
		}
		if errs[0] != nil || errs[1] != nil || !errors.Is(errs[2], redstart.ErrRefused) || !errors.Is(errs[3], redstart.ErrRefused) {
			t.Errorf("errors: %v", errs)
		}
		for key, want := range map[string]func(int64) bool{
			"a": func(n int64) bool { return n > 50_000 && n <= 60_000 }, "b": func(n int64) bool { return n == -1 }, "c": func(n int64) bool { return n == -2 }, "d": func(n int64) bool { return n == -2 },
		} {
			if n, err := c.Do(t.Context(), c.B().Pttl().Key(key).Build()).AsInt64(); err != nil || !want(n) {
				t.Errorf("PTTL %s = %d, %v", key, n, err)
			}
		}
	})
}

// An item that fails fails alone, its error names no key, and what must not
// travel in a batch is refused without harm to its neighbours.
func TestItemsFailAlone(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		c := open(t, url, redstart.Config{})
		if err := c.Do(t.Context(), c.B().Rpush().Key("secret:list").Element("x").Build()).Error(); err != nil {
			t.Fatal(err)
		}
		unfit := [][]string{
			nil,
			{""},
			{"multi"},
			{"EXEC"},
			{"watch", "secret:list"},
			{"SELECT", "1"},
			{"subscribe", "x"},
			{"BLPOP", "secret:list", "0"},
			{"HELLO"},
			{"client", "reply", "OFF"},
			{"XREAD", "COUNT", "1", "block", "0", "STREAMS", "s", "$"},
			{"monitor"},
		}
		var commands []Command
		for i := range 300 {
			cmd := Command{Words: []string{"INCR", keyAt(i % 5)}, Key: keyAt(i % 5)}
			switch i % 7 {
			case 3:
				cmd = Command{Words: []string{"INCR", "secret:list"}, Key: "secret:list"}
			case 5:
				cmd = Command{Words: unfit[i/7%len(unfit)], Key: "secret:list"}
			}
			commands = append(commands, cmd)
		}
		counts := map[string]int64{}
		n := 0
		for r := range Do(t.Context(), c, slices.Values(commands), Config{Size: 16}) {
			n = r.Index + 1
			switch r.Index % 7 {
			case 3:
				if e := (*redstart.Error)(nil); !errors.As(r.Err, &e) || e.Code != "WRONGTYPE" && !strings.Contains(r.Err.Error(), "WRONGTYPE") ||
					e.Key != "secret:list" || strings.Contains(r.Err.Error(), "secret") || redstart.OutcomeOf(r.Err) != redstart.NotApplied {
					t.Fatalf("INCR of a list: %v", r.Err)
				}
			case 5:
				if !errors.Is(r.Err, redstart.ErrRefused) || redstart.OutcomeOf(r.Err) != redstart.NotApplied || strings.Contains(r.Err.Error(), "secret") {
					t.Fatalf("%v: %v", commands[r.Index].Words, r.Err)
				}
			default:
				counts[r.Key]++
				if v, err := r.Reply.AsInt64(); r.Err != nil || err != nil || v != counts[r.Key] {
					t.Fatalf("INCR: %d, %v, %v, want %d", v, err, r.Err, counts[r.Key])
				}
			}
		}
		if n != len(commands) {
			t.Errorf("%d results", n)
		}
	})
}

// The items on one key run in their order.
func TestOrderOfAKey(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		c := open(t, url, redstart.Config{Pipelines: 4})
		const n, lists = 3000, 7
		input := func(yield func(Command) bool) {
			for i := range n {
				key := keyAt(i % lists)
				if !yield(Command{Words: []string{"RPUSH", key, fmt.Sprint(i)}, Key: key}) {
					return
				}
			}
		}
		for r := range Do(t.Context(), c, input, Config{Size: 10, InFlight: 8}) {
			if r.Err != nil {
				t.Fatal(r.Err)
			}
		}
		for list := range lists {
			got, err := c.Do(t.Context(), c.B().Lrange().Key(keyAt(list)).Start(0).Stop(-1).Build()).AsStrSlice()
			if err != nil {
				t.Fatal(err)
			}
			for i, v := range got {
				if v != fmt.Sprint(i*lists+list) {
					t.Fatalf("list %d holds %s at %d", list, v, i)
				}
			}
		}
	})
}

func TestScriptsInABatch(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		c := open(t, url, redstart.Config{})
		add := redstart.NewScript("add", "return redis.call('INCRBY', KEYS[1], ARGV[1])")
		const n = 2000
		input := func(yield func(Command) bool) {
			for i := range n {
				if i%10 == 0 {
					// The server forgets every script while batches are on their way.
					if err := c.Do(t.Context(), c.B().ScriptFlush().Build()).Error(); err != nil {
						t.Error(err)
					}
				}
				if !yield(Eval(c, add, []string{keyAt(i % 20)}, []string{"1"})) {
					return
				}
			}
		}
		for r := range Do(t.Context(), c, input, Config{Size: 20}) {
			if r.Err != nil {
				t.Fatalf("a script in a batch: %v", r.Err)
			}
		}
		for i := range 20 {
			if v, err := c.Do(t.Context(), c.B().Get().Key(keyAt(i)).Build()).AsInt64(); err != nil || v != n/20 {
				t.Errorf("%s = %d, %v, want %d", keyAt(i), v, err, n/20)
			}
		}
	})
}

func TestConfigReportsAllAtOnce(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		c := open(t, url, redstart.Config{})
		taken := false
		input := func(func(string) bool) { taken = true }
		n := 0
		for r := range Get(t.Context(), c, input, Config{Size: -1, Bytes: -5, InFlight: 5000}) {
			n++
			for _, field := range []string{"Size", "Bytes", "InFlight"} {
				if r.Err == nil || !strings.Contains(r.Err.Error(), field+": ") {
					t.Errorf("%s is not in %v", field, r.Err)
				}
			}
			if redstart.OutcomeOf(r.Err) != redstart.NotApplied {
				t.Errorf("OutcomeOf = %v", redstart.OutcomeOf(r.Err))
			}
		}
		if n != 1 || taken {
			t.Errorf("%d results, input read: %v", n, taken)
		}
		for _, err := range Scan(t.Context(), c, "*", ScanConfig{Count: -1, Window: maxWindow + 1}) {
			if err == nil || !strings.Contains(err.Error(), "Count: ") || !strings.Contains(err.Error(), "Window: ") {
				t.Errorf("Scan: %v", err)
			}
		}
	})
}

func TestProgress(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		c := open(t, url, redstart.Config{})
		var told []Progress
		cfg := Config{Size: 10, Progress: func(p Progress) { told = append(told, p) }}
		commands := make([]Command, 105)
		for i := range commands {
			commands[i] = Command{Words: []string{"PING"}}
		}
		commands[50].Words = []string{"NOSUCH"}
		commands[60].Words = nil
		for range Do(t.Context(), c, slices.Values(commands), cfg) {
		}
		if len(told) < 11 {
			t.Fatalf("told %d times", len(told))
		}
		for i := 1; i < len(told); i++ {
			if told[i].Done < told[i-1].Done || told[i].Done > told[i].Taken || told[i].Elapsed < told[i-1].Elapsed {
				t.Errorf("%+v after %+v", told[i], told[i-1])
			}
		}
		if last := told[len(told)-1]; last.Taken != 105 || last.Done != 105 || last.Failed != 2 || last.Repeats != 0 || last.Elapsed <= 0 {
			t.Errorf("at the end: %+v", last)
		}
	})
}

// A loop that is left stops reading its input.
func TestBreak(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		c := open(t, url, redstart.Config{})
		taken, stopped := 0, false
		input := func(yield func(string) bool) {
			defer func() { stopped = true }()
			for i := 0; yield(keyAt(i)); i++ {
				taken++
			}
		}
		cfg := Config{Size: 5, InFlight: 2}
		for r := range Get(t.Context(), c, input, cfg) {
			if r.Err != nil {
				t.Fatal(r.Err)
			}
			if r.Index == 30 {
				break
			}
		}
		if !stopped || taken > 31+2*5*2 {
			t.Errorf("%d items were taken of an endless input, stopped: %v", taken, stopped)
		}
	})
}

// A run whose context has ended says so, whatever it had sent.
func TestContextEnds(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		c := open(t, url, redstart.Config{})
		for _, after := range []int{0, 1, 57} {
			ctx, cancel := context.WithCancel(t.Context())
			if after == 0 {
				cancel()
			}
			endless := func(yield func(Entry) bool) {
				for i := 0; yield(Entry{Key: keyAt(i), Value: "x"}); i++ {
				}
			}
			var last Result
			next := 0
			for r := range Set(ctx, c, endless, Config{Size: 10}) {
				if r.Index != next {
					t.Fatalf("result %d after %d", r.Index, next-1)
				}
				if next++; next == after {
					cancel()
				}
				last = r
			}
			cancel()
			if !errors.Is(last.Err, context.Canceled) || last.Key != "" || redstart.OutcomeOf(last.Err) != redstart.NotApplied {
				t.Errorf("after %d: the last result is %+v", after, last)
			}
		}
	})
}

// An input that panics takes the run down with it, and leaves nothing behind.
func TestInputPanics(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		c := open(t, url, redstart.Config{})
		defer func() {
			if v := recover(); v != "the input" {
				t.Errorf("recovered %v", v)
			}
		}()
		for range Get(t.Context(), c, func(yield func(string) bool) {
			for i := 0; i < 50 && yield(keyAt(i)); i++ {
			}
			panic("the input")
		}, Config{Size: 3}) {
		}
	})
}

// What is read and written here is what a plain client sees.
func TestAgainstAPlainClient(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		c := open(t, url, redstart.Config{})
		want := map[string]string{"": "no key", "a": "", "b\r\n": "\x00\xff", "{t}x": strings.Repeat("long", 100_000)}
		for r := range Set(t.Context(), c, func(yield func(Entry) bool) {
			for k, v := range maps.All(want) {
				if !yield(Entry{Key: k, Value: v}) {
					return
				}
			}
		}, Config{Bytes: 1000}) {
			if r.Err != nil {
				t.Fatal(r.Err)
			}
		}
		for k, v := range want {
			if got, err := c.Do(t.Context(), c.B().Get().Key(k).Build()).ToString(); err != nil || got != v {
				t.Errorf("%q: %d bytes, %v", k, len(got), err)
			}
		}
		for r := range Get(t.Context(), c, maps.Keys(want), Config{}) {
			if r.Err != nil || r.Value != want[r.Key] {
				t.Errorf("%q: %d bytes, %v", r.Key, len(r.Value), r.Err)
			}
		}
		for r := range Do(t.Context(), c, slices.Values([]Command{{Words: []string{"GET", "none"}, Key: "none"}}), Config{}) {
			if r.Err != nil || !r.Reply.IsNil() || !rueidis.IsRedisNil(r.Reply.Error()) {
				t.Errorf("a nil reply: %+v", r)
			}
		}
	})
}
