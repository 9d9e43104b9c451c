package redstarttest

import (
	"bytes"
	"fmt"
	"os"
	"syscall"
	"time"
)

// attributes of a server's process: a group of its own, so that an interrupt typed
// at the terminal does not reach it, and SIGKILL when the thread that started it
// ends, which is when the program dies (see startProcess).
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// awaitStopped waits until the kernel has stopped the process: SIGSTOP is sent at
// once, but obeyed when the process is next scheduled.
func (p *process) awaitStopped() error {
	late := time.Now().Add(10 * time.Second)
	for p.running() {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.pid()))
		if err != nil {
			break
		}
		// "pid (name) state …", and the name may hold anything.
		if _, rest, ok := bytes.Cut(stat[bytes.LastIndexByte(stat, ')')+1:], []byte(" ")); ok && len(rest) > 0 && rest[0] == 'T' {
			return nil
		}
		if time.Now().After(late) {
			return fmt.Errorf("redstart/redstarttest: process %d does not stop", p.pid())
		}
		<-time.After(time.Millisecond)
	}
	return fmt.Errorf("redstart/redstarttest: process %d is not running", p.pid())
}
