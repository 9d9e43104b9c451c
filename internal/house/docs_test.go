package house

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"slices"
	"strings"
	"testing"
)

// headings is what the package comment of every public package says, in this order.
var headings = []string{"What", "When not", "Guarantees", "Keys and cost", "Example"}

// libraries are the modules whose packages users import.
var libraries = []string{".", "lint", "observe"}

// packageDocs checks the doc.go of every public package.
func packageDocs(tree fs.FS) ([]string, error) {
	modules, err := moduleDirs(tree)
	if err != nil {
		return nil, err
	}
	files, err := goFiles(tree)
	if err != nil {
		return nil, err
	}
	var problems, done []string
	for _, f := range files {
		public := !f.test && f.pkg != "main" && !strings.Contains("/"+f.dir+"/", "/internal/") &&
			slices.Contains(libraries, moduleOf(f.dir, modules))
		if !public || slices.Contains(done, f.dir) {
			continue
		}
		done = append(done, f.dir)
		name := path.Join(f.dir, "doc.go")
		text, err := fs.ReadFile(tree, name)
		if err != nil {
			problems = append(problems, fmt.Sprintf("package %s has no doc.go", f.dir))
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), name, text, parser.PackageClauseOnly|parser.ParseComments)
		if err != nil {
			return nil, err
		}
		var got []string
		for line := range strings.Lines(parsed.Doc.Text()) {
			if heading, ok := strings.CutPrefix(strings.TrimSpace(line), "# "); ok && slices.Contains(headings, heading) {
				got = append(got, heading)
			}
		}
		if !slices.Equal(got, headings) {
			problems = append(problems, fmt.Sprintf("%s has the headings %q, not %q", name, got, headings))
		}
	}
	return problems, nil
}

// lintReasons checks that the configuration says why each linter is left out: a comment on its line.
func lintReasons(tree fs.FS) ([]string, error) {
	const name = ".golangci.yml"
	text, err := fs.ReadFile(tree, name)
	if err != nil {
		return nil, err
	}
	var problems []string
	found, inside := 0, false
	for line := range strings.Lines(string(text)) {
		item, isItem := strings.CutPrefix(strings.TrimSpace(line), "- ")
		switch {
		case strings.TrimSpace(line) == "disable:":
			inside = true
		case inside && isItem:
			found++
			if linter, reason, ok := strings.Cut(item, "#"); !ok || len(strings.TrimSpace(reason)) < 10 {
				problems = append(problems, fmt.Sprintf("%s leaves out %s without a reason", name, strings.TrimSpace(linter)))
			}
		case strings.TrimSpace(line) != "" && !strings.HasPrefix(strings.TrimSpace(line), "#"):
			inside = false
		}
	}
	if found == 0 {
		problems = append(problems, name+": found no list of linters left out")
	}
	return problems, nil
}

func TestPublicPackagesSayWhatTheyPromise(t *testing.T) { holds(t, packageDocs) }

func TestLintersLeftOutHaveAReason(t *testing.T) { holds(t, lintReasons) }

func TestPackageDocsCatches(t *testing.T) {
	const good = "// Package p is one.\n//\n// # What\n//\n// # When not\n//\n// # Guarantees\n//\n// # More\n//\n// # Keys and cost\n//\n// # Example\npackage p\n"
	catches(t, packageDocs, []badTree{
		{"good ones", map[string]string{
			"p/doc.go": good, "p/p.go": "package p\n", "internal/q/q.go": "package q\n", "r/r_test.go": "package r\n",
			"s/main.go": "package main\n", "bench/go.mod": "module m\n", "bench/peer/peer.go": "package peer\n",
		}, ""},
		{"none", map[string]string{"p/p.go": "package p\n", "p/q.go": "package p\n"}, "package p has no doc.go"},
		{"a heading is missing", map[string]string{"p/doc.go": strings.Replace(good, "# Guarantees", "Guarantees", 1)}, "p/doc.go has the headings"},
		{"a detached comment", map[string]string{"p/doc.go": strings.Replace(good, "package p\n", "\npackage p\n", 1)}, "p/doc.go has the headings"},
	})
}

func TestLintReasonsCatches(t *testing.T) {
	catches(t, lintReasons, []badTree{
		{"reasons", map[string]string{".golangci.yml": "linters:\n  disable:\n    - wsl # blank lines are a writer's choice\n  settings:\n    x:\n      - y\n"}, ""},
		{"one without", map[string]string{".golangci.yml": "linters:\n  disable:\n    - wsl # blank lines are a writer's choice\n    - mnd\n"}, "leaves out mnd"},
		{"no list", map[string]string{".golangci.yml": "linters:\n  default: all\n"}, "no list"},
	})
}
