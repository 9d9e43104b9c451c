//go:build unix

package locks

import (
	"os"
	"syscall"
)

// canFreeze is whether a process can be.
const canFreeze = true

// attributes give the child a process group of its own: a key that interrupts the lab is not for it, and when the lab dies
// while it is frozen the system ends it.
func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

func freeze(p *os.Process) error { return p.Signal(syscall.SIGSTOP) }

func thaw(p *os.Process) error { return p.Signal(syscall.SIGCONT) }
