//go:build unix

package locks

import (
	"os"
	"syscall"
)

// canFreeze is whether a process can be.
const canFreeze = true

func freeze(p *os.Process) error { return p.Signal(syscall.SIGSTOP) }

func thaw(p *os.Process) error { return p.Signal(syscall.SIGCONT) }
