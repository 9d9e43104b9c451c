package embedded_test

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/rueidis"

	"github.com/redstart-go/redstart/embedded"
)

func TestHELLO(t *testing.T) {
	s, c := start(t, embedded.Config{})
	ids := map[int64]bool{}
	for _, proto := range []string{"2", "3"} {
		d, release := client(t, s).Dedicate()
		defer release()
		reply, err := d.Do(deadline(t), d.B().Arbitrary("HELLO", proto, "AUTH", "default", "any", "SETNAME", "tester").Build()).AsMap()
		if err != nil {
			t.Fatalf("HELLO %s: %v", proto, err)
		}
		text := func(field string) string { m := reply[field]; v, _ := m.ToString(); return v }
		if text("server") != "redstart-embedded" || text("version") != "7.4.0" || text("role") != "master" {
			t.Errorf("HELLO %s: %v", proto, reply)
		}
		m := reply["modules"]
		if list, err := m.ToArray(); err != nil || len(list) != 0 {
			t.Errorf("modules = %v, %v, want none", list, err)
		}
		m = reply["id"]
		id, err := m.AsInt64()
		if err != nil || ids[id] {
			t.Errorf("connection id %d (%v) is not of its own", id, err)
		}
		ids[id] = true
		if got, err := d.Do(deadline(t), d.B().ClientId().Build()).AsInt64(); err != nil || got != id {
			t.Errorf("CLIENT ID = %d, %v; HELLO said %d", got, err, id)
		}
		if name, err := d.Do(deadline(t), d.B().ClientGetname().Build()).ToString(); err != nil || name != "tester" {
			t.Errorf("CLIENT GETNAME = %q, %v", name, err)
		}
	}
	for _, tc := range [][2]string{
		{"HELLO x", "ERR Protocol version"},
		{"HELLO 4", "NOPROTO"},
		{"HELLO 3 AUTH someone secret", "WRONGPASS"},
		{"HELLO 3 SETNAME", "ERR Syntax error"},
		{"HELLO 3 FOO", "ERR Syntax error"},
	} {
		if err := do(t, c, strings.Fields(tc[0])...).Error(); err == nil || !strings.HasPrefix(err.Error(), strings.TrimPrefix(tc[1], "ERR ")) {
			t.Errorf("%s: %v, want %s", tc[0], err, tc[1])
		}
	}
}

func TestCOMMANDTellsWhatIsThere(t *testing.T) {
	_, c := start(t, embedded.Config{})
	there := []string{"get", "SET", "evalsha", "hexpire", "config", "role", "config|get", "client|setname", "command|info"}
	absent := []string{
		"client|tracking", "vadd", "json.set", "ts.add", "ft.search", "waitaof", "spublish",
		"client|unblock", "config|set", "xgroup|setid", "nonsense",
	}
	for _, asked := range [][]string{there, absent} {
		reply, err := do(t, c, append([]string{"COMMAND", "INFO"}, asked...)...).ToArray()
		if err != nil || len(reply) != len(asked) {
			t.Fatalf("COMMAND INFO: %d of %d, %v", len(reply), len(asked), err)
		}
		for i, r := range reply {
			if r.IsNil() == (asked[0] == "get") {
				t.Errorf("COMMAND INFO %s: null is %v", asked[i], r.IsNil())
			}
		}
	}
	reply, err := do(t, c, "COMMAND", "INFO", "get", "hexpire").ToArray()
	if err != nil {
		t.Fatal(err)
	}
	get, _ := reply[0].ToArray()
	if n, _ := get[1].AsInt64(); n != 2 {
		t.Errorf("GET's arity is %d, want 2", n)
	}
	if n, _ := get[3].AsInt64(); n != 1 {
		t.Errorf("GET's first key is at %d, want 1", n)
	}
	hexpire, _ := reply[1].ToArray()
	if n, _ := hexpire[1].AsInt64(); n != -1 {
		t.Errorf("HEXPIRE's arity is %d, want -1 (not known)", n)
	}
}

// The list of names must be exactly what the engine registers, and nothing that
// COMMAND tells may be unknown to the server.
func TestCOMMANDListIsComplete(t *testing.T) {
	file, _ := runtime.FuncForPC(reflect.ValueOf(miniredis.Run).Pointer()).FileLine(reflect.ValueOf(miniredis.Run).Pointer())
	sources, err := filepath.Glob(filepath.Join(filepath.Dir(file), "cmd_*.go"))
	if err != nil || len(sources) == 0 {
		t.Skipf("needs the source of miniredis to compare with: none at %s", file)
	}
	want := []string{"config", "role"}
	register := regexp.MustCompile(`srv\.Register\("([A-Z_]+)"`)
	for _, source := range sources {
		text, err := os.ReadFile(source)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range register.FindAllStringSubmatch(string(text), -1) {
			want = append(want, strings.ToLower(m[1]))
		}
	}
	slices.Sort(want)
	want = slices.Compact(want)
	_, c := start(t, embedded.Config{})
	got, err := do(t, c, "COMMAND", "LIST").AsStrSlice()
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got, want) {
		t.Errorf("COMMAND LIST differs from the engine's registrations:\n got %v\nwant %v", got, want)
	}
	if n, err := do(t, c, "COMMAND", "COUNT").AsInt64(); err != nil || int(n) != len(want) {
		t.Errorf("COMMAND COUNT = %d, %v, want %d", n, err, len(want))
	}
	all, err := do(t, c, "COMMAND").ToArray()
	if err != nil || len(all) != len(want) {
		t.Errorf("COMMAND has %d entries, %v, want %d", len(all), err, len(want))
	}
	hashes, err := do(t, c, "COMMAND", "LIST", "FILTERBY", "PATTERN", "hexp*").AsStrSlice()
	if err != nil || !slices.Equal(hashes, []string{"hexpire"}) {
		t.Errorf("COMMAND LIST FILTERBY PATTERN hexp* = %v, %v", hashes, err)
	}
}

func TestINFOAndCONFIGAndROLE(t *testing.T) {
	_, c := start(t, embedded.Config{})
	all, err := do(t, c, "INFO").ToString()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"# Server\r\n", "server_name:redstart-embedded\r\n", "redis_version:7.4.0\r\n", "# Memory\r\n", "maxmemory:0\r\n",
		"maxmemory_policy:noeviction\r\n", "role:master\r\n", "aof_enabled:0\r\n", "connected_clients:1\r\n", "evicted_keys:0\r\n", "cluster_enabled:0\r\n",
	} {
		if !strings.Contains(all, want) {
			t.Errorf("INFO lacks %q", want)
		}
	}
	two, err := do(t, c, "INFO", "memory", "replication").ToString()
	if err != nil || !strings.HasPrefix(two, "# Memory\r\n") || !strings.Contains(two, "\r\n\r\n# Replication\r\n") || strings.Contains(two, "# Server") {
		t.Errorf("INFO memory replication = %q, %v", two, err)
	}
	for _, bad := range []string{
		"INFO keyspace", "INFO memory nonsense", "CONFIG SET maxmemory 1", "CONFIG GET", "CONFIG", "ROLE x",
		"COMMAND DOCS", "CLIENT TRACKING ON", "CLIENT UNBLOCK 1", "WAITAOF 1 0 0", "CLUSTER SLOTS", "SPUBLISH c m", "VADD v",
	} {
		if do(t, c, strings.Fields(bad)...).Error() == nil {
			t.Errorf("%s: answered, want an error", bad)
		}
	}
	got, err := do(t, c, "CONFIG", "GET", "maxmemory*", "appendonly", "save", "notify-keyspace-events", "unheard-of").AsStrMap()
	want := map[string]string{"maxmemory": "0", "maxmemory-policy": "noeviction", "appendonly": "no", "save": "", "notify-keyspace-events": ""}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("CONFIG GET = %v, %v, want %v", got, err, want)
	}
	role, err := do(t, c, "ROLE").ToArray()
	if err != nil || len(role) != 3 {
		t.Fatalf("ROLE = %v, %v", role, err)
	}
	if name, _ := role[0].ToString(); name != "master" {
		t.Errorf("ROLE = %q", name)
	}
}

func TestInsideScripts(t *testing.T) {
	_, c := start(t, embedded.Config{})
	text, err := do(t, c, "EVAL", `return redis.call('INFO', 'server')`, "0").ToString()
	if err != nil || !strings.Contains(text, "redstart-embedded") {
		t.Errorf("INFO in a script = %q, %v", text, err)
	}
	name, err := do(t, c, "EVAL", `return redis.call('COMMAND', 'INFO', 'vadd', 'get')[2][1]`, "0").ToString()
	if err != nil || name != "get" {
		t.Errorf("COMMAND INFO in a script = %q, %v", name, err)
	}
	for _, cmd := range []string{"'HELLO', '3'", "'CONFIG', 'GET', 'save'", "'ROLE'", "'CLIENT', 'ID'"} {
		if do(t, c, "EVAL", "return redis.call("+cmd+")", "0").Error() == nil {
			t.Errorf("%s in a script answered, want an error", cmd)
		}
	}
}

func TestInsideMULTI(t *testing.T) {
	_, c := start(t, embedded.Config{})
	d, release := c.Dedicate()
	defer release()
	send := func(words ...string) rueidis.RedisResult {
		return d.Do(deadline(t), d.B().Arbitrary(words...).Build())
	}
	for _, cmd := range []string{"HELLO 3", "COMMAND COUNT", "INFO", "CONFIG GET save", "ROLE", "CLIENT ID"} {
		if err := send("MULTI").Error(); err != nil {
			t.Fatal(err)
		}
		if err := send("SET", "k", "v").Error(); err != nil {
			t.Fatal(err)
		}
		if err := send(strings.Fields(cmd)...).Error(); err == nil || !strings.Contains(err.Error(), "inside MULTI") {
			t.Errorf("%s inside MULTI: %v", cmd, err)
		}
		if err := send("EXEC").Error(); err == nil || !strings.HasPrefix(err.Error(), "EXECABORT") {
			t.Errorf("EXEC after %s: %v, want EXECABORT", cmd, err)
		}
		if err := send(strings.Fields(cmd)...).Error(); err != nil {
			t.Errorf("%s after the transaction: %v", cmd, err)
		}
	}
	for _, end := range []string{"EXEC", "DISCARD"} {
		send("MULTI")
		send("SET", "k", "v")
		if err := send(end).Error(); err != nil {
			t.Fatalf("%s: %v", end, err)
		}
		if err := send("ROLE").Error(); err != nil {
			t.Errorf("ROLE after %s: %v", end, err)
		}
	}
}
