//go:build !unix

package locks

import (
	"errors"
	"os"
	"syscall"
)

const canFreeze = false

func attributes() *syscall.SysProcAttr { return nil }

func freeze(*os.Process) error { return errors.ErrUnsupported }

func thaw(*os.Process) error { return errors.ErrUnsupported }
