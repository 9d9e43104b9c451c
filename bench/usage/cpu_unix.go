//go:build unix

package usage

import (
	"syscall"
	"time"
)

// Process is the CPU time that this process has used, user and system.
func Process() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
