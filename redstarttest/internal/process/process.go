// Package process runs the programs that tests start: their lives end with the
// program's, and a signal never goes to a process that has been waited for.
package process

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"time"
)

// Process is one run of a server program.
type Process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when the process is gone and has been waited for
	err  error         // how it ended; set before done is closed
}

// Owner is the user and group that a program runs as.
type Owner struct{ UID, GID uint32 }

// Program says what to start and how.
type Program struct {
	Path  string
	Args  []string
	Env   []string // nil: this program's
	Dir   string   // where it works
	Log   *os.File // what it says is appended here
	Owner *Owner   // nil: the user of this program
}

// Start starts a program.
//
// On Linux the child asks to be killed when its parent dies (see attributes), and
// for the kernel the parent is the thread that forked. A Go program's threads come
// and go, so one goroutine locks its thread, starts the child on it, and stays on
// it until the child is gone.
func Start(program Program) (*Process, error) {
	cmd := exec.Command(program.Path, program.Args...) //nolint:noctx // the process lives until it is told to end
	cmd.Dir, cmd.Stdout, cmd.Stderr, cmd.Env = program.Dir, program.Log, program.Log, program.Env
	cmd.SysProcAttr = attributes(program.Owner)
	p := &Process{cmd: cmd, done: make(chan struct{})}
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

// Pid is the id that the process has or had.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Done is closed when the process is gone and has been waited for.
func (p *Process) Done() <-chan struct{} { return p.done }

// Err says how the process ended; only after Done.
func (p *Process) Err() error {
	if p.err != nil {
		return p.err
	}
	return errors.New("it ended at once")
}

// Succeeded says whether the process ended by itself with status 0; only after Done.
func (p *Process) Succeeded() bool { return p.err == nil }

// Running says whether the process has not been waited for yet.
func (p *Process) Running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// signal sends a signal; none to a process that has been waited for, whose id may
// be another's by now (os.Process sees to that).
func (p *Process) signal(sig os.Signal) error {
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("redstart/redstarttest: signal %v to process %d: %w", sig, p.Pid(), err)
	}
	return nil
}

// Kill ends the process with SIGKILL, which works on a stopped process too, and
// waits until it is gone.
func (p *Process) Kill() error {
	if err := p.signal(os.Kill); err != nil {
		return err
	}
	<-p.done
	return nil
}

// End asks the process to end, and kills it when it has not after grace.
func (p *Process) End(grace time.Duration) error { return p.EndWith(Terminate, grace) }

// EndWith is End with a signal of the program's own choice.
func (p *Process) EndWith(sig os.Signal, grace time.Duration) error {
	if err := p.signal(sig); err != nil {
		return err
	}
	late := time.NewTimer(grace)
	defer late.Stop()
	select {
	case <-p.done:
		return nil
	case <-late.C:
		return p.Kill()
	}
}
