package harness

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"
)

// How long a child may take to be set up, and to end once it is told.
const (
	readyWithin = 30 * time.Second
	endWithin   = 10 * time.Second
)

// ErrGone is what a call gets whose child ended before it answered.
var ErrGone = errors.New("the child process is gone")

// Child is a process of the test's own. Only such processes are ever
// signalled, and none that has been waited for.
type Child struct {
	t      testing.TB
	name   string
	cmd    *exec.Cmd
	done   chan struct{} // closed when the process has been waited for
	stderr bytes.Buffer  // written until done

	mu      sync.Mutex
	in      io.WriteCloser
	pending map[int]chan response // nil once the child is gone
	lastID  int
	frozen  bool
}

// Start runs the test binary again in a role. The child ends with the test: it
// is told to by the end of its input, and killed when it does not. What it
// wrote to standard error is logged when the test has failed.
func Start(t testing.TB, role string, arg any) *Child {
	t.Helper()
	c, ready, err := start(t, role, arg)
	if err != nil {
		t.Fatalf("start child %s: %v", role, err)
	}
	t.Cleanup(c.end)
	select {
	case r, ok := <-ready:
		switch {
		case !ok:
			<-c.done
			t.Fatalf("child %s ended at once:\n%s", role, c.stderr.String())
		case r.Error != "":
			t.Fatalf("child %s: %s", role, r.Error)
		}
	case <-time.After(readyWithin):
		t.Fatalf("child %s is not ready after %v", role, readyWithin)
	}
	return c
}

func start(t testing.TB, role string, arg any) (*Child, <-chan response, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, nil, err
	}
	first, err := json.Marshal(arg)
	if err != nil {
		return nil, nil, err
	}
	c := &Child{t: t, name: role, cmd: exec.CommandContext(context.WithoutCancel(t.Context()), self), done: make(chan struct{}), pending: map[int]chan response{}}
	c.cmd.Env = append(os.Environ(), roleVar+"="+role)
	c.cmd.Stderr = &c.stderr
	c.cmd.SysProcAttr = ownGroup()
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		return nil, nil, err
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, nil, err
	}
	if err := c.cmd.Start(); err != nil {
		return nil, nil, err
	}
	ready := make(chan response, 1)
	c.pending[0] = ready
	go c.listen(out)
	if _, err := c.in.Write(append(first, '\n')); err != nil {
		c.end()
		return nil, nil, err
	}
	return c, ready, nil
}

// listen hands responses to those who wait for them until the child's output
// ends, and then waits for the process.
func (c *Child) listen(out io.Reader) {
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		var r response
		if json.Unmarshal(lines.Bytes(), &r) != nil {
			continue // a stray print
		}
		c.mu.Lock()
		answer := c.pending[r.ID]
		delete(c.pending, r.ID)
		c.mu.Unlock()
		if answer != nil {
			answer <- r
		}
	}
	c.mu.Lock()
	for _, answer := range c.pending {
		close(answer)
	}
	c.pending = nil
	c.mu.Unlock()
	_ = c.cmd.Wait() // a killed child is no surprise
	close(c.done)
}

// Call asks the child and decodes what it answers into result, unless that is
// nil. When the child is killed meanwhile the error is ErrGone.
func (c *Child) Call(ctx context.Context, verb string, arg, result any) error {
	raw, err := json.Marshal(arg)
	if err != nil {
		return err
	}
	answer := make(chan response, 1)
	c.mu.Lock()
	if c.pending == nil {
		c.mu.Unlock()
		return ErrGone
	}
	c.lastID++
	c.pending[c.lastID] = answer
	line, err := json.Marshal(request{ID: c.lastID, Verb: verb, Arg: raw})
	if err == nil {
		_, err = c.in.Write(append(line, '\n'))
	}
	c.mu.Unlock()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrGone, err)
	}
	select {
	case r, ok := <-answer:
		switch {
		case !ok:
			return ErrGone
		case r.Error != "":
			return fmt.Errorf("child %s: %s: %s", c.name, verb, r.Error)
		case result == nil:
			return nil
		}
		return json.Unmarshal(r.Result, result)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Kill ends the child with SIGKILL and waits until it is gone.
func (c *Child) Kill() {
	c.t.Helper()
	if err := c.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		c.t.Fatalf("kill child %s: %v", c.name, err)
	}
	<-c.done
}

// Freeze stops the child with SIGSTOP and returns once the kernel has.
func (c *Child) Freeze() {
	c.t.Helper()
	if err := freeze(c.cmd.Process); err != nil {
		c.t.Fatalf("freeze child %s: %v", c.name, err)
	}
	c.mu.Lock()
	c.frozen = true
	c.mu.Unlock()
}

// Continue lets a frozen child go on.
func (c *Child) Continue() {
	c.t.Helper()
	if err := unfreeze(c.cmd.Process); err != nil {
		c.t.Fatalf("continue child %s: %v", c.name, err)
	}
	c.mu.Lock()
	c.frozen = false
	c.mu.Unlock()
}

// Close lets the child end by itself, and kills it when it does not.
func (c *Child) Close() { c.end() }

func (c *Child) end() {
	c.mu.Lock()
	frozen := c.frozen
	_ = c.in.Close() // may be closed already
	c.mu.Unlock()
	if frozen {
		_ = c.cmd.Process.Kill()
	}
	select {
	case <-c.done:
	case <-time.After(endWithin):
		c.t.Errorf("child %s did not end by itself within %v", c.name, endWithin)
		_ = c.cmd.Process.Kill()
		<-c.done
	}
	if text := c.stderr.String(); c.t.Failed() && text != "" {
		c.t.Logf("child %s wrote:\n%s", c.name, text)
	}
}
