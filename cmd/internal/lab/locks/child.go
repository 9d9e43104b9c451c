package locks

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/redstart-go/redstart/cmd/internal/lab"
)

// childEnv tells this program that it is the child of a lab, and what its part is.
const childEnv = "REDSTART_LAB_HOLDER"

// part is what a child is told.
type part struct {
	Stand  stand  `json:"stand"`
	Recipe string `json:"recipe"`
}

// Child plays the holder that is going to be frozen, in a process of its own, if this is that process; then it returns true
// when it is done. Every program that runs this scenario calls it first.
func Child() bool {
	text := os.Getenv(childEnv)
	if text == "" {
		return false
	}
	if err := play(text, os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	return true
}

// play takes the lock when it is told to, writes to the resource, makes sure that it still has the lock and says so; told
// to go on, which may be long after, it writes again, releases the lock and says what came of it.
func play(text string, in io.Reader, out io.Writer) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var p part
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		return fmt.Errorf("read the part: %w", err)
	}
	l, err := p.open(ctx)
	if err != nil {
		return err
	}
	defer l.Close()
	told := bufio.NewScanner(in)
	say := func(word string) { fmt.Fprintln(out, word) }
	say(saysReady)
	if !told.Scan() {
		return nil // nobody is there any more
	}
	h, err := l.Acquire(ctx)
	if err != nil {
		return err
	}
	err = hang(ctx, h, told, say)
	err = errors.Join(err, h.Release(ctx)) // whatever became of it
	say(saysReleased)
	return err
}

// hang is what the child does while it has the lock.
func hang(ctx context.Context, h hold, told *bufio.Scanner, say func(word string)) error {
	if _, err := h.Write(ctx, childHold); err != nil {
		return err
	}
	if !h.Held() {
		return errors.New("the lock was lost at once")
	}
	say(saysHolding)
	if !told.Scan() {
		return nil
	}
	taken, err := h.Write(ctx, childHold)
	switch {
	case err != nil:
		return err
	case taken:
		say(saysTaken)
	default:
		say(saysRefused)
	}
	return nil
}

// open makes the child's own locker.
func (p part) open(ctx context.Context) (locker, error) {
	for _, r := range recipes() {
		if r.name == p.Recipe {
			return r.open(ctx, p.Stand)
		}
	}
	return nil, fmt.Errorf("no recipe %q", p.Recipe)
}

const (
	childHold = "frozen"

	saysReady    = "ready"
	saysHolding  = "holding"
	saysTaken    = "taken"
	saysRefused  = "refused"
	saysReleased = "released"

	// patience bounds all that the lab waits for.
	patience = 30 * time.Second
)

// child is such a process, seen from the lab.
type child struct {
	process *exec.Cmd
	in      io.WriteCloser
	said    chan string // closed at its end
	errors  strings.Builder
	frozen  bool
}

func startChild(ctx context.Context, p part) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(p)
	if err != nil {
		return nil, err
	}
	c := &child{process: exec.CommandContext(ctx, self), said: make(chan string, 8)}
	c.process.Env = append(os.Environ(), childEnv+"="+string(text))
	c.process.SysProcAttr = lab.Apart()
	c.process.Stderr = &c.errors
	c.in, err = c.process.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := c.process.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.process.Start(); err != nil {
		return nil, fmt.Errorf("start a process: %w", err)
	}
	go func() {
		defer close(c.said)
		for s := bufio.NewScanner(out); s.Scan(); {
			c.said <- s.Text()
		}
	}()
	return c, nil
}

// hears waits for a word of the child.
func (c *child) hears(ctx context.Context, words ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	select {
	case said, ok := <-c.said:
		if slices.Contains(words, said) {
			return said, nil
		}
		if !ok {
			c.process.Wait() //nolint:errcheck // what it wrote tells more
			return "", fmt.Errorf("the frozen process ended: %s", strings.TrimSpace(c.errors.String()))
		}
		return "", fmt.Errorf("the frozen process says %q", said)
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

func (c *child) tell() error {
	_, err := io.WriteString(c.in, "go on\n")
	return err
}

// end ends the process, however it is.
func (c *child) end() {
	if c.frozen {
		c.process.Process.Kill() //nolint:errcheck // it may have ended
	}
	c.in.Close()
	for range c.said {
		continue // to its end
	}
	c.process.Wait() //nolint:errcheck // it was told to end
}
