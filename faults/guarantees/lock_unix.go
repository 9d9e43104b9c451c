//go:build unix && !solaris && !illumos && !aix

package guarantees

import (
	"os"
	"syscall"
)

// lock waits until no other program has the file locked. Closing it unlocks.
func lock(f *os.File) error {
	for {
		if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != syscall.EINTR {
			return err
		}
	}
}
