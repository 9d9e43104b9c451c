//go:build unix

package lab

import "syscall"

// Apart gives a child process a group of its own: a key that interrupts the lab is not for it, and when the lab dies while the
// child is frozen the system ends it.
func Apart() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
