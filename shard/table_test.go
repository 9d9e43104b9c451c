package shard

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/redis/rueidis"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/redstarttest"
)

// told is what a server says of a command.
type told struct {
	arity             int
	movable, channels bool
	first, last, step int
}

// told asks a server for its commands, by the names that the table uses.
func commandsOf(t *testing.T, c *redstart.Client) map[string]told {
	t.Helper()
	list, err := c.Do(t.Context(), c.B().Command().Build()).ToArray()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]told{}
	var read func(m rueidis.RedisMessage)
	read = func(m rueidis.RedisMessage) {
		e, err := m.ToArray()
		if err != nil || len(e) < 10 {
			t.Fatalf("COMMAND says %v, %v", e, err)
		}
		name, _ := e[0].ToString()
		number := func(i int) int { n, _ := e[i].AsInt64(); return int(n) }
		flags, _ := e[2].AsStrSlice()
		specs, _ := e[8].ToArray()
		c := told{arity: number(1), movable: slices.Contains(flags, "movablekeys"), first: number(3), last: number(4), step: number(5)}
		for _, s := range specs {
			if spec, err := s.AsMap(); err == nil {
				m := spec["flags"]
				f, _ := m.AsStrSlice()
				c.channels = c.channels || slices.Contains(f, "not_key")
			}
		}
		all[strings.ToUpper(name)] = c
		subs, _ := e[9].ToArray()
		for _, s := range subs {
			read(s)
		}
	}
	for _, m := range list {
		read(m)
	}
	return all
}

// examples are words for the commands whose words decide where the keys are.
var examples = map[string][]string{
	"EVAL":              {"EVAL return 1 2 k1 k2 a", "EVAL x 1 k"},
	"EVALSHA":           {"EVALSHA sha 1 k a"},
	"EVAL_RO":           {"EVAL_RO x 2 k1 k2"},
	"EVALSHA_RO":        {"EVALSHA_RO sha 1 k 2"},
	"FCALL":             {"FCALL f 1 k a"},
	"FCALL_RO":          {"FCALL_RO f 2 k1 k2"},
	"ZDIFF":             {"ZDIFF 2 k1 k2 WITHSCORES"},
	"ZINTER":            {"ZINTER 2 k1 k2 WEIGHTS 1 2"},
	"ZUNION":            {"ZUNION 1 k AGGREGATE SUM"},
	"ZINTERCARD":        {"ZINTERCARD 2 k1 k2 LIMIT 3"},
	"SINTERCARD":        {"SINTERCARD 2 k1 k2 LIMIT 3"},
	"LMPOP":             {"LMPOP 2 k1 k2 LEFT COUNT 1"},
	"ZMPOP":             {"ZMPOP 2 k1 k2 MIN"},
	"BLMPOP":            {"BLMPOP 0 2 k1 k2 LEFT"},
	"BZMPOP":            {"BZMPOP 0 2 k1 k2 MIN"},
	"ZDIFFSTORE":        {"ZDIFFSTORE d 2 k1 k2"},
	"ZINTERSTORE":       {"ZINTERSTORE d 2 k1 k2 WEIGHTS 1 2"},
	"ZUNIONSTORE":       {"ZUNIONSTORE d 1 k1"},
	"MSETEX":            {"MSETEX 2 k1 1 k2 2 NX EX 10"},
	"XREAD":             {"XREAD STREAMS k1 0", "XREAD COUNT 2 BLOCK 0 STREAMS streams k2 0 0"},
	"XREADGROUP":        {"XREADGROUP GROUP STREAMS c COUNT 1 NOACK STREAMS k1 k2 > >"},
	"SORT":              {"SORT k LIMIT 0 1 ASC ALPHA", "SORT k STORE d", "SORT k BY nosort GET # STORE d"},
	"SORT_RO":           {"SORT_RO k LIMIT 0 1"},
	"GEORADIUS":         {"GEORADIUS k 1 2 3 m", "GEORADIUS k 1 2 3 m STORE d", "GEORADIUS k 1 2 3 km ASC STOREDIST d"},
	"GEORADIUSBYMEMBER": {"GEORADIUSBYMEMBER k STORE 3 m", "GEORADIUSBYMEMBER k m 3 m STORE d"},
}

// not for clients: the table leaves them out, and so they are refused.
var leftOut = []string{"RESTORE-ASKING", "PFDEBUG", "MIGRATE", "DEBUG"}

// The table says of every command what the server says: which words are keys.
// And every command of the server is in the table.
func TestTableIsWhatServersSay(t *testing.T) {
	launchers := redstarttest.Launchers()
	if len(launchers) == 0 {
		redstarttest.Run(t, redstarttest.ServerConfig{})
	}
	for _, l := range launchers {
		t.Run(l.Name, func(t *testing.T) {
			c, err := redstart.Open(t.Context(), redstarttest.Run(t, redstarttest.ServerConfig{Path: l.Path}).URL(), redstart.Config{})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			server := commandsOf(t, c)
			checked := 0
			for _, name := range slices.Sorted(maps.Keys(table)) {
				if s := table[name]; s.kind == keyed || s.kind == split {
					if told, known := server[name]; known {
						sameKeys(t, c, s, told)
						checked++
					}
				}
			}
			for _, name := range slices.Sorted(maps.Keys(server)) {
				has := server[name]
				verb, sub, _ := strings.Cut(name, "|")
				s := lookup([]string{verb, sub})
				switch {
				case slices.Contains(leftOut, verb):
				case has.channels || strings.HasSuffix(verb, "SUBSCRIBE"):
					if s.kind == keyed || s.kind == split {
						t.Errorf("%s names channels, the table says keys", name)
					}
				case has.first > 0 || has.movable:
					if s.kind != keyed && s.kind != split {
						t.Errorf("%s has keys at %d to %d (movable %v), and the table says that it has none, or refuses it", name, has.first, has.last, has.movable)
					}
				case s == unlisted && (has.first != 0 || sub == ""):
					t.Logf("%s is refused as unknown", name)
				case s.kind == keyed || s.kind == split:
					t.Errorf("%s has no keys, and the table says that it has", name)
				}
			}
			t.Logf("%d commands of the table checked, of %d that the server has", checked, len(server))
			if checked < 180 {
				t.Errorf("only %d commands were checked", checked)
			}
		})
	}
}

// sameKeys holds one command against COMMAND INFO and COMMAND GETKEYS.
func sameKeys(t *testing.T, c *redstart.Client, s *spec, told told) {
	t.Helper()
	words := examples[s.name]
	if s.find == nil {
		if told.movable && s.name != "MEMORY|USAGE" {
			t.Errorf("%s: the words decide where its keys are, and the table has them fixed", s.name)
		}
		if s.first != told.first || s.last != told.last || s.step != told.step {
			t.Errorf("%s: keys at %d to %d by %d, the server says %d to %d by %d", s.name, s.first, s.last, s.step, told.first, told.last, told.step)
		}
		words = []string{sample(s, told.arity)}
	} else if len(words) == 0 {
		t.Errorf("%s has no example", s.name)
	}
	for _, line := range words {
		w := strings.Fields(line)
		want, err := c.Do(t.Context(), c.B().Arbitrary("COMMAND", "GETKEYS").Args(w...).Build()).AsStrSlice()
		got := s.keys(w)
		slices.Sort(got) // GETKEYS has them in an order of its own
		slices.Sort(want)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: keys %q, the server says %q, %v", line, got, want, err)
		}
		if found := lookup(w); found != s {
			t.Errorf("%s is looked up as %q", line, found.name)
		}
	}
}

// sample is words for a command with keys at fixed words: as many as its arity
// wants, and three groups where keys repeat.
func sample(s *spec, arity int) string {
	n := max(arity, -arity, s.first+1) // modules say -1 for any number
	if s.last < 0 && arity < 0 {
		n = max(n, s.first+3*s.step-s.last-1)
	}
	verb, sub, _ := strings.Cut(s.name, "|")
	words := []string{verb}
	if sub != "" {
		words = append(words, sub)
	}
	for i := len(words); i < n; i++ {
		words = append(words, fmt.Sprintf("w%d", i))
	}
	return strings.Join(words, " ")
}

func TestLookup(t *testing.T) {
	for words, want := range map[string]string{
		"get k": "GET", "Script Load x": "SCRIPT|LOAD", "script kill": "SCRIPT", "object encoding k": "OBJECT|ENCODING",
		"OBJECT HELP": "OBJECT", "xinfo stream k": "XINFO|STREAM", "memory usage k": "MEMORY|USAGE", "nosuch k": "", "": "",
	} {
		if got := lookup(strings.Fields(words)); got.name != want {
			t.Errorf("%q is looked up as %q", words, got.name)
		}
	}
}

// No words make the finders of keys panic, and what they find are words of the
// command, in number no more than it has.
func FuzzKeys(f *testing.F) {
	for _, lines := range examples {
		for _, line := range lines {
			f.Add(strings.ReplaceAll(line, " ", "\x00"))
		}
	}
	for _, line := range []string{"", "GET", "EVAL x 9223372036854775807 k", "EVAL x -1 k", "SORT k BY", "XREAD STREAMS", "OBJECT", "MGET", "BLPOP k", "JSON.MGET $"} {
		f.Add(strings.ReplaceAll(line, " ", "\x00"))
	}
	l, err := NewLayout(equal(3)...)
	if err != nil {
		f.Fatal(err)
	}
	c := &Client{layout: l, nodes: []*node{{name: "a"}, {name: "b"}, {name: "c"}}}
	f.Fuzz(func(t *testing.T, line string) {
		words := strings.Split(line, "\x00")
		s := lookup(words)
		keys := s.keys(words)
		if len(keys) >= len(words) {
			t.Fatalf("%q has keys %q", words, keys)
		}
		for _, k := range keys {
			if !slices.Contains(words[1:], k) {
				t.Fatalf("%q has the key %q", words, k)
			}
		}
		r := c.route(words)
		if (r.to < 0 && r.err == nil) != (r.err == nil && (r.spec.kind == all || r.spec.kind == anyone || r.spec.kind == split)) {
			t.Fatalf("%q goes to %d, %v", words, r.to, r.err)
		}
		if r.err == nil && r.spec.kind == split && r.to < 0 {
			n := 0
			for _, p := range c.split(words, r.spec) {
				n += len(p.keys)
			}
			if n != len(keys) {
				t.Fatalf("%q is split into %d keys of %d", words, n, len(keys))
			}
		}
	})
}
