package redstarttest_test

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redstart-go/redstart/redstarttest"
)

// dead also takes a zombie for dead: who inherits a dead program's children may
// not wait for them.
func dead(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || bytes.Contains(stat, []byte(") Z "))
}

// TestServerDiesWithProgram starts this test again as a program that starts a
// server, kills that program, and waits for the server to be gone.
func TestServerDiesWithProgram(t *testing.T) {
	if os.Getenv("REDSTART_CHILD") == "server" {
		s, err := redstarttest.StartServer(t.Context(), redstarttest.ServerConfig{})
		if err != nil {
			t.Fatal(err)
		}
		fmt.Printf("server %d\n", s.Pid())
		select {} // until it is killed
	}
	run(t, redstarttest.ServerConfig{}) // or skip, when there is no redis-server
	child := exec.Command(os.Args[0], "-test.run=^TestServerDiesWithProgram$")
	dir := t.TempDir() // the program cannot remove its folder
	child.Env = append(os.Environ(), "REDSTART_CHILD=server", "TMPDIR="+dir)
	out, err := child.StdoutPipe()
	must(t, err)
	must(t, child.Start())
	pid := 0
	lines := bufio.NewScanner(out)
	for pid == 0 && lines.Scan() {
		if text, ok := strings.CutPrefix(lines.Text(), "server "); ok {
			pid, _ = strconv.Atoi(text)
		}
	}
	if pid == 0 || dead(pid) {
		child.Process.Kill()
		child.Wait()
		t.Fatalf("the program started no server (%d)", pid)
	}
	must(t, child.Process.Kill())
	child.Wait()
	redstarttest.Eventually(t, 20*time.Second, "the server is gone with its program", func() bool { return dead(pid) })
}

// The kernel ties the server's death to a thread: it must not be that of a caller,
// which may end long before the program does.
func TestServerOutlivesCallersThread(t *testing.T) {
	type result struct {
		s   *redstarttest.Server
		tid int
		err error
	}
	started := make(chan result)
	over := make(chan struct{})
	defer close(over)
	var start func()
	start = func() {
		runtime.LockOSThread()                    // and never unlocked, so the thread ends with the goroutine
		if syscall.Gettid() == syscall.Getpid() { // but for the program's first thread, which never ends
			go start()
			<-over
			return
		}
		s, err := redstarttest.StartServer(t.Context(), redstarttest.ServerConfig{})
		started <- result{s, syscall.Gettid(), err}
	}
	go start()
	r := <-started
	if r.err != nil {
		if _, err := redstarttest.Find(); err != nil {
			t.Skip("needs redis-server")
		}
		t.Fatal(r.err)
	}
	defer r.s.Close()
	redstarttest.Eventually(t, 20*time.Second, "the caller's thread has ended", func() bool {
		_, err := os.Stat(fmt.Sprintf("/proc/self/task/%d", r.tid))
		return err != nil
	})
	if dead(r.s.Pid()) {
		t.Fatal("the server died with the thread that called StartServer")
	}
	do(t, r.s, "PING")
}
