//go:build unix

package harness

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// ownGroup puts a child into a process group of its own: an interrupt typed at
// the terminal does not reach it, and when the parent dies while the child is
// stopped the kernel ends it (SIGHUP and SIGCONT to a group left behind).
func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// freeze stops a process and waits until the kernel has obeyed, where it tells.
func freeze(p *os.Process) error {
	if err := p.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	for late := time.Now().Add(10 * time.Second); ; {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.Pid))
		if errors.Is(err, os.ErrNotExist) {
			return nil // not told on this system
		}
		if err != nil {
			return err
		}
		// "pid (name) state …", and the name may hold anything.
		if _, rest, ok := bytes.Cut(stat[bytes.LastIndexByte(stat, ')')+1:], []byte(" ")); ok && len(rest) > 0 && rest[0] == 'T' {
			return nil
		}
		if time.Now().After(late) {
			return errors.New("it does not stop")
		}
		<-time.After(time.Millisecond)
	}
}

func unfreeze(p *os.Process) error { return p.Signal(syscall.SIGCONT) }

// shared maps the first size bytes of a file into memory that all processes
// see.
func shared(f *os.File, size int) ([]byte, error) {
	return syscall.Mmap(int(f.Fd()), 0, size, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
}

func unshare(memory []byte) error { return syscall.Munmap(memory) }
