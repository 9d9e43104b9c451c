package redstarttest_test

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/redstart-go/redstart/redstarttest"
)

var (
	_ redstarttest.TB = (*testing.T)(nil)
	_ redstarttest.TB = (*testing.B)(nil)
	_ redstarttest.TB = (*testing.F)(nil)
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// recorder is a TB that notes how a test would have ended.
type recorder struct {
	*testing.T
	fatal, skip string
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.fatal = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func (r *recorder) Skipf(format string, args ...any) {
	r.skip = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

// recorded runs f as a test of its own would be run.
func recorded(t *testing.T, f func(t redstarttest.TB)) *recorder {
	r := &recorder{T: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		f(r)
	}()
	<-done
	return r
}

func TestWhatIsMissing(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PATH", dir)
	for what, f := range map[string]func(t redstarttest.TB){
		"needs redis-server":       func(t redstarttest.TB) { redstarttest.Run(t, redstarttest.ServerConfig{}) },
		"needs REDSTART_TEST_DATA": func(t redstarttest.TB) { redstarttest.Data(t, "some.csv") },
	} {
		for _, folder := range []string{"", dir} {
			t.Setenv("REDSTART_TEST_DATA", folder)
			t.Setenv("REDSTART_TEST_REQUIRE", "")
			if r := recorded(t, f); !strings.HasPrefix(r.skip, what) || r.fatal != "" {
				t.Errorf("skip = %q, fatal = %q; want a skip that begins %q", r.skip, r.fatal, what)
			}
			t.Setenv("REDSTART_TEST_REQUIRE", "1")
			if r := recorded(t, f); !strings.HasPrefix(r.fatal, what) || r.skip != "" {
				t.Errorf("required: skip = %q, fatal = %q; want a failure that begins %q", r.skip, r.fatal, what)
			}
		}
	}
	must(t, os.WriteFile(filepath.Join(dir, "some.csv"), []byte("1,2\n"), 0o600))
	if got := redstarttest.Data(t, "some.csv"); got != filepath.Join(dir, "some.csv") {
		t.Errorf("Data = %q", got)
	}
}

func TestRunOfABrokenServerFails(t *testing.T) {
	r := recorded(t, func(t redstarttest.TB) {
		redstarttest.Run(t, redstarttest.ServerConfig{Path: filepath.Join(t.TempDir(), "none")})
	})
	if r.fatal == "" || r.skip != "" {
		t.Errorf("fatal = %q, skip = %q; want a failure", r.fatal, r.skip)
	}
}

func TestEventually(t *testing.T) {
	asked := 0
	redstarttest.Eventually(t, time.Minute, "the third question", func() bool { asked++; return asked == 3 })
	if asked != 3 {
		t.Errorf("asked %d times", asked)
	}
	redstarttest.Eventually(t, 0, "at once", func() bool { return true })
	r := recorded(t, func(t redstarttest.TB) {
		redstarttest.Eventually(t, 30*time.Millisecond, "pigs fly", func() bool { return false })
	})
	if !strings.Contains(r.fatal, "pigs fly") {
		t.Errorf("fatal = %q", r.fatal)
	}
}
