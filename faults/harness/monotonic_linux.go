package harness

import (
	"syscall"
	"unsafe"
)

// Monotonic is the machine's clock that nobody sets, in nanoseconds: one for all
// processes, so that "older than a second" is a fact too.
func Monotonic() uint64 {
	const clockMonotonic = 1
	var now syscall.Timespec
	if _, _, errno := syscall.Syscall(syscall.SYS_CLOCK_GETTIME, clockMonotonic, uintptr(unsafe.Pointer(&now)), 0); errno != 0 {
		panic(errno) // every machine has it
	}
	return uint64(now.Nano())
}
