//go:build !linux

package harness

import "time"

// Monotonic is the machine's clock in nanoseconds, which must not be set while a
// test runs.
func Monotonic() uint64 { return uint64(time.Now().UnixNano()) }
