package database

import (
	"context"
	"os"

	"github.com/redstart-go/redstart/redstarttest"
)

// RunPostgres starts PostgreSQL for a test and closes it when the test ends; the
// server's log is shown when the test has failed by then. Without its programs the
// test is skipped, or fails with REDSTART_TEST_REQUIRE=1 in the environment; a server
// that does not start fails the test.
func RunPostgres(t redstarttest.TB, cfg Config) *Server {
	t.Helper()
	return run(t, cfg, "postgresql", newPostgres)
}

// RunMariaDB is RunPostgres for MariaDB.
func RunMariaDB(t redstarttest.TB, cfg Config) *Server {
	t.Helper()
	return run(t, cfg, "mariadb", newMariaDB)
}

func run(t redstarttest.TB, cfg Config, name string, find func() (engine, error)) *Server {
	t.Helper()
	if _, err := find(); err != nil {
		if os.Getenv("REDSTART_TEST_REQUIRE") == "1" {
			t.Fatalf("needs %s: install its server (%v)", name, err)
			return nil
		}
		t.Skipf("needs %s: install its server (%v)", name, err)
		return nil
	}
	s, err := start(context.Background(), cfg, find)
	if err != nil {
		t.Fatalf("%v", err)
		return nil
	}
	t.Cleanup(func() {
		if f, ok := t.(interface{ Failed() bool }); ok && f.Failed() {
			t.Logf("log of %s at %s:\n%s", name, s.Addr(), s.Log())
		}
		if err := s.Close(); err != nil {
			t.Logf("%v", err)
		}
	})
	return s
}
