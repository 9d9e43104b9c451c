package house

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"
)

// layers is the drawing in ARCHITECTURE.md, highest first, with the packages that exist and those that are
// planned. A package may import what stands in a lower row, never its neighbours. A name in the top row is a
// module of its own: it covers every package below it, and those may import each other.
var layers = []struct {
	name     string
	packages []string
}{
	{"commands, plug-ins, test modules", []string{"cmd", "lint", "observe", "faults", "bench", "examples"}},
	{"tools and adapters", []string{"doctor", "advise", "sqlcache", "limit/httplimit", "cache/journal/sqlsink"}},
	{"patterns", []string{
		"cache", "cache/journal", "session", "limit", "lock", "queue", "topic", "recent",
		"board", "unique", "document", "index", "vector", "series",
	}},
	{"what a pattern is made of", []string{"internal/nearby", "internal/entry"}},
	{"many commands, many servers", []string{"batch", "shard"}},
	{"what patterns share", []string{
		"internal/commit", "internal/keeps", "internal/tenure", "internal/lease", "internal/near", "internal/wake", "internal/stamp", "internal/ids", "internal/codec", "internal/pack",
		"internal/source",
	}},
	{"the client", []string{"."}},
	{"parts of the client", []string{"internal/replicas", "internal/conn"}},
	{"policies and keys", []string{"resilience", "key"}},
	{"leaves", []string{
		"internal/outcome", "internal/topology", "internal/address", "internal/command", "internal/guard", "internal/frame",
		"internal/schema", "internal/turns", "internal/flight", "internal/room", "internal/record",
		"internal/backoff", "internal/slot", "internal/stats",
	}},
	{"servers", []string{
		"embedded", "redstarttest", "redstarttest/proxy", "redstarttest/topology", "redstarttest/database",
		"redstarttest/internal/process",
	}},
}

// drawn are the arrows between neighbours that the drawing shows.
var drawn = []arrow{
	{"session", "cache/journal"},
	{"cache/journal", "cache"},
	{"index", "document"},
	{"internal/replicas", "internal/conn"},
	{"internal/near", "internal/wake"},
	{"internal/nearby", "internal/entry"},
	{"redstarttest/topology", "redstarttest"},
	{"redstarttest/topology", "redstarttest/proxy"},
	{"redstarttest/database", "redstarttest"},
	{"redstarttest/database", "redstarttest/internal/process"},
	{"redstarttest", "redstarttest/internal/process"},
}

// servers are for commands and tests. A service that links a pattern must not get them, so no package of the
// root module imports them, low as they stand.
var servers = []string{"embedded", "redstarttest", "redstarttest/proxy", "redstarttest/topology", "redstarttest/database"}

// tools serve the tree itself: they import nothing of it and nothing imports them.
var tools = []string{"internal/house", "internal/testsum"}

type arrow struct{ from, to string }

// row gives the layer of a package, counted from the top, and the name under which the table has it.
func row(dir string) (int, string, bool) {
	for i, layer := range layers {
		for _, name := range layer.packages {
			if dir == name || i == 0 && strings.HasPrefix(dir, name+"/") {
				return i, name, true
			}
		}
	}
	return 0, "", false
}

// layering checks every import between packages of the tree against the table.
func layering(tree fs.FS) ([]string, error) {
	files, err := goFiles(tree)
	if err != nil {
		return nil, err
	}
	seen := map[arrow]bool{}
	var problems []string
	for _, f := range files {
		if f.test {
			continue
		}
		if !seen[arrow{from: f.dir}] {
			seen[arrow{from: f.dir}] = true
			if _, _, known := row(f.dir); !known && !slices.Contains(tools, f.dir) {
				problems = append(problems, fmt.Sprintf(
					"package %s is in no layer: add it to the table in internal/house/layers_test.go and to ARCHITECTURE.md", f.dir))
			}
		}
		for _, imported := range f.imports {
			to, ours := inTree(imported)
			if !ours || seen[arrow{f.dir, to}] {
				continue
			}
			seen[arrow{f.dir, to}] = true
			if p := judge(f.dir, to); p != "" {
				problems = append(problems, f.name+": "+p)
			}
		}
	}
	return problems, nil
}

// inTree gives the folder of an import path of this tree.
func inTree(imported string) (string, bool) {
	if imported == module {
		return ".", true
	}
	return strings.CutPrefix(imported, module+"/")
}

// judge says what is wrong with one package importing another, or nothing.
func judge(from, to string) string {
	if slices.Contains(tools, from) || slices.Contains(tools, to) {
		return fmt.Sprintf("%s imports %s: a tool of the tree stands alone", from, to)
	}
	high, fromName, ok := row(from)
	if !ok {
		return "" // reported once, as a package without a layer
	}
	low, toName, ok := row(to)
	switch {
	case !ok:
		return fmt.Sprintf("%s imports %s, which is in no layer", from, to)
	case high == 0 && fromName == toName:
		return "" // inside one module
	case slices.Contains(drawn, arrow{from, to}):
		return ""
	case high == low:
		return fmt.Sprintf("%s imports %s, its neighbour in %q: take what both need from a lower layer, or declare an interface",
			from, to, layers[low].name)
	case high > low:
		return fmt.Sprintf("%s (%s) imports %s (%s): arrows only point down", from, layers[high].name, to, layers[low].name)
	case high > 0 && slices.Contains(servers, to):
		return fmt.Sprintf("%s imports %s: a service that links it would get a test server", from, to)
	}
	return ""
}

func TestImportsOnlyPointDown(t *testing.T) { holds(t, layering) }

func TestLayeringCatches(t *testing.T) {
	imports := func(pkg string, paths ...string) string {
		text := "package " + pkg + "\n"
		for _, p := range paths {
			text += fmt.Sprintf("import _ %q\n", p)
		}
		return text
	}
	catches(t, layering, []badTree{
		{"a good tree", map[string]string{
			"redstart.go":         imports("redstart", module+"/key", module+"/internal/outcome"),
			"cache/cache.go":      imports("cache", "fmt", module, module+"/internal/lease", module+"/key"),
			"cache/cache_test.go": imports("cache", module+"/redstarttest", module+"/limit"),
			"session/session.go":  imports("session", module+"/cache/journal"),
			"cmd/redstart/main.go": imports("main", module+"/cache", module+"/cmd/redstart/lab", module+"/embedded",
				"github.com/spf13/cobra"),
		}, ""},
		{"a pattern imports a pattern", map[string]string{"queue/q.go": imports("queue", module+"/lock")}, "its neighbour"},
		{"an arrow up", map[string]string{"key/k.go": imports("key", module)}, "only point down"},
		{"a drawn arrow the other way", map[string]string{"document/d.go": imports("document", module+"/index")}, "its neighbour"},
		{"a module imports a module", map[string]string{"bench/main.go": imports("main", module+"/cmd/redstart/lab")}, "its neighbour"},
		{"a library imports a test server", map[string]string{"cache/c.go": imports("cache", module+"/embedded")}, "test server"},
		{"a new package", map[string]string{"geo/geo.go": imports("geo"), "geo/b.go": imports("geo")}, "add it to the table"},
		{"an unknown import", map[string]string{"cache/c.go": imports("cache", module+"/internal/util")}, "in no layer"},
		{"a tool that is used", map[string]string{"cmd/x/x.go": imports("main", module+"/internal/testsum")}, "stands alone"},
	})
}
