package main

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
	"sync"
	"sync/atomic"
	"time"

	"github.com/redstart-go/redstart/bench/askers"
)

// childEnv names a child's role in its environment: this program runs itself again, since a stampede over processes
// needs processes. A child is told what to do on its standard input and answers on its standard output, a line of JSON
// each; it ends with its input.
const childEnv = "REDSTART_BENCH_CHILD"

type (
	role struct {
		Contestant string       `json:"contestant"`
		Place      askers.Place `json:"place"`
	}
	// order of a stampede. At is on the clock of the machine, which all share.
	stampedeOrder struct {
		ID int   `json:"id"`
		At int64 `json:"at"` // Unix, ns
	}
	// outcome of a child's part. Its first line, with nothing but Error in it, says that it is connected.
	stampedeOutcome struct {
		Loads int           `json:"loads"`
		Last  time.Duration `json:"last"` // from At until the last caller had the value
		Error string        `json:"error"`
	}
)

// childMain is the main function of a child.
func childMain(text string, stdin io.Reader, stdout, stderr io.Writer) int {
	answers := json.NewEncoder(stdout)
	fail := func(err error) int {
		if told := answers.Encode(stampedeOutcome{Error: err.Error()}); told != nil {
			fmt.Fprintf(stderr, "bench: child: %v\n", err)
		}
		return 1
	}
	var r role
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		return fail(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var loads atomic.Int64
	ask, closing, err := askers.Join(ctx, r.Contestant, r.Place, func(ctx context.Context) (string, error) {
		loads.Add(1)
		return stampedeValue(), pause(ctx, stampedeLoad)
	})
	if err != nil {
		return fail(err)
	}
	defer closing()
	if err := answers.Encode(stampedeOutcome{}); err != nil {
		return fail(err)
	}
	orders := json.NewDecoder(bufio.NewReader(stdin))
	for {
		var o stampedeOrder
		if err := orders.Decode(&o); errors.Is(err, io.EOF) {
			return 0
		} else if err != nil {
			return fail(err)
		}
		loads.Store(0)
		last, err := together(ctx, o, ask)
		out := stampedeOutcome{Last: last, Loads: int(loads.Load())}
		if err != nil {
			out.Error = err.Error()
		}
		if err := answers.Encode(out); err != nil {
			return fail(err)
		}
	}
}

// stampedeValue is what the loader gives.
func stampedeValue() string { return strings.Repeat("x", hitBytes) }

// together lets 64 goroutines ask for the same at the same moment.
func together(ctx context.Context, o stampedeOrder, ask askers.Asker) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, stampedeLimit)
	defer cancel()
	var all sync.WaitGroup
	var failed atomic.Pointer[error]
	gate := make(chan struct{})
	for range callers {
		all.Go(func() {
			<-gate
			value, err := ask(ctx, o.ID)
			if err == nil && value != stampedeValue() {
				err = errOther
			}
			if err != nil {
				failed.CompareAndSwap(nil, &err)
			}
		})
	}
	wait := time.Until(time.Unix(0, o.At))
	begin := time.Now().Add(wait) // on the monotonic clock from here
	err := pause(ctx, wait)
	close(gate)
	all.Wait()
	if p := failed.Load(); p != nil {
		err = *p
	}
	return time.Since(begin), err
}

// child is a process in a role.
type child struct {
	cmd     *exec.Cmd
	in      io.WriteCloser
	orders  *json.Encoder
	answers *json.Decoder
}

func startChild(ctx context.Context, r role) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	c := &child{cmd: exec.CommandContext(ctx, self)}
	c.cmd.Env = append(os.Environ(), childEnv+"="+string(text))
	c.cmd.Stderr = os.Stderr
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.cmd.Start(); err != nil {
		return nil, err
	}
	c.orders, c.answers = json.NewEncoder(c.in), json.NewDecoder(out)
	if _, err := c.answer(); err != nil { // that it is connected
		c.end()
		return nil, err
	}
	return c, nil
}

func (c *child) answer() (stampedeOutcome, error) {
	var out stampedeOutcome
	if err := c.answers.Decode(&out); err != nil {
		return out, fmt.Errorf("a child has ended: %w", err)
	}
	if out.Error != "" {
		return out, errors.New(out.Error)
	}
	return out, nil
}

// end lets the process go, by force when it does not.
func (c *child) end() {
	_ = c.in.Close()
	t := time.AfterFunc(stampedeLimit, func() { _ = c.cmd.Process.Kill() })
	defer t.Stop()
	_ = c.cmd.Wait()
}
