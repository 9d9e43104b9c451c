package harness

import (
	"errors"
	"runtime"
)

// Act is the load that an Answer describes. A hanging one ends with the
// process.
func (a Answer) Act() (uint64, error) {
	switch {
	case a.Panic:
		panic("the load panics, as it was told to")
	case a.Goexit:
		runtime.Goexit()
	case a.Hang:
		select {}
	case a.Err != "":
		return 0, errors.New(a.Err)
	}
	return a.Version, nil
}
