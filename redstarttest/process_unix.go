//go:build unix && !linux

package redstarttest

import "syscall"

// attributes of a server's process: a group of its own, so that an interrupt typed
// at the terminal does not reach it. There is no way here to tie its life to the
// program's: a program that is killed leaves its servers running.
func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// awaitStopped has nothing to ask the kernel with, and trusts the signal.
func (p *process) awaitStopped() error { return nil }
