package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// event is one line of `go test -json` (cmd/test2json, and cmd/go's build-output).
type event struct {
	Action      string  `json:"Action"`
	Package     string  `json:"Package"`
	ImportPath  string  `json:"ImportPath"` // of a build event; may carry the test variant, "p [p.test]"
	Test        string  `json:"Test"`
	Output      string  `json:"Output"`
	Elapsed     float64 `json:"Elapsed"` // seconds
	FailedBuild string  `json:"FailedBuild"`
}

// testID names a test, or with an empty name the package itself.
type testID struct{ pkg, test string }

type skipped struct {
	testID
	reason string
}

// pkgCount is what one package has shown so far.
type pkgCount struct{ passed, failed, skipped int }

// summary turns events into the report. Output is kept only until its test has ended well.
type summary struct {
	out     io.Writer
	require bool
	started time.Time

	output map[testID][]string // lines of tests and packages that have not ended
	builds map[string][]string // compiler output by import path
	counts map[string]*pkgCount

	total  pkgCount
	empty  int // packages without tests
	broken []string
	failed []testID
	skips  []skipped
}

func newSummary(out io.Writer, require bool) *summary {
	return &summary{
		out: out, require: require, started: time.Now(),
		output: map[testID][]string{}, builds: map[string][]string{}, counts: map[string]*pkgCount{},
	}
}

// Plain passes on a line that is not an event.
func (s *summary) Plain(line []byte) { fmt.Fprint(s.out, string(line)) }

// Add takes the next event.
func (s *summary) Add(e event) {
	id := testID{e.Package, e.Test}
	switch e.Action {
	case "build-output":
		s.builds[e.ImportPath] = append(s.builds[e.ImportPath], e.Output)
	case "output":
		s.output[id] = append(s.output[id], e.Output)
	case "pass", "fail", "skip":
		if e.Test == "" {
			s.endPackage(e)
		} else {
			s.endTest(e.Action, id)
		}
	}
}

func (s *summary) count(pkg string) *pkgCount {
	c := s.counts[pkg]
	if c == nil {
		c = &pkgCount{}
		s.counts[pkg] = c
	}
	return c
}

func (s *summary) endTest(action string, id testID) {
	lines := s.output[id]
	delete(s.output, id)
	c := s.count(id.pkg)
	switch action {
	case "pass":
		c.passed++
		s.total.passed++
	case "skip":
		c.skipped++
		s.total.skipped++
		s.skips = append(s.skips, skipped{id, reason(lines)})
	case "fail":
		c.failed++
		s.total.failed++
		s.failed = append(s.failed, id)
		fmt.Fprintf(s.out, "---- FAIL %s %s\n%s", short(id.pkg), id.test, strings.Join(lines, ""))
	}
}

// endPackage prints the package's line and, when it failed, everything that was printed outside its tests and by
// tests that never ended (a panic, a time-out, an exit).
func (s *summary) endPackage(e event) {
	c := s.count(e.Package)
	if e.Action == "fail" {
		if e.FailedBuild != "" {
			fmt.Fprintf(s.out, "---- FAIL %s does not build\n%s", short(e.Package), strings.Join(s.builds[e.FailedBuild], ""))
		}
		s.flush(e.Package)
		if c.failed == 0 {
			s.broken = append(s.broken, e.Package)
		}
	}
	for id := range s.output {
		if id.pkg == e.Package {
			delete(s.output, id)
		}
	}
	delete(s.counts, e.Package)
	if e.Action == "skip" { // "no test files"
		s.empty++
		return
	}
	word := "ok  "
	if e.Action == "fail" {
		word = "FAIL"
	}
	line := fmt.Sprintf("%s %-28s %4d passed", word, short(e.Package), c.passed)
	if c.failed > 0 {
		line += fmt.Sprintf(", %d failed", c.failed)
	}
	if c.skipped > 0 {
		line += fmt.Sprintf(", %d skipped", c.skipped)
	}
	fmt.Fprintf(s.out, "%s  %.1fs\n", line, e.Elapsed)
}

// flush prints the output that pkg still holds, its tests in alphabetical order and the package's own last.
func (s *summary) flush(pkg string) {
	var ids []testID
	for id := range s.output {
		if id.pkg == pkg {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, func(a, b testID) int {
		return cmp.Or(boolCompare(a.test == "", b.test == ""), strings.Compare(a.test, b.test))
	})
	for _, id := range ids {
		if id.test != "" {
			fmt.Fprintf(s.out, "---- never ended: %s %s\n", short(pkg), id.test)
			s.count(pkg).failed++
			s.total.failed++
			s.failed = append(s.failed, id)
		}
		fmt.Fprint(s.out, strings.Join(s.output[id], ""))
	}
}

// boolCompare orders false before true.
func boolCompare(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// Failed reports whether any test or package failed.
func (s *summary) Failed() bool { return len(s.failed)+len(s.broken) > 0 }

// Wants lists the tests that were skipped for want of something from outside, when that is not allowed.
func (s *summary) Wants() []skipped {
	if !s.require {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(s.skips), func(k skipped) bool { return !isWant(k.reason) })
}

// Close prints the end of the report. Its last line is the count.
func (s *summary) Close() {
	if len(s.skips) > 0 {
		fmt.Fprintf(s.out, "\nskipped:\n")
		slices.SortFunc(s.skips, func(a, b skipped) int {
			return cmp.Or(strings.Compare(a.pkg, b.pkg), strings.Compare(a.test, b.test))
		})
		for _, k := range s.skips {
			fmt.Fprintf(s.out, "  %s %s: %s\n", short(k.pkg), k.test, k.reason)
		}
	}
	if wants := s.Wants(); len(wants) > 0 {
		fmt.Fprintf(s.out, "\nnot allowed to be skipped here (REDSTART_TEST_REQUIRE=1): %d\n", len(wants))
		for _, k := range wants {
			fmt.Fprintf(s.out, "  %s %s\n", short(k.pkg), k.test)
		}
	}
	if s.Failed() {
		fmt.Fprintf(s.out, "\nfailed:\n")
		for _, id := range s.failed {
			fmt.Fprintf(s.out, "  %s %s\n", short(id.pkg), id.test)
		}
		for _, pkg := range s.broken {
			fmt.Fprintf(s.out, "  %s (the package, outside any test)\n", short(pkg))
		}
	}
	fmt.Fprintf(s.out, "\n%s, %d packages without tests\n", time.Since(s.started).Round(100*time.Millisecond), s.empty)
	fmt.Fprintf(s.out, "%d passed, %d failed, %d skipped\n",
		s.total.passed, s.total.failed+len(s.broken)+len(s.Wants()), s.total.skipped)
}
