package main

import (
	"regexp"
	"strings"
)

const root = "github.com/redstart-go/redstart"

// short gives a package as a path below the root of the tree.
func short(pkg string) string {
	if pkg == root {
		return "redstart"
	}
	return strings.TrimPrefix(pkg, root+"/")
}

// position is what t.Log and its kin put in front of a text: "    file_test.go:12: ".
var position = regexp.MustCompile(`^\s*[\w.-]+\.go:\d+: `)

// reason gives the text of t.Skip from a skipped test's output: the last text logged before "--- SKIP".
func reason(lines []string) string {
	var text []string
	for _, line := range strings.SplitAfter(strings.Join(lines, ""), "\n") {
		trimmed := strings.TrimSpace(line)
		switch {
		case trimmed == "" || strings.HasPrefix(trimmed, "=== ") || strings.HasPrefix(trimmed, "--- "):
		case position.MatchString(line):
			text = []string{position.ReplaceAllString(strings.TrimRight(line, "\n"), "")}
		case len(text) > 0: // the text's further lines
			text = append(text, trimmed)
		}
	}
	if len(text) == 0 {
		return "(no reason given)"
	}
	return strings.Join(text, " ")
}

// chosen are the variables by which a run chooses what to run. A test skipped because one of them is unset was
// left out on purpose; every other "needs …" is something the machine should have had.
var chosen = []string{"REDSTART_FAULTS", "REDSTART_GUARANTEES", "REDSTART_TEST_MODULES"}

// isWant reports whether a reason says that something from outside was missing.
func isWant(reason string) bool {
	what, ok := strings.CutPrefix(reason, "needs ")
	if !ok {
		return false
	}
	for _, name := range chosen {
		if strings.HasPrefix(what, name) {
			return false
		}
	}
	return true
}
