package house

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
)

// module is the import path of the root of the tree.
const module = "github.com/redstart-go/redstart"

// tree is the repository that the checks run on.
func tree() fs.FS { return os.DirFS("../..") }

// goFile is one Go file of the tree.
type goFile struct {
	name    string // slash-separated, from the root of the tree
	dir     string
	pkg     string // the name in its package clause
	test    bool
	imports []string
	lines   int
	code    int // lines that are neither empty nor a comment
}

// goFiles parses the imports of every Go file below the root, testdata and hidden folders excepted.
func goFiles(tree fs.FS) ([]goFile, error) {
	var files []goFile
	err := walk(tree, func(name string, text []byte) error {
		if path.Ext(name) != ".go" || strings.Contains("/"+name, "/testdata/") {
			return nil
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), name, text, parser.ImportsOnly)
		if err != nil {
			return err
		}
		f := goFile{
			name: name, dir: path.Dir(name), pkg: parsed.Name.Name,
			test: strings.HasSuffix(name, "_test.go"), lines: lines(text), code: code(text),
		}
		for _, spec := range parsed.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			f.imports = append(f.imports, imported)
		}
		files = append(files, f)
		return nil
	})
	return files, err
}

// walk calls visit with every regular file, hidden folders excepted (.git, .bin; .ci is looked into).
func walk(tree fs.FS, visit func(name string, text []byte) error) error {
	return fs.WalkDir(tree, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if base := path.Base(name); name != "." && base != ".ci" && strings.HasPrefix(base, ".") {
				return fs.SkipDir
			}
			return nil
		}
		if !entry.Type().IsRegular() {
			return nil
		}
		text, err := fs.ReadFile(tree, name)
		if err != nil {
			return err
		}
		return visit(name, text)
	})
}

func lines(text []byte) int { return strings.Count(string(text), "\n") }

// code counts the lines that are neither empty nor only a // comment, so that nobody saves on comments.
func code(text []byte) int {
	n := 0
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "//") {
			n++
		}
	}
	return n
}

// moduleDirs lists the folders with a go.mod of their own, the root apart.
func moduleDirs(tree fs.FS) ([]string, error) {
	found, err := fs.Glob(tree, "*/go.mod")
	if err != nil {
		return nil, err
	}
	for i, name := range found {
		found[i] = path.Dir(name)
	}
	return found, nil
}

// moduleOf gives the folder of the module that holds dir: "." for the root's.
func moduleOf(dir string, modules []string) string {
	top, _, _ := strings.Cut(dir, "/")
	if slices.Contains(modules, top) {
		return top
	}
	return "."
}

// check is a rule: it lists what is wrong with a tree, a sentence each.
type check func(fs.FS) ([]string, error)

// holds runs a rule on this repository.
func holds(t *testing.T, rule check) {
	t.Helper()
	problems, err := rule(tree())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Error(p)
	}
}

// badTree is a tree with exactly one thing wrong, or none when want is empty.
type badTree struct {
	name  string
	files map[string]string
	want  string // part of the one problem's text
}

// catches shows that a rule finds what is wrong in each bad tree, and nothing in the good ones.
func catches(t *testing.T, rule check, trees []badTree) {
	t.Helper()
	for _, b := range trees {
		t.Run(b.name, func(t *testing.T) {
			files := fstest.MapFS{}
			for name, text := range b.files {
				files[name] = &fstest.MapFile{Data: []byte(text)}
			}
			problems, err := rule(files)
			if err != nil {
				t.Fatal(err)
			}
			switch {
			case b.want == "" && len(problems) > 0:
				t.Errorf("a good tree is refused: %q", problems)
			case b.want != "" && len(problems) != 1:
				t.Errorf("found %d problems, not one: %q", len(problems), problems)
			case b.want != "" && !strings.Contains(problems[0], b.want):
				t.Errorf("the problem is %q, not %q", problems[0], b.want)
			}
		})
	}
}
