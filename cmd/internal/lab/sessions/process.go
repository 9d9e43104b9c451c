package sessions

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"

	"github.com/redstart-go/redstart/cmd/internal/lab"
)

// process is a child, seen from the lab.
type process struct {
	cmd    *exec.Cmd
	in     io.WriteCloser
	said   chan string // closed at its end
	errors strings.Builder
	ended  bool
}

func startProcess(ctx context.Context, p part) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(p)
	if err != nil {
		return nil, err
	}
	c := &process{cmd: exec.CommandContext(ctx, self), said: make(chan string, 256)}
	c.cmd.Env = append(os.Environ(), childEnv+"=1")
	c.cmd.SysProcAttr = lab.Apart()
	c.cmd.Stderr = &c.errors
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start a process: %w", err)
	}
	go func() {
		defer close(c.said)
		for s := bufio.NewScanner(out); s.Scan(); {
			c.said <- s.Text()
		}
	}()
	if err := c.tell(string(text)); err != nil {
		c.kill()
		return nil, c.died()
	}
	if err := c.hear(ctx, func(word, _ string) error {
		if word != saysReady {
			return fmt.Errorf("the process says %q", word)
		}
		return errEnough
	}); err != nil {
		c.kill()
		return nil, err
	}
	return c, nil
}

// errEnough ends the hearing.
var errEnough = errors.New("enough")

// hear gives each line to f until f has had enough.
func (c *process) hear(ctx context.Context, f func(word, rest string) error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		select {
		case line, ok := <-c.said:
			if !ok {
				return c.died()
			}
			word, rest, _ := strings.Cut(line, " ")
			if err := f(word, rest); errors.Is(err, errEnough) {
				return nil
			} else if err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// done waits until the process has done what it was told, and gives what it says of it.
func (c *process) done(ctx context.Context, also func(word, rest string)) (what string, err error) {
	err = c.hear(ctx, func(word, rest string) error {
		switch word {
		case saysDone:
			what = rest
			return errEnough
		case saysFail:
			return errors.New(rest)
		}
		if also != nil {
			also(word, rest)
		}
		return nil
	})
	return what, err
}

func (c *process) died() error {
	c.wait()
	return fmt.Errorf("the process ended: %s", strings.TrimSpace(c.errors.String()))
}

func (c *process) tell(words ...any) error {
	_, err := fmt.Fprintln(c.in, words...)
	return err
}

// kill is SIGKILL. What the process had said before is still to be heard.
func (c *process) kill() { c.cmd.Process.Kill() } //nolint:errcheck // it may have ended

// rest gives to f what a dead process had said.
func (c *process) rest(f func(word, rest string)) {
	for line := range c.said {
		word, rest, _ := strings.Cut(line, " ")
		f(word, rest)
	}
	c.wait()
}

// end lets the process end in good order.
func (c *process) end() {
	c.in.Close()
	c.rest(func(string, string) {})
}

func (c *process) wait() {
	if !c.ended {
		c.ended = true
		c.cmd.Wait() //nolint:errcheck // what it wrote tells more
	}
}
