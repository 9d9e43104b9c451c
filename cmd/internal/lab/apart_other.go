//go:build !unix

package lab

import "syscall"

// Apart keeps a child process apart, where the system can.
func Apart() *syscall.SysProcAttr { return nil }
