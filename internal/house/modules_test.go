package house

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"testing"
)

// dependencies is what a module may ask of others: a longer list is a decision, made here and in its review.
type dependencies struct {
	code  []string            // modules that its code may import
	only  map[string][]string // of these, those that only the named packages may import
	tests []string            // modules that only its tests may import
}

// What several modules share.
const (
	rueidis   = "github.com/redis/rueidis"
	miniredis = "github.com/alicebob/miniredis/v2"
	goleak    = "go.uber.org/goleak"
	rapid     = "pgregory.net/rapid"
	porcupine = "github.com/anishathalye/porcupine"
	sqlite    = "modernc.org/sqlite"
	pgx       = "github.com/jackc/pgx/v5"
	gomysql   = "github.com/go-sql-driver/mysql"
)

var allowed = map[string]dependencies{
	// A service that links Redstart gets these and what they need.
	".": {
		code: []string{
			rueidis, miniredis,
			"github.com/maypok86/otter/v2",
			"github.com/klauspost/compress",
			"github.com/vmihailenco/msgpack/v5",
		},
		only:  map[string][]string{miniredis: {"embedded"}},
		tests: []string{goleak, rapid, porcupine, "github.com/dunglas/httpsfv"},
	},
	"cmd": {
		code: []string{
			rueidis, sqlite, pgx,
			"github.com/spf13/cobra",
			"charm.land/lipgloss/v2", "charm.land/bubbletea/v2", "charm.land/bubbles/v2",
			"github.com/charmbracelet/lipgloss", "github.com/charmbracelet/bubbletea", "github.com/charmbracelet/bubbles",
			"github.com/schollz/progressbar/v3",
			"github.com/go-analyze/charts",
			"github.com/HdrHistogram/hdrhistogram-go",
			"golang.org/x/term",
		},
		tests: []string{goleak, rapid, "github.com/rogpeppe/go-internal", "github.com/chromedp/chromedp", "github.com/chromedp/cdproto"},
	},
	// The fault matrix is nothing but tests; its harness may use what they use.
	"faults": {code: []string{rueidis, sqlite, pgx, gomysql, goleak, rapid, porcupine}},
	// The peers that Redstart is measured beside.
	"bench": {code: []string{
		rueidis, sqlite, pgx, goleak,
		"github.com/redis/rueidis/rueidisaside", "github.com/redis/rueidis/rueidiscompat",
		"github.com/redis/go-redis/v9",
		"github.com/go-redis/cache/v9",
		"github.com/viccon/sturdyc",
		"github.com/maypok86/otter/v2",
		"github.com/tinylib/msgp",
		"github.com/sony/gobreaker/v2",
		"github.com/failsafe-go/failsafe-go",
		"github.com/vmihailenco/msgpack/v5",
		"github.com/go-redis/redis_rate/v10", "github.com/throttled/throttled/v2", "github.com/ulule/limiter/v3",
		"github.com/bsm/redislock", "github.com/go-redsync/redsync/v4",
	}},
	"observe": {
		code:  []string{"go.opentelemetry.io/otel", "github.com/prometheus/client_golang"},
		tests: []string{goleak},
	},
	"lint": {code: []string{"golang.org/x/tools"}},
	// Services beside the libraries that they were built with before, and in the frameworks that people use.
	"examples": {
		code: []string{
			rueidis, "github.com/redis/rueidis/rueidiscompat",
			"github.com/redis/go-redis/v9",
			"github.com/go-redis/cache/v9",
			"github.com/go-chi/chi/v5", "github.com/labstack/echo/v5", "github.com/gin-gonic/gin",
			"google.golang.org/grpc", "google.golang.org/protobuf", "google.golang.org/genproto/googleapis/rpc",
			"gorm.io/gorm", "github.com/glebarez/sqlite", "github.com/jmoiron/sqlx", sqlite,
		},
		tests: []string{goleak},
	},
}

// dependsOnAllowed checks the imports of every file that is not a test, and the direct requirements of every go.mod.
func dependsOnAllowed(tree fs.FS) ([]string, error) {
	modules, err := moduleDirs(tree)
	if err != nil {
		return nil, err
	}
	files, err := goFiles(tree)
	if err != nil {
		return nil, err
	}
	var problems []string
	for _, m := range append([]string{"."}, modules...) {
		deps, ok := allowed[m]
		if !ok {
			problems = append(problems, fmt.Sprintf("module %s has no entry in internal/house/modules_test.go", m))
			continue
		}
		for _, f := range files {
			if !f.test && moduleOf(f.dir, modules) == m {
				problems = append(problems, foreignImports(f, m, deps)...)
			}
		}
		required, err := requirements(tree, m)
		if err != nil {
			return nil, err
		}
		for _, name := range required {
			if name != module && !slices.Contains(deps.code, name) && !slices.Contains(deps.tests, name) {
				problems = append(problems, fmt.Sprintf("%s requires %s, which internal/house/modules_test.go does not allow",
					path.Join(m, "go.mod"), name))
			}
		}
	}
	return problems, nil
}

func foreignImports(f goFile, m string, deps dependencies) []string {
	var problems []string
	for _, imported := range f.imports {
		if _, ours := inTree(imported); ours {
			continue
		}
		host, _, _ := strings.Cut(imported, "/")
		if !strings.Contains(host, ".") { // the standard library
			if m == "." && (imported == "testing" || strings.HasPrefix(imported, "testing/")) {
				problems = append(problems, fmt.Sprintf("%s imports %s: a service would get test flags", f.name, imported))
			}
			continue
		}
		name := longest(imported, deps.code)
		switch only := deps.only[name]; {
		case name == "":
			problems = append(problems, fmt.Sprintf("%s imports %s, which module %s may not", f.name, imported, m))
		case only != nil && !slices.Contains(only, f.dir):
			problems = append(problems, fmt.Sprintf("%s imports %s, which only %s may", f.name, imported, strings.Join(only, ", ")))
		}
	}
	return problems
}

// longest gives the module of names that holds an import path.
func longest(imported string, names []string) string {
	best := ""
	for _, name := range names {
		if (imported == name || strings.HasPrefix(imported, name+"/")) && len(name) > len(best) {
			best = name
		}
	}
	return best
}

// requirements lists the direct requirements of a module's go.mod.
func requirements(tree fs.FS, m string) ([]string, error) {
	text, err := fs.ReadFile(tree, path.Join(m, "go.mod"))
	if err != nil {
		return nil, err
	}
	var names []string
	inside := false
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		switch {
		case line == "require (":
			inside = true
			continue
		case line == ")":
			inside = false
			continue
		case strings.HasPrefix(line, "require "):
			line = strings.TrimPrefix(line, "require ")
		case !inside:
			continue
		}
		if name, _, ok := strings.Cut(line, " "); ok && !strings.Contains(line, "// indirect") {
			names = append(names, name)
		}
	}
	return names, nil
}

// noReplace checks that no go.mod has a replace line: with one, a module cannot be installed by version.
func noReplace(tree fs.FS) ([]string, error) {
	var problems []string
	err := walk(tree, func(name string, text []byte) error {
		if path.Base(name) != "go.mod" {
			return nil
		}
		for line := range strings.Lines(string(text)) {
			if strings.HasPrefix(strings.TrimSpace(line), "replace") {
				problems = append(problems, name+" has a replace line: `make tidy` adds one and drops it")
			}
		}
		return nil
	})
	return problems, err
}

// workspace checks that go.work uses every module: `go test work` passes over any other in silence.
func workspace(tree fs.FS) ([]string, error) {
	modules, err := moduleDirs(tree)
	if err != nil {
		return nil, err
	}
	text, err := fs.ReadFile(tree, "go.work")
	if err != nil {
		return nil, err
	}
	used := strings.Fields(string(text))
	var problems []string
	for _, m := range modules {
		if !slices.Contains(used, "./"+m) {
			problems = append(problems, fmt.Sprintf("go.work does not use ./%s", m))
		}
	}
	return problems, nil
}

func TestModulesDependOnWhatTheyMay(t *testing.T) { holds(t, dependsOnAllowed) }

func TestNoReplaceLines(t *testing.T) { holds(t, noReplace) }

func TestWorkspaceUsesEveryModule(t *testing.T) { holds(t, workspace) }

func TestDependenciesCatches(t *testing.T) {
	const gomod = "module " + module + "\n\ngo 1.25.0\n\n"
	withMod := func(name, text string) map[string]string {
		return map[string]string{"go.mod": gomod, name: text}
	}
	catches(t, dependsOnAllowed, []badTree{
		{"a good tree", map[string]string{
			"go.mod":               gomod + "require (\n\t" + rueidis + " v1.0.79\n\tgolang.org/x/sys v0.1.0 // indirect\n)\n",
			"redstart.go":          "package redstart\nimport _ \"github.com/redis/rueidis/internal/cmds\"\n",
			"embedded/embedded.go": "package embedded\nimport _ \"github.com/alicebob/miniredis/v2\"\n",
			"cache/cache_test.go":  "package cache\nimport _ \"go.uber.org/goleak\"\nimport _ \"testing\"\n",
			"cmd/go.mod":           "module " + module + "/cmd\nrequire github.com/spf13/cobra v1.0.0\n",
			"cmd/main.go":          "package main\nimport _ \"github.com/spf13/cobra\"\n",
		}, ""},
		{"a heavy import in the library", withMod("cache/c.go", "package cache\nimport _ \"github.com/spf13/cobra\"\n"), "may not"},
		{"a test's module in code", withMod("cache/c.go", "package cache\nimport _ \"go.uber.org/goleak\"\n"), "may not"},
		{"the test server elsewhere", withMod("cache/c.go", "package cache\nimport _ \"github.com/alicebob/miniredis/v2\"\n"), "only embedded may"},
		{"testing in the library", withMod("redstarttest/r.go", "package redstarttest\nimport _ \"testing\"\n"), "test flags"},
		{"a name that only begins alike", withMod("cache/c.go", "package cache\nimport _ \"github.com/redis/rueidisx\"\n"), "may not"},
		{"a requirement", map[string]string{"go.mod": gomod + "require github.com/spf13/cobra v1.0.0\n"}, "does not allow"},
		{"a new module", withMod("extra/go.mod", "module "+module+"/extra\n"), "no entry"},
	})
}

func TestWorkspaceCatches(t *testing.T) {
	const gowork = "go 1.26\n\nuse (\n\t.\n\t./cmd\n)\n"
	catches(t, workspace, []badTree{
		{"all used", map[string]string{"go.work": gowork, "cmd/go.mod": "module m\n"}, ""},
		{"one forgotten", map[string]string{"go.work": gowork, "cmd/go.mod": "module m\n", "lint/go.mod": "module n\n"}, "does not use ./lint"},
	})
}

func TestNoReplaceCatches(t *testing.T) {
	catches(t, noReplace, []badTree{
		{"none", map[string]string{"go.mod": "module m\n"}, ""},
		{"one", map[string]string{"cmd/go.mod": "module m\n\nreplace a => ../\n"}, "cmd/go.mod has a replace line"},
	})
}
