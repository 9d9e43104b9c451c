package house

import (
	"bytes"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const (
	maxFile    = 500  // lines of a Go or Lua file, all counted: one idea
	maxPackage = 2000 // lines of code of a package, comments, empty lines and tests not counted: one noun
)

// larger are packages that have outgrown that, and how far they may: parts of them are to move down.
var larger = map[string]int{"cache": 2300, "sqlcache": 2900}

// sizes checks the length of files and packages.
func sizes(tree fs.FS) ([]string, error) {
	files, err := goFiles(tree)
	if err != nil {
		return nil, err
	}
	var problems []string
	packages := map[string]int{}
	for _, f := range files {
		if f.lines > maxFile {
			problems = append(problems, fmt.Sprintf("%s has %d lines, more than %d: split it by ideas", f.name, f.lines, maxFile))
		}
		if !f.test {
			packages[f.dir] += f.code
		}
	}
	for _, dir := range slices.Sorted(maps.Keys(packages)) {
		if n, most := packages[dir], max(maxPackage, larger[dir]); n > most {
			problems = append(problems, fmt.Sprintf("package %s has %d lines of code, more than %d: it is more than one noun", dir, n, most))
		}
	}
	return problems, nil
}

// machinePaths are parts of paths of the machines that Redstart is written on. They are put together here so that
// this file does not hold them.
var machinePaths = []string{"/wo" + "rk/", "/tmp/" + "plan", ".." + "/shared", "/ro" + "ot/"}

// namesNoMachine checks that no file but .ci/run names a place outside the repository: what a test needs from
// outside comes by a variable.
func namesNoMachine(tree fs.FS) ([]string, error) {
	var problems []string
	err := walk(tree, func(name string, text []byte) error {
		if name == ".ci/run" || bytes.IndexByte(text, 0) >= 0 {
			return nil
		}
		for _, p := range machinePaths {
			if before, _, found := bytes.Cut(text, []byte(p)); found {
				problems = append(problems, fmt.Sprintf("%s:%d names %s, a path of one machine", name, 1+lines(before), p))
			}
		}
		return nil
	})
	return problems, err
}

// scriptWords must stand in the comment that opens a script.
var scriptWords = map[string]*regexp.Regexp{
	"KEYS":  regexp.MustCompile(`\bKEYS\b`),
	"ARGV":  regexp.MustCompile(`\bARGV\b`),
	"reply": regexp.MustCompile(`(?i)\brepl(y|ies)\b`),
}

// scriptHeaders checks that every script says in its opening comment what it takes and gives.
func scriptHeaders(tree fs.FS) ([]string, error) {
	var problems []string
	err := walk(tree, func(name string, text []byte) error {
		if path.Ext(name) != ".lua" {
			return nil
		}
		if n := lines(text); n > maxFile {
			problems = append(problems, fmt.Sprintf("%s has %d lines, more than %d", name, n, maxFile))
		}
		var header strings.Builder
		for line := range strings.Lines(string(text)) {
			if !strings.HasPrefix(line, "--") {
				break
			}
			header.WriteString(line)
		}
		for _, word := range slices.Sorted(maps.Keys(scriptWords)) {
			if !scriptWords[word].MatchString(header.String()) {
				problems = append(problems, fmt.Sprintf("%s: the opening comment does not say %s", name, word))
			}
		}
		return nil
	})
	return problems, err
}

func TestFilesAndPackagesAreShort(t *testing.T) { holds(t, sizes) }

func TestNoFileNamesAMachine(t *testing.T) { holds(t, namesNoMachine) }

func TestScriptsSayWhatTheyTake(t *testing.T) { holds(t, scriptHeaders) }

func TestSizesCatches(t *testing.T) {
	long := func(n int) string { return "package p\n" + strings.Repeat("var _ = 1\n", n-1) }
	catches(t, sizes, []badTree{
		{"at the limits", map[string]string{
			"p/a.go": long(500), "p/b.go": long(500), "p/c.go": long(500), "p/d.go": long(500), "p/e_test.go": long(500),
		}, ""},
		{"a long file", map[string]string{"p/a.go": long(501)}, "p/a.go has 501 lines"},
		{"a long test", map[string]string{"p/a_test.go": long(501)}, "p/a_test.go has 501 lines"},
		{"a long package", map[string]string{
			"p/a.go": long(500), "p/b.go": long(500), "p/c.go": long(500), "p/d.go": long(500), "p/e.go": "// Comments do not count.\n\n" + long(1),
		}, "package p has 2001 lines of code"},
	})
}

func TestNamesNoMachineCatches(t *testing.T) {
	catches(t, namesNoMachine, []badTree{
		{"none", map[string]string{"README.md": "run `make`\n", ".ci/run": "cd " + machinePaths[0] + "main\n", ".git/x": machinePaths[0]}, ""},
		{"a page", map[string]string{"README.md": "one\ntwo " + machinePaths[0] + "main\n"}, "README.md:2 names"},
		{"data", map[string]string{"cmd/testdata/a.txt": machinePaths[2] + "/data"}, "cmd/testdata/a.txt:1 names"},
	})
}

func TestScriptHeadersCatches(t *testing.T) {
	catches(t, scriptHeaders, []badTree{
		{"a good one", map[string]string{"a/lua/x.lua": "-- KEYS[1] the key\n-- ARGV: none\n-- Reply: 1\nreturn 1\n"}, ""},
		{"no reply", map[string]string{"a/lua/x.lua": "-- KEYS: one\n-- ARGV: none\nreturn 1 -- reply\n"}, "does not say reply"},
	})
}
