package process

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"time"
)

// attributes of a server's process: a group of its own, so that an interrupt typed
// at the terminal does not reach it, and SIGKILL when the thread that started it
// ends, which is when the program dies (see Start).
func attributes(owner *Owner) *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if owner != nil {
		a.Credential = &syscall.Credential{Uid: owner.UID, Gid: owner.GID}
	}
	return a
}

// awaitStopped waits until the kernel has stopped the process: SIGSTOP is sent at
// once, but obeyed when the process is next scheduled.
func (p *Process) awaitStopped() error {
	late := time.Now().Add(10 * time.Second)
	for p.Running() {
		switch state, _, ok := stat(p.Pid()); {
		case !ok:
			return fmt.Errorf("redstart/redstarttest: process %d is not running", p.Pid())
		case state == 'T':
			return nil
		case time.Now().After(late):
			return fmt.Errorf("redstart/redstarttest: process %d does not stop", p.Pid())
		}
		<-time.After(time.Millisecond)
	}
	return fmt.Errorf("redstart/redstarttest: process %d is not running", p.Pid())
}

// stat gives a process's state (T: stopped, Z: ended, not waited for) and its parent.
func stat(pid int) (state byte, parent int, ok bool) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, 0, false
	}
	// "pid (name) state parent …", and the name may hold anything.
	words := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
	if len(words) < 2 || len(words[0]) != 1 {
		return 0, 0, false
	}
	parent, err = strconv.Atoi(string(words[1]))
	return words[0][0], parent, err == nil
}

// children gives the states of the processes that pid has started and not waited for.
func children(pid int) (map[int]byte, error) {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil, fmt.Errorf("redstart/redstarttest: %w", err)
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("redstart/redstarttest: %w", err)
	}
	all := map[int]byte{}
	for _, name := range names {
		child, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		if state, parent, ok := stat(child); ok && parent == pid {
			all[child] = state
		}
	}
	return all, nil
}
