//go:build unix && !linux

package process

import (
	"fmt"
	"os/exec"
	"strings"
	"syscall"
)

// attributes of a server's process: a group of its own, so that an interrupt typed
// at the terminal does not reach it. There is no way here to tie its life to the
// program's: a program that is killed leaves its servers running.
func attributes(owner *Owner) *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{Setpgid: true}
	if owner != nil {
		a.Credential = &syscall.Credential{Uid: owner.UID, Gid: owner.GID}
	}
	return a
}

// awaitStopped has nothing to ask the kernel with, and trusts the signal.
func (p *Process) awaitStopped() error { return nil }

// children gives the states of the processes that pid has started and not waited for.
func children(pid int) (map[int]byte, error) {
	out, err := exec.Command("ps", "-A", "-o", "pid=,ppid=,stat=").Output() //nolint:noctx // it lists and ends
	if err != nil {
		return nil, fmt.Errorf("redstart/redstarttest: ps: %w", err)
	}
	all := map[int]byte{}
	for line := range strings.Lines(string(out)) {
		var child, parent int
		var state string
		if n, _ := fmt.Sscan(line, &child, &parent, &state); n == 3 && parent == pid {
			all[child] = state[0]
		}
	}
	return all, nil
}
