//go:build unix

package database_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redstart-go/redstart/redstarttest"
	"github.com/redstart-go/redstart/redstarttest/database"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// kind is one of the databases, and how its own client runs a statement.
type kind struct {
	name  string
	run   func(redstarttest.TB, database.Config) *database.Server
	start func(context.Context, database.Config) (*database.Server, error)
	ask   func(ctx context.Context, s *database.Server, sql string) *exec.Cmd
	sleep string // a statement that takes as long as one likes, and then says 1
}

func kinds() []kind {
	return []kind{
		{
			"postgresql", database.RunPostgres, database.StartPostgres,
			func(ctx context.Context, s *database.Server, sql string) *exec.Cmd {
				bin, err := database.FindPostgres()
				if err != nil {
					bin = ""
				}
				return exec.CommandContext(ctx, filepath.Join(bin, "psql"), "-XAtq", "-d", s.DSN(), "-c", sql)
			},
			"select 1 from pg_sleep(60)",
		},
		{
			"mariadb", database.RunMariaDB, database.StartMariaDB,
			func(ctx context.Context, s *database.Server, sql string) *exec.Cmd {
				way := []string{"--protocol=tcp", "--host=127.0.0.1", "--port=" + s.Addr()[strings.LastIndexByte(s.Addr(), ':')+1:]}
				if strings.HasPrefix(s.Addr(), "/") {
					way = []string{"--socket=" + s.Addr()}
				}
				return exec.CommandContext(ctx, tool("mariadb"), append(append([]string{"--no-defaults"}, way...), "-uroot", "-N", "test", "-e", sql)...)
			},
			"select 1 from (select sleep(60)) as s",
		},
	}
}

// ask runs a statement and gives what it answered.
func (k kind) query(t *testing.T, s *database.Server, sql string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	out, err := k.ask(ctx, s, sql).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", sql, err, out)
	}
	return strings.TrimSpace(string(out))
}

// tool gives the path of a program that may be off this PATH, as the servers' are.
func tool(name string) string {
	for _, dir := range []string{"/usr/bin", "/bin"} {
		if path := filepath.Join(dir, name); exec.Command(path, "--version").Run() == nil {
			return path
		}
	}
	return name
}

// family gives the process and its children.
func family(t *testing.T, pid int) []int {
	t.Helper()
	all := []int{pid}
	out, err := exec.Command(tool("ps"), "-A", "-o", "pid=,ppid=").Output()
	must(t, err)
	for line := range strings.Lines(string(out)) {
		if w := strings.Fields(line); len(w) == 2 && w[1] == strconv.Itoa(pid) {
			child, err := strconv.Atoi(w[0])
			must(t, err)
			all = append(all, child)
		}
	}
	return all
}

// alive says whether there is such a process that has not ended. One whose parent
// is gone is waited for by another program, when that likes.
func alive(t *testing.T, pid int) bool {
	t.Helper()
	if errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
		return false
	}
	out, err := exec.Command(tool("ps"), "-o", "stat=", "-p", strconv.Itoa(pid)).Output()
	return err == nil && !strings.HasPrefix(strings.TrimSpace(string(out)), "Z")
}

func TestKillAndRestart(t *testing.T) {
	for _, k := range kinds() {
		for _, cfg := range []database.Config{{}, {Unix: true, NoSync: true}} {
			t.Run(k.name+",unix="+strconv.FormatBool(cfg.Unix)+",nosync="+strconv.FormatBool(cfg.NoSync), func(t *testing.T) {
				t.Parallel()
				began := time.Now()
				s := k.run(t, cfg)
				t.Logf("made and started in %v", time.Since(began))
				addr, pid := s.Addr(), s.Pid()
				k.query(t, s, "create table t (a bigint)")
				k.query(t, s, "insert into t values (1)")

				// A statement is at work when the kill comes.
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				busy := k.ask(ctx, s, "insert into t "+k.sleep)
				must(t, busy.Start())
				redstarttest.Eventually(t, 20*time.Second, "the statement is at work", func() bool {
					return k.query(t, s, map[string]string{
						"postgresql": "select count(*) from pg_stat_activity where query like 'insert%sleep%' and state = 'active'",
						"mariadb":    "select count(*) from information_schema.processlist where info like 'insert%sleep%'",
					}[k.name]) == "1"
				})
				all := family(t, pid)
				if k.name == "postgresql" && len(all) < 6 {
					t.Fatalf("only %d processes", len(all))
				}
				must(t, s.Kill())
				for _, one := range all {
					if alive(t, one) {
						t.Errorf("process %d is there after Kill", one)
					}
				}
				if err := busy.Wait(); err == nil {
					t.Error("a killed server finished a statement")
				}
				must(t, s.Kill()) // again: no error
				if err := s.Freeze(); err == nil {
					t.Error("froze a killed server")
				}

				must(t, s.Restart(t.Context()))
				if s.Addr() != addr || s.Pid() == pid {
					t.Fatalf("restarted at %s as %d; was at %s as %d", s.Addr(), s.Pid(), addr, pid)
				}
				if got := k.query(t, s, "select count(*) from t"); got != "1" {
					t.Errorf("%s rows after kill and restart", got)
				}
				// A restart of a running server ends the old one first.
				pid = s.Pid()
				must(t, s.Restart(t.Context()))
				if alive(t, pid) || s.Pid() == pid {
					t.Errorf("process %d is there after Restart", pid)
				}
			})
		}
	}
}

func TestFreezeAndContinue(t *testing.T) {
	for _, k := range kinds() {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			s := k.run(t, database.Config{Unix: true, NoSync: true})
			k.query(t, s, "create table t (a bigint)")
			for range 2 {
				// A client that is connected already must find a frozen server as well.
				ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
				client := k.ask(ctx, s, "")
				client.Args = client.Args[:len(client.Args)-2] // without the statement: reads them from stdin
				in, err := client.StdinPipe()
				must(t, err)
				out, err := client.StdoutPipe()
				must(t, err)
				if k.name == "mariadb" {
					client.Args = append(client.Args, "--unbuffered")
				}
				must(t, client.Start())
				_, err = io.WriteString(in, "select 41;\n")
				must(t, err)
				head := make([]byte, 3)
				_, err = io.ReadFull(out, head)
				must(t, err)

				must(t, s.Freeze())
				must(t, s.Freeze())
				_, err = io.WriteString(in, "insert into t values (1);\nselect 42;\n")
				must(t, err)
				answered := make(chan string, 1)
				go func() {
					rest, _ := io.ReadAll(out)
					answered <- string(rest)
				}()
				must(t, in.Close())
				select {
				case got := <-answered:
					t.Fatalf("a frozen server answered %q", got)
				case <-time.After(100 * time.Millisecond): // the question takes far less of a server that answers
				}
				must(t, s.Continue())
				if got := <-answered; strings.TrimSpace(got) != "42" {
					t.Errorf("after Continue: %q", got)
				}
				must(t, client.Wait())
				cancel()
			}
			if got := k.query(t, s, "select count(*) from t"); got != "2" {
				t.Errorf("%s rows", got)
			}
		})
	}
}

func TestCloseLeavesNothing(t *testing.T) {
	for _, k := range kinds() {
		for name, before := range map[string]func(s *database.Server) error{
			"frozen":          (*database.Server).Freeze,
			"frozen, killed":  func(s *database.Server) error { return errors.Join(s.Freeze(), s.Kill()) },
			"frozen, started": func(s *database.Server) error { return errors.Join(s.Freeze(), s.Restart(context.Background())) },
		} {
			t.Run(k.name+", "+name, func(t *testing.T) {
				t.Parallel()
				s := k.run(t, database.Config{Unix: true, NoSync: true})
				must(t, before(s))
				all := family(t, s.Pid())
				must(t, s.Close())
				must(t, s.Close())
				for _, one := range all {
					if alive(t, one) {
						t.Errorf("process %d is there after Close", one)
					}
				}
				if _, err := os.Stat(s.Dir()); !errors.Is(err, os.ErrNotExist) {
					t.Errorf("the folder is there after Close: %v", err)
				}
				if s.Kill() == nil || s.Freeze() == nil || s.Continue() == nil || s.Restart(t.Context()) == nil {
					t.Error("a closed server takes orders")
				}
			})
		}
	}
}

// The port may be another's when a killed server comes back.
func TestRestartWaitsForThePort(t *testing.T) {
	for _, k := range kinds() {
		t.Run(k.name, func(t *testing.T) {
			s := k.run(t, database.Config{NoSync: true})
			must(t, s.Kill())
			l, err := net.Listen("tcp", s.Addr())
			must(t, err)
			done := make(chan error, 1)
			go func() { done <- s.Restart(context.Background()) }()
			redstarttest.Eventually(t, 20*time.Second, "the port is found taken", func() bool {
				return strings.Contains(s.Log(), "in use")
			})
			must(t, l.Close())
			must(t, <-done)
			if got := k.query(t, s, "select 1"); got != "1" {
				t.Errorf("answer %q", got)
			}
		})
	}
}

// What does not start says why, and leaves nothing.
func TestStartFails(t *testing.T) {
	dir := t.TempDir()
	for _, k := range kinds() {
		t.Run(k.name, func(t *testing.T) {
			k.run(t, database.Config{Unix: true, NoSync: true}) // or skips
			must(t, os.Chmod(dir, 0o777))
			must(t, os.Chmod(filepath.Dir(dir), 0o755))
			t.Setenv("TMPDIR", dir)
			args := map[string][]string{"postgresql": {"-c", "no_such_setting=1"}, "mariadb": {"--no-such-setting=1"}}[k.name]
			s, err := k.start(t.Context(), database.Config{Unix: true, Args: args})
			if err == nil {
				must(t, s.Close())
				t.Fatal("it started")
			}
			if !strings.Contains(err.Error(), "such") {
				t.Errorf("the error does not say why: %v", err)
			}
			left, err := os.ReadDir(dir)
			must(t, err)
			if len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			defer cancel()
			if _, err := k.start(ctx, database.Config{Unix: true}); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("a start with a deadline of 1 ms: %v", err)
			}
		})
	}
}

// recorder is a TB that notes how a test would have ended.
type recorder struct {
	*testing.T
	fatal, skip string
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.fatal = strings.TrimSpace(format)
	for _, a := range args {
		if s, ok := a.(string); ok {
			r.fatal = strings.Replace(r.fatal, "%s", s, 1)
		}
	}
	runtime.Goexit()
}

func (r *recorder) Skipf(format string, args ...any) {
	r.skip = strings.Replace(format, "%s", args[0].(string), 1)
	runtime.Goexit()
}

func TestWhatIsMissing(t *testing.T) {
	for _, k := range kinds() {
		if k.name == "postgresql" {
			if found, _ := filepath.Glob("/usr/lib/postgresql/*/bin"); len(found) > 0 {
				continue // found without a PATH
			}
		}
		if _, err := os.Stat("/usr/sbin/mariadbd"); err == nil && k.name == "mariadb" {
			continue
		}
		t.Setenv("PATH", t.TempDir())
		for _, require := range []string{"", "1"} {
			t.Setenv("REDSTART_TEST_REQUIRE", require)
			r := &recorder{T: t}
			done := make(chan struct{})
			go func() {
				defer close(done)
				k.run(r, database.Config{})
			}()
			<-done
			got := map[string]string{"": r.skip, "1": r.fatal}[require]
			if !strings.HasPrefix(got, "needs "+k.name) || r.skip != "" && r.fatal != "" {
				t.Errorf("skip = %q, fatal = %q with REDSTART_TEST_REQUIRE=%q", r.skip, r.fatal, require)
			}
		}
	}
}
