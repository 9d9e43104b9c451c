package redstarttest

import (
	"context"
	"os"
	"path/filepath"
	"time"
)

// TB is what this package needs of *testing.T, *testing.B and *testing.F.
type TB interface {
	Helper()
	Cleanup(func())
	Fatalf(format string, args ...any)
	Skipf(format string, args ...any)
	Logf(format string, args ...any)
	Name() string
	TempDir() string
}

// Run starts a server for a test and closes it when the test ends; the server's
// log is shown when the test has failed by then. Without a redis-server the test
// is skipped, or fails with REDSTART_TEST_REQUIRE=1 in the environment; a server
// that does not start fails the test.
func Run(t TB, cfg ServerConfig) *Server {
	t.Helper()
	if cfg.Path == "" {
		path, err := Find()
		if err != nil {
			lacksf(t, "needs redis-server: install it, or put it on PATH (%v)", err)
			return nil
		}
		cfg.Path = path
	}
	s, err := StartServer(context.Background(), cfg)
	if err != nil {
		t.Fatalf("%v", err)
		return nil
	}
	t.Cleanup(func() {
		if f, ok := t.(interface{ Failed() bool }); ok && f.Failed() {
			t.Logf("log of %s at %s:\n%s", s.path, s.Addr(), s.Log())
		}
		if err := s.Close(); err != nil {
			t.Logf("%v", err)
		}
	})
	return s
}

// Data is the path of a data file in the folder $REDSTART_TEST_DATA. Without it
// the test is skipped, or fails with REDSTART_TEST_REQUIRE=1 in the environment.
func Data(t TB, name string) string {
	t.Helper()
	dir := os.Getenv("REDSTART_TEST_DATA")
	if dir == "" {
		lacksf(t, "needs REDSTART_TEST_DATA: the folder that holds %s", name)
		return ""
	}
	path := filepath.Join(dir, name)
	if _, err := os.Stat(path); err != nil {
		lacksf(t, "needs REDSTART_TEST_DATA to hold %s: %v", name, err)
		return ""
	}
	return path
}

// lacksf skips the test or, where everything is required, fails it.
func lacksf(t TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("REDSTART_TEST_REQUIRE") == "1" {
		t.Fatalf(format, args...)
		return
	}
	t.Skipf(format, args...)
}

// Eventually waits until cond holds, asking at once and then every 1 to 20 ms,
// and fails the test when it still does not after within. The last question is
// asked after the time is over, so a slow machine fails nothing that holds. cond
// runs in the caller's goroutine.
func Eventually(t TB, within time.Duration, what string, cond func() bool) {
	t.Helper()
	end := time.Now().Add(within)
	for pause := time.Millisecond; ; pause = min(2*pause, 20*time.Millisecond) {
		last := !time.Now().Before(end)
		if cond() {
			return
		}
		if last {
			t.Fatalf("redstart/redstarttest: still not so after %v: %s", within, what)
			return
		}
		<-time.After(pause)
	}
}
