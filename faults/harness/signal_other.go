//go:build !unix

package harness

import (
	"errors"
	"os"
	"syscall"
)

var errNotHere = errors.New("the fault matrix needs a Unix system")

func ownGroup() *syscall.SysProcAttr { return nil }

func freeze(*os.Process) error   { return errNotHere }
func unfreeze(*os.Process) error { return errNotHere }

func shared(*os.File, int) ([]byte, error) { return nil, errNotHere }
func unshare([]byte) error                 { return errNotHere }
