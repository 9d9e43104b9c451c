package guarantees

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestANewPageHasEveryPromise(t *testing.T) {
	page := rewrite("", Row{ID: "C1", Test: "faults.TestX", Figure: "1 load | of 1\nkey"})
	for _, want := range []string{
		"# Guarantees\n",
		"## Cache\n\n| ID | promise | test | figure, date, servers |\n|---|---|---|---|\n| C1 | a cold key is loaded once across all processes | `faults.TestX` | 1 load \\| of 1 key |\n| C2 |",
		"| C9 | many keys: one loader call with exactly the missing ids, one round trip per node | | not yet: " + notRun + " |\n| C10 |",
		"| U1 |", "\n## Bugs found, and the test that keeps them away\n",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q:\n%s", want, page)
		}
	}
	promises := 0
	for _, a := range areas {
		promises += len(a.promises)
	}
	if n := strings.Count(page, "not yet: "); n != promises-1 {
		t.Errorf("%d promises are not kept yet, want all but one of %d", n, promises)
	}
}

func TestTheRestOfThePageStays(t *testing.T) {
	page := rewrite("", Row{ID: "C1", Test: "a", Figure: "b"})
	page = strings.Replace(page, "What Redstart promises", "What we promise", 1)
	page = strings.Replace(page, "| O4 | lint", "| O7 | a promise of later | `x` | 5 |\n| O4 | lint", 1)
	page += "| a stale fill | a held reply | `TestLateJoiner` |\n"
	again := rewrite(page, Row{ID: "J3", Test: "topic.TestGap", Figure: "0"})
	for _, want := range []string{
		"What we promise", "| O7 | a promise of later | `x` | 5 |\n\n## Bugs", "| C1 | a cold key is loaded once across all processes | `a` | b |",
		"| J3 | a topic tells its subscriber of every gap | `topic.TestGap` | 0 |", "| a stale fill | a held reply | `TestLateJoiner` |\n",
	} {
		if !strings.Contains(again, want) {
			t.Errorf("the page lacks %q:\n%s", want, again)
		}
	}
	if third := rewrite(again, Row{ID: "J3", Test: "topic.TestGap", Figure: "0"}); third != again {
		t.Errorf("writing the same row again changed the page:\n%s\nto\n%s", again, third)
	}
}

// A row that make bench shares keeps what that wrote, whoever was first.
func TestFiguresOfSpeedStay(t *testing.T) {
	const speed = "<br>1.7 times \\| otter"
	fresh := rewrite("", Row{ID: "C1", Test: "a", Figure: "b"})
	benchFirst := strings.Replace(fresh, "by push | | not yet: "+notRun+" |", "by push | <br>`bench.TestX` | not yet: "+notRun+speed+" |", 1)
	if benchFirst == fresh {
		t.Fatal("C6 does not look as it did")
	}
	page := rewrite(benchFirst, Row{ID: "C1", Test: "a", Figure: "b"})
	if page != benchFirst {
		t.Errorf("another row's figure changed\n%s\nto\n%s", benchFirst, page)
	}
	for _, figure := range []string{"0 stale", "0 stale | of 7"} {
		page = rewrite(page, Row{ID: "C6", Test: "faults.TestC6", Figure: figure})
		if want := "by push | `faults.TestC6`<br>`bench.TestX` | " + cell(figure) + speed + " |\n"; !strings.Contains(page, want) {
			t.Errorf("the page lacks %q:\n%s", want, page)
		}
	}
}

func TestUpdatesAtOnceLoseNone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "GUARANTEES.md")
	var wg sync.WaitGroup
	for n := 1; n <= 12; n++ {
		wg.Go(func() {
			if err := Update(path, Row{ID: fmt.Sprint("C", n), Test: "t", Figure: fmt.Sprint("figure ", n, ".")}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for n := 1; n <= 12; n++ {
		if want := fmt.Sprintf("| figure %d. |", n); !strings.Contains(string(page), want) {
			t.Errorf("the page lacks %q:\n%s", want, page)
		}
	}
	if err := Update(path, Row{ID: "X1"}); err == nil {
		t.Error("a row of no table was written")
	}
}
