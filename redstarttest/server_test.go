//go:build unix

package redstarttest_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redstart-go/redstart/redstarttest"
)

// run starts a server through the package's own Run.
func run(t *testing.T, cfg redstarttest.ServerConfig) *redstarttest.Server {
	t.Helper()
	s := redstarttest.Run(t, cfg)
	if !strings.Contains(s.Version(), "v=") {
		t.Fatalf("Version() = %q", s.Version())
	}
	return s
}

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

// do asks a server and fails the test on an error.
func do(t *testing.T, s *redstarttest.Server, args ...string) any {
	t.Helper()
	reply, err := s.Do(within(t, 20*time.Second), args...)
	if err != nil {
		t.Fatalf("%v: %v", args, err)
	}
	return reply
}

// gone says whether there is no such process any more. A zombie is not gone: its
// parent has not waited for it.
func gone(pid int) bool { return errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) }

func TestKillAndRestart(t *testing.T) {
	for _, tc := range []struct {
		aof  string
		unix bool
		keep bool
	}{
		{"", false, false},
		{"", true, false},
		{"always", false, true},
		{"always", true, true},
		{"everysec", false, true}, // SIGKILL leaves the page cache alone
	} {
		t.Run("aof="+tc.aof+",unix="+strconv.FormatBool(tc.unix), func(t *testing.T) {
			t.Parallel()
			s := run(t, redstarttest.ServerConfig{AOF: tc.aof, Unix: tc.unix})
			addr, pid := s.Addr(), s.Pid()
			do(t, s, "SET", "k", "v")
			must(t, s.Kill())
			if !gone(pid) {
				t.Fatalf("process %d is there after Kill", pid)
			}
			must(t, s.Kill()) // again: no error
			if _, err := s.Do(within(t, time.Second), "PING"); err == nil {
				t.Fatal("a killed server answered")
			}
			if err := s.Freeze(); err == nil {
				t.Fatal("froze a killed server")
			}
			must(t, s.Restart(within(t, 20*time.Second)))
			if s.Addr() != addr || s.Pid() == pid {
				t.Fatalf("restarted at %s as %d; was at %s as %d", s.Addr(), s.Pid(), addr, pid)
			}
			if got := do(t, s, "GET", "k"); (got == "v") != tc.keep || (got == nil) == tc.keep {
				t.Fatalf("GET after kill and restart = %v; want kept: %v", got, tc.keep)
			}
			// A restart of a running server ends the old process first.
			pid = s.Pid()
			must(t, s.Restart(within(t, 20*time.Second)))
			if !gone(pid) || s.Pid() == pid {
				t.Fatalf("process %d is there after Restart", pid)
			}
		})
	}
}

// Every server of the machine keeps to the same script.
func TestEveryLauncher(t *testing.T) {
	all := redstarttest.Launchers()
	if len(all) == 0 {
		run(t, redstarttest.ServerConfig{}) // skips, or fails where a server is required
	}
	for _, l := range all {
		t.Run(l.Name, func(t *testing.T) {
			s := run(t, redstarttest.ServerConfig{Path: l.Path, AOF: "always"})
			t.Log(s.Version())
			do(t, s, "SET", "old", "1")
			do(t, s, "SET", "new", "2")
			must(t, s.Freeze())
			must(t, s.Kill())
			must(t, s.Cut(1))
			must(t, s.Restart(within(t, 20*time.Second)))
			if old, young := do(t, s, "GET", "old"), do(t, s, "GET", "new"); old != "1" || young != nil {
				t.Errorf("after kill, cut and restart: old = %v, new = %v", old, young)
			}
			pid := s.Pid()
			must(t, s.Close())
			if !gone(pid) {
				t.Errorf("process %d is there after Close", pid)
			}
		})
	}
}

func TestFreezeAndContinue(t *testing.T) {
	s := run(t, redstarttest.ServerConfig{})
	for range 5 {
		must(t, s.Freeze())
		must(t, s.Freeze())
		type result struct {
			reply any
			err   error
		}
		answered := make(chan result, 1)
		ctx := within(t, 20*time.Second)
		go func() {
			reply, err := s.Do(ctx, "ECHO", "late")
			answered <- result{reply, err}
		}()
		// Two answers of a server that answers take far less than this deadline.
		if _, err := s.Do(within(t, 60*time.Millisecond), "PING"); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("a frozen server answered: %v", err)
		}
		select {
		case r := <-answered:
			t.Fatalf("a frozen server answered %v", r)
		default:
		}
		must(t, s.Continue())
		if r := <-answered; r.err != nil || r.reply != "late" {
			t.Fatalf("after Continue the command ended with %v", r)
		}
	}
}

func TestCloseLeavesNothing(t *testing.T) {
	for name, before := range map[string]func(s *redstarttest.Server) error{
		"running":         func(*redstarttest.Server) error { return nil },
		"killed":          (*redstarttest.Server).Kill,
		"frozen":          (*redstarttest.Server).Freeze,
		"frozen, killed":  func(s *redstarttest.Server) error { return errors.Join(s.Freeze(), s.Kill()) },
		"thawed":          func(s *redstarttest.Server) error { return errors.Join(s.Freeze(), s.Continue()) },
		"frozen, started": func(s *redstarttest.Server) error { return errors.Join(s.Freeze(), s.Restart(t.Context())) },
	} {
		t.Run(name, func(t *testing.T) {
			s := run(t, redstarttest.ServerConfig{AOF: "always"})
			first := s.Pid()
			if _, err := os.Stat(s.Dir()); err != nil {
				t.Fatal(err)
			}
			must(t, before(s))
			from := time.Now()
			must(t, s.Close())
			if took := time.Since(from); name == "frozen" && took > 4*time.Second {
				t.Errorf("closing a frozen server took %v: it waited for SIGTERM's effect", took)
			}
			if !gone(first) || !gone(s.Pid()) {
				t.Errorf("process %d or %d is there after Close", first, s.Pid())
			}
			if _, err := os.Stat(s.Dir()); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("%s is there after Close (%v)", s.Dir(), err)
			}
			must(t, s.Close())
			for what, err := range map[string]error{
				"Kill": s.Kill(), "Freeze": s.Freeze(), "Continue": s.Continue(),
				"Restart": s.Restart(t.Context()), "Cut": s.Cut(1),
			} {
				if err == nil {
					t.Errorf("%s after Close gave no error", what)
				}
			}
		})
	}
}

// needsServer skips a test that starts servers by itself where there is no
// redis-server, as Run does.
func needsServer(t *testing.T) {
	t.Helper()
	if _, err := redstarttest.Find(); err != nil {
		redstarttest.Run(t, redstarttest.ServerConfig{})
	}
}

func TestGivenFolderIsKept(t *testing.T) {
	needsServer(t)
	dir := t.TempDir()
	s, err := redstarttest.StartServer(t.Context(), redstarttest.ServerConfig{Dir: dir, AOF: "always"})
	must(t, err)
	do(t, s, "SET", "k", "v")
	must(t, s.Close())
	s = run(t, redstarttest.ServerConfig{Dir: dir, AOF: "always"})
	if got := do(t, s, "GET", "k"); got != "v" {
		t.Fatalf("GET = %v", got)
	}
}

func TestCutTakesTheTail(t *testing.T) {
	s := run(t, redstarttest.ServerConfig{AOF: "always"})
	do(t, s, "SET", "old", "1")
	do(t, s, "SET", "new", "2")
	if err := s.Cut(1); err == nil || !strings.Contains(err.Error(), "Kill") {
		t.Fatalf("Cut of a running server: %v", err)
	}
	must(t, s.Kill())
	if err := s.Cut(-1); err == nil {
		t.Fatal("cut -1 bytes")
	}
	must(t, s.Cut(1)) // the last command is no longer whole
	must(t, s.Restart(t.Context()))
	if old, young := do(t, s, "GET", "old"), do(t, s, "GET", "new"); old != "1" || young != nil {
		t.Fatalf("after a cut of one byte: old = %v, new = %v", old, young)
	}
	// After a rewrite another file is the newest.
	do(t, s, "BGREWRITEAOF")
	redstarttest.Eventually(t, 20*time.Second, "the rewrite is over", func() bool {
		info := do(t, s, "INFO", "persistence").(string)
		return strings.Contains(info, "aof_rewrite_in_progress:0") && strings.Contains(info, "aof_rewrite_scheduled:0")
	})
	do(t, s, "SET", "newer", "3")
	must(t, s.Kill())
	must(t, s.Cut(1<<30)) // more than there is
	must(t, s.Restart(t.Context()))
	if old, young := do(t, s, "GET", "old"), do(t, s, "GET", "newer"); old != "1" || young != nil {
		t.Fatalf("after losing the newest file: old = %v, newer = %v", old, young)
	}

	none := run(t, redstarttest.ServerConfig{})
	must(t, none.Kill())
	if err := none.Cut(1); err == nil || !strings.Contains(err.Error(), "AOF") {
		t.Fatalf("Cut without an append-only file: %v", err)
	}
}

func TestConfigReachesTheServer(t *testing.T) {
	const password = "s3cret:/@"
	s := run(t, redstarttest.ServerConfig{AOF: "everysec", Args: []string{"--maxmemory", "64mb", "--requirepass", password, "--cluster-enabled", "yes"}})
	for name, want := range map[string]string{
		"maxmemory": "67108864", "save": "", "appendonly": "yes", "appendfsync": "everysec",
		"bind": "127.0.0.1", "cluster-enabled": "yes",
	} {
		got := do(t, s, "CONFIG", "GET", name).([]any)
		if len(got) != 2 || got[1] != want {
			t.Errorf("CONFIG GET %s = %v, want %q", name, got, want)
		}
	}
	if want := "redis://:s3cret%3A%2F%40@127.0.0.1:"; !strings.HasPrefix(s.URL(), want) {
		t.Errorf("URL = %s, want %s…", s.URL(), want)
	}
	if !strings.Contains(s.Log(), "Ready to accept connections") {
		t.Errorf("log: %s", s.Log())
	}
	u := run(t, redstarttest.ServerConfig{Unix: true})
	if want := "unix://" + u.Addr(); u.URL() != want || !filepath.IsAbs(u.Addr()) {
		t.Errorf("URL = %s, want %s", u.URL(), want)
	}
}

// A configuration file is read before the arguments, and what the server writes into it is there after a restart.
func TestConfigurationFile(t *testing.T) {
	s := run(t, redstarttest.ServerConfig{Conf: "maxmemory 1mb\ntimeout 11\n", Args: []string{"--maxmemory", "64mb"}})
	get := func(name string) any { return do(t, s, "CONFIG", "GET", name).([]any)[1] }
	if get("timeout") != "11" || get("maxmemory") != "67108864" {
		t.Errorf("timeout %v, maxmemory %v", get("timeout"), get("maxmemory"))
	}
	do(t, s, "CONFIG", "SET", "timeout", "12")
	do(t, s, "CONFIG", "REWRITE")
	must(t, s.Kill())
	must(t, s.Restart(within(t, 20*time.Second)))
	if get("timeout") != "12" {
		t.Errorf("timeout %v after the restart", get("timeout"))
	}
}

func TestReplies(t *testing.T) {
	s := run(t, redstarttest.ServerConfig{})
	do(t, s, "RPUSH", "l", "a", "b")
	got, ok := do(t, s, "EVAL", `return {1, 'x', false, redis.call('LRANGE', 'l', 0, -1), redis.pcall('GET', 'l')}`, "0").([]any)
	if !ok || len(got) != 5 || got[0] != int64(1) || got[1] != "x" || got[2] != nil {
		t.Fatalf("reply = %v", got)
	}
	if list, ok := got[3].([]any); !ok || len(list) != 2 || list[1] != "b" {
		t.Errorf("nested list = %v", got[3])
	}
	if e, ok := got[4].(redstarttest.ReplyError); !ok || !strings.HasPrefix(e.Error(), "WRONGTYPE") {
		t.Errorf("nested error = %#v", got[4])
	}
	reply, err := s.Do(t.Context(), "GET", "l")
	var refused redstarttest.ReplyError
	if reply != nil || !errors.As(err, &refused) || !strings.HasPrefix(string(refused), "WRONGTYPE") {
		t.Errorf("GET of a list = %v, %v", reply, err)
	}
	if _, err := s.Do(t.Context()); err == nil {
		t.Error("an empty command gave no error")
	}
	ctx, cancel := context.WithCancel(t.Context())
	must(t, s.Freeze())
	ended := make(chan error, 1)
	go func() { _, err := s.Do(ctx, "PING"); ended <- err }()
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled Do = %v", err)
	}
}

func TestStartFails(t *testing.T) {
	path, err := redstarttest.Find()
	if err != nil {
		t.Skip("needs redis-server")
	}
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	for name, tc := range map[string]struct {
		cfg  redstarttest.ServerConfig
		want string
	}{
		"bad directive": {redstarttest.ServerConfig{Path: path, Args: []string{"--no-such-thing", "1"}}, "Bad directive"},
		"bad aof":       {redstarttest.ServerConfig{Path: path, AOF: "sometimes"}, "everysec"},
		"no program":    {redstarttest.ServerConfig{Path: filepath.Join(dir, "none")}, "no such file"},
	} {
		if _, err := redstarttest.StartServer(t.Context(), tc.cfg); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q in it", name, err, tc.want)
		}
	}
	// Never ready: its replies wait for a script that the program, a stand-in, never runs.
	silent := filepath.Join(dir, "silent")
	must(t, os.WriteFile(silent, []byte("#!/bin/sh\n[ \"$1\" = --version ] && exec echo v=0\necho I say nothing\nexec sleep 1000\n"), 0o700))
	_, err = redstarttest.StartServer(within(t, 300*time.Millisecond), redstarttest.ServerConfig{Path: silent})
	if !errors.Is(err, context.DeadlineExceeded) && (err == nil || !strings.Contains(err.Error(), "no PONG")) || !strings.Contains(err.Error(), "I say nothing") {
		t.Errorf("a silent program: %v", err)
	}
	left, err := filepath.Glob(filepath.Join(dir, "redstart-*"))
	if err != nil || len(left) != 0 {
		t.Errorf("failed starts left %v (%v)", left, err)
	}
}

// A port that is taken when the server wants it: Restart tries on until it is
// free, and never takes another's server for its own.
func TestRestartWaitsForThePort(t *testing.T) {
	s := run(t, redstarttest.ServerConfig{})
	must(t, s.Kill())
	squatter, err := net.Listen("tcp", s.Addr())
	must(t, err)
	defer squatter.Close()
	var serving sync.WaitGroup
	came := make(chan struct{}, 1000)
	serving.Go(func() { // answers as a server would
		for {
			c, err := squatter.Accept()
			if err != nil {
				return
			}
			c.Write([]byte("+PONG\r\n"))
			c.Close()
			came <- struct{}{}
		}
	})
	restarted := make(chan error, 1)
	go func() { restarted <- s.Restart(within(t, 20*time.Second)) }()
	for range 3 {
		select {
		case <-came:
		case err := <-restarted:
			t.Fatalf("Restart returned %v while another had the port", err)
		}
	}
	must(t, squatter.Close())
	serving.Wait()
	must(t, <-restarted)
	if got := do(t, s, "SET", "k", "v"); got != "OK" {
		t.Fatalf("SET = %v", got)
	}
}

func TestManyAtOnce(t *testing.T) {
	needsServer(t)
	var wg sync.WaitGroup
	var mu sync.Mutex
	addrs := map[string]bool{}
	for range 6 {
		wg.Go(func() {
			s, err := redstarttest.StartServer(t.Context(), redstarttest.ServerConfig{})
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			if addrs[s.Addr()] {
				t.Errorf("two servers at %s", s.Addr())
			}
			addrs[s.Addr()] = true
			mu.Unlock()
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

func TestLaunchers(t *testing.T) {
	root := t.TempDir()
	for _, name := range []string{"b9", "a8", "empty"} {
		must(t, os.Mkdir(filepath.Join(root, name), 0o700))
	}
	for _, name := range []string{"b9", "a8"} {
		must(t, os.WriteFile(filepath.Join(root, name, "redis-server"), []byte("#!/bin/sh\n"), 0o700))
	}
	must(t, os.WriteFile(filepath.Join(root, "empty", "redis-server"), nil, 0o600)) // not a program
	t.Setenv("REDSTART_TEST_SERVERS", root)
	t.Setenv("PATH", filepath.Join(root, "a8"))
	want := []redstarttest.Launcher{
		{Name: "PATH", Path: filepath.Join(root, "a8", "redis-server")},
		{Name: "a8", Path: filepath.Join(root, "a8", "redis-server")},
		{Name: "b9", Path: filepath.Join(root, "b9", "redis-server")},
	}
	got := redstarttest.Launchers()
	if len(got) != len(want) {
		t.Fatalf("Launchers() = %v, want %v", got, want)
	}
	for i := range got {
		if got[i] != want[i] {
			t.Errorf("Launchers()[%d] = %v, want %v", i, got[i], want[i])
		}
	}
	t.Setenv("PATH", root)
	t.Setenv("REDSTART_TEST_SERVERS", "")
	if got := redstarttest.Launchers(); len(got) != 0 {
		t.Errorf("Launchers() = %v, want none", got)
	}
}
