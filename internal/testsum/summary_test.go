package main

import (
	"strings"
	"testing"
)

// report feeds a stream of `go test -json` lines to a summary.
func report(t *testing.T, require bool, stream string) (*summary, string) {
	t.Helper()
	var out strings.Builder
	sum := newSummary(&out, require)
	if err := read(strings.NewReader(stream), sum); err != nil {
		t.Fatal(err)
	}
	sum.Close()
	return sum, out.String()
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1]
}

const mixed = `go: some notice
{"Action":"start","Package":"github.com/redstart-go/redstart/cache"}
{"Action":"run","Package":"github.com/redstart-go/redstart/cache","Test":"TestGood"}
{"Action":"output","Package":"github.com/redstart-go/redstart/cache","Test":"TestGood","Output":"chatter of a good test\n"}
{"Action":"pass","Package":"github.com/redstart-go/redstart/cache","Test":"TestGood","Elapsed":0.1}
{"Action":"output","Package":"github.com/redstart-go/redstart/cache","Test":"TestBad","Output":"=== RUN   TestBad\n"}
{"Action":"output","Package":"github.com/redstart-go/redstart/cache","Test":"TestBad","Output":"    bad_test.go:3: got 2, want 1\n"}
{"Action":"fail","Package":"github.com/redstart-go/redstart/cache","Test":"TestBad","Elapsed":0.1}
{"Action":"output","Package":"github.com/redstart-go/redstart/cache","Test":"TestServer","Output":"=== RUN   TestServer\n"}
{"Action":"output","Package":"github.com/redstart-go/redstart/cache","Test":"TestServer","Output":"    run.go:40: looked on PATH\n"}
{"Action":"output","Package":"github.com/redstart-go/redstart/cache","Test":"TestServer","Output":"    run.go:41: needs redis-server on PATH\n"}
{"Action":"output","Package":"github.com/redstart-go/redstart/cache","Test":"TestServer","Output":"        or REDSTART_TEST_SERVERS\n"}
{"Action":"output","Package":"github.com/redstart-go/redstart/cache","Test":"TestServer","Output":"--- SKIP: TestServer (0.00s)\n"}
{"Action":"skip","Package":"github.com/redstart-go/redstart/cache","Test":"TestServer","Elapsed":0}
{"Action":"fail","Package":"github.com/redstart-go/redstart/cache","Elapsed":1.5}
{"Action":"output","Package":"github.com/redstart-go/redstart/bench","Output":"?   \tgithub.com/redstart-go/redstart/bench\t[no test files]\n"}
{"Action":"skip","Package":"github.com/redstart-go/redstart/bench","Elapsed":0}
`

func TestReportShowsFailuresWholeAndNamesSkips(t *testing.T) {
	sum, text := report(t, false, mixed)
	for _, want := range []string{
		"go: some notice",
		"got 2, want 1",
		"FAIL cache",
		"cache TestServer: needs redis-server on PATH or REDSTART_TEST_SERVERS",
		"1 packages without tests",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the report lacks %q:\n%s", want, text)
		}
	}
	if strings.Contains(text, "chatter of a good test") {
		t.Errorf("the report repeats what a passing test printed:\n%s", text)
	}
	if got := lastLine(text); got != "1 passed, 1 failed, 1 skipped" {
		t.Errorf("last line is %q", got)
	}
	if !sum.Failed() {
		t.Error("Failed() is false after a failure")
	}
}

func TestRequireTurnsAWantIntoAFailure(t *testing.T) {
	const stream = `{"Action":"output","Package":"p","Test":"TestA","Output":"    a_test.go:1: needs redis-server\n"}
{"Action":"skip","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestB","Output":"    a_test.go:2: needs REDSTART_FAULTS=short or long\n"}
{"Action":"skip","Package":"p","Test":"TestB"}
{"Action":"skip","Package":"p","Test":"TestC"}
{"Action":"pass","Package":"p"}
`
	allowed, _ := report(t, false, stream)
	if n := len(allowed.Wants()); n != 0 {
		t.Errorf("%d wants without REDSTART_TEST_REQUIRE", n)
	}
	sum, text := report(t, true, stream)
	if wants := sum.Wants(); len(wants) != 1 || wants[0].test != "TestA" {
		t.Errorf("wants are %v, not TestA alone", wants)
	}
	if !strings.Contains(text, "TestC: (no reason given)") {
		t.Errorf("a skip without a reason is not named:\n%s", text)
	}
	if got := lastLine(text); got != "0 passed, 1 failed, 3 skipped" {
		t.Errorf("last line is %q", got)
	}
}

func TestPanicAndBuildFailureAreShown(t *testing.T) {
	const stream = `{"ImportPath":"q [q.test]","Action":"build-output","Output":"q/q.go:3:1: undefined: x\n"}
{"ImportPath":"q [q.test]","Action":"build-fail"}
{"Action":"output","Package":"q","Output":"FAIL\tq [build failed]\n"}
{"Action":"fail","Package":"q","Elapsed":0,"FailedBuild":"q [q.test]"}
{"Action":"output","Package":"p","Test":"TestHangs","Output":"=== RUN   TestHangs\n"}
{"Action":"output","Package":"p","Test":"TestHangs","Output":"panic: test timed out after 1s\n"}
{"Action":"output","Package":"p","Output":"FAIL\tp\t1.0s\n"}
{"Action":"fail","Package":"p","Elapsed":1}
`
	sum, text := report(t, false, stream)
	for _, want := range []string{"undefined: x", "never ended: p TestHangs", "panic: test timed out", "q (the package, outside any test)"} {
		if !strings.Contains(text, want) {
			t.Errorf("the report lacks %q:\n%s", want, text)
		}
	}
	if got := lastLine(text); got != "0 passed, 2 failed, 0 skipped" {
		t.Errorf("last line is %q", got)
	}
	if !sum.Failed() {
		t.Error("Failed() is false")
	}
}

func TestRunWithoutArgumentsIsAnError(t *testing.T) {
	var out strings.Builder
	if code, err := run(t.Context(), nil, &out, &out, false); code != 2 || err == nil {
		t.Errorf("got %d, %v", code, err)
	}
}

// TestRunGivesTheExitCodeOfGoTest runs the real go test on packages that fail before any test does.
func TestRunGivesTheExitCodeOfGoTest(t *testing.T) {
	var out strings.Builder
	code, err := run(t.Context(), []string{"./no-such-package"}, &out, &out, false)
	if code == 0 || err != nil {
		t.Errorf("got %d, %v:\n%s", code, err, out.String())
	}
	out.Reset()
	code, err = run(t.Context(), []string{"-run", "^TestRunWithoutArguments", "."}, &out, &out, false)
	if code != 0 || err != nil || lastLine(out.String()) != "1 passed, 0 failed, 0 skipped" {
		t.Errorf("got %d, %v:\n%s", code, err, out.String())
	}
}
