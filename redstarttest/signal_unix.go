//go:build unix

package redstarttest

import "syscall"

const terminate = syscall.SIGTERM

func (p *process) stop() error {
	if err := p.signal(syscall.SIGSTOP); err != nil {
		return err
	}
	return p.awaitStopped()
}

func (p *process) resume() error { return p.signal(syscall.SIGCONT) }
