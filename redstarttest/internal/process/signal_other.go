//go:build !unix

package process

import (
	"errors"
	"os"
	"syscall"
)

// Terminate and Interrupt: there is no gentler one.
var (
	Terminate = os.Kill
	Interrupt = os.Kill
)

var errNoSignals = errors.New("redstart/redstarttest: processes cannot be frozen on this system")

func attributes(*Owner) *syscall.SysProcAttr { return nil }

// Stop is not to be had here.
func (p *Process) Stop() error { return errNoSignals }

// Resume is not to be had here.
func (p *Process) Resume() error { return errNoSignals }

// StopAll is not to be had here.
func (p *Process) StopAll() error { return errNoSignals }

// ResumeAll is not to be had here.
func (p *Process) ResumeAll() error { return errNoSignals }

// KillAll ends the process alone: what it started sees to itself.
func (p *Process) KillAll() error { return p.Kill() }
