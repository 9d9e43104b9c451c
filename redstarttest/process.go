package redstarttest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"time"
)

// process is one run of a server program.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when the process is gone and has been waited for
	err  error         // how it ended; set before done is closed
}

// startProcess starts a program in dir with its output appended to log.
//
// On Linux the child asks to be killed when its parent dies (see attributes), and
// for the kernel the parent is the thread that forked. A Go program's threads come
// and go, so one goroutine locks its thread, starts the child on it, and stays on
// it until the child is gone.
func startProcess(path string, args []string, dir string, log *os.File) (*process, error) {
	cmd := exec.Command(path, args...) //nolint:noctx // the process lives until it is told to end
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, log, log
	cmd.SysProcAttr = attributes()
	p := &process{cmd: cmd, done: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		// Never unlocked: with the goroutine its thread ends, which has no child left.
		runtime.LockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			p.err = cmd.Wait()
			close(p.done)
		}
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// running says whether the process has not been waited for yet.
func (p *process) running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// signal sends a signal; none to a process that has been waited for, whose id may
// be another's by now (os.Process sees to that).
func (p *process) signal(sig os.Signal) error {
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("redstart/redstarttest: signal %v to process %d: %w", sig, p.pid(), err)
	}
	return nil
}

// kill ends the process with SIGKILL, which works on a stopped process too, and
// waits until it is gone.
func (p *process) kill() error {
	if err := p.signal(os.Kill); err != nil {
		return err
	}
	<-p.done
	return nil
}

// end asks the process to end, and kills it when it has not after grace.
func (p *process) end(grace time.Duration) error {
	if err := p.signal(terminate); err != nil {
		return err
	}
	late := time.NewTimer(grace)
	defer late.Stop()
	select {
	case <-p.done:
		return nil
	case <-late.C:
		return p.kill()
	}
}
