//go:build unix

package near

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/redstart-go/redstart/redstarttest"
)

// A process that was stopped does not serve, when it wakes, what is older than
// MaxStale: the clock has gone on.
func TestStoppedProcess(t *testing.T) {
	t.Parallel()
	server := redstarttest.Run(t, redstarttest.ServerConfig{})
	stop, times := time.Second, 2
	if long() {
		stop, times = 10*time.Second, 5
	}
	for range times {
		if _, err := server.Do(t.Context(), "SET", "k", "1"); err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), os.Args[0]) //nolint:gosec // this program
		cmd.Env = append(os.Environ(), childOf+"="+server.URL())
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		if !lines.Scan() || lines.Text() != "ready" {
			t.Fatal("the process says", lines.Text())
		}
		if err := cmd.Process.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		var status syscall.WaitStatus
		if _, err := syscall.Wait4(cmd.Process.Pid, &status, syscall.WUNTRACED, nil); err != nil || !status.Stopped() {
			t.Fatal("not stopped:", status, err)
		}
		if _, err := server.Do(t.Context(), "SET", "k", "2"); err != nil {
			t.Fatal(err)
		}
		written := time.Now()
		<-time.After(stop) // this is the fault
		if err := cmd.Process.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		if !lines.Scan() {
			t.Fatal("the process says nothing")
		}
		var gap, old int64
		if _, err := fmt.Sscan(lines.Text(), &gap, &old); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Fatal(err)
		}
		late := time.Duration(old - written.UnixNano())
		t.Logf("stopped for %v; the older value was last read %v after the newer one was written", time.Duration(gap), late)
		if time.Duration(gap) < stop/2 {
			t.Error("it was not stopped")
		}
		if late > maxStale {
			t.Error("beyond MaxStale")
		}
	}
}
