//go:build !unix

package redstarttest

import (
	"errors"
	"os"
	"syscall"
)

var (
	terminate = os.Kill // there is no gentler one

	errNoSignals = errors.New("redstart/redstarttest: processes cannot be frozen on this system")
)

func attributes() *syscall.SysProcAttr { return nil }

func (p *process) stop() error   { return errNoSignals }
func (p *process) resume() error { return errNoSignals }
