//go:build unix

package process

import (
	"errors"
	"fmt"
	"syscall"
	"time"
)

// What asks a process to end.
const (
	Terminate = syscall.SIGTERM
	Interrupt = syscall.SIGINT
)

// Stop stops the process with SIGSTOP, and returns when the kernel has.
func (p *Process) Stop() error {
	if err := p.signal(syscall.SIGSTOP); err != nil {
		return err
	}
	return p.awaitStopped()
}

// Resume lets a stopped process go on.
func (p *Process) Resume() error { return p.signal(syscall.SIGCONT) }

// StopAll stops the process and those that it has started, which may be in sessions
// of their own. Once it stands it starts no more, and waits for none that has ended,
// so the ids of its children stay theirs.
func (p *Process) StopAll() error {
	if err := p.Stop(); err != nil {
		return err
	}
	return p.each(syscall.SIGSTOP, 'T', 'Z')
}

// ResumeAll lets what StopAll stopped go on, the parent last.
func (p *Process) ResumeAll() error {
	if err := p.each(syscall.SIGCONT, 0); err != nil {
		return err
	}
	return p.Resume()
}

// KillAll ends the process and those that it has started at once, as the death of
// the machine would: stopped first, so that none sees the others die. It waits until
// they are gone.
func (p *Process) KillAll() error {
	if !p.Running() {
		return nil
	}
	if err := p.Stop(); err != nil {
		if !p.Running() {
			return nil
		}
		return err
	}
	if err := p.each(syscall.SIGKILL, 'Z', 'X'); err != nil {
		return err
	}
	return p.Kill()
}

// each sends a signal to the children of a stopped process and waits until each is in
// one of the states; 0: does not wait.
func (p *Process) each(sig syscall.Signal, states ...byte) error {
	sent := map[int]bool{}
	for late := time.Now().Add(10 * time.Second); ; {
		all, err := children(p.Pid())
		if err != nil {
			return err
		}
		waiting := 0
		for pid, state := range all {
			if !sent[pid] && state != 'Z' {
				if err := syscall.Kill(pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
					return fmt.Errorf("redstart/redstarttest: signal %v to process %d: %w", sig, pid, err)
				}
			}
			sent[pid] = true
			if states[0] != 0 && state != states[0] && state != states[1] {
				waiting++
			}
		}
		if waiting == 0 {
			return nil
		}
		if time.Now().After(late) {
			return fmt.Errorf("redstart/redstarttest: %d children of process %d do not obey signal %v", waiting, p.Pid(), sig)
		}
		<-time.After(time.Millisecond)
	}
}
