// Package crowd is processes whose callers all ask for the same value at the same moment.
package crowd

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

// Env names a child's role in its environment: this program runs itself again, since a stampede over processes
// needs processes. A child is told what to do on its standard input and answers on its standard output, a line of JSON
// each; it ends with its input.
const Env = "REDSTART_BENCH_CHILD"

type (
	// Role of a child: which contestant it is, and where it asks.
	Role struct {
		Contestant string       `json:"contestant"`
		Place      askers.Place `json:"place"`
	}
	// Order of a stampede. At is on the clock of the machine, which all share.
	Order struct {
		ID int   `json:"id"`
		At int64 `json:"at"` // Unix, ns
	}
	// Outcome of a child's part. Its first line, with nothing but Error in it, says that it is connected.
	Outcome struct {
		Loads int           `json:"loads"`
		Last  time.Duration `json:"last"` // from At until the last caller had the value
		Error string        `json:"error"`
	}
)

// What a stampede may take.
const (
	Load  = 50 * time.Millisecond // what the loader takes
	Limit = 10 * time.Second      // for everything that ought to take a fraction of it

	valueBytes = 1024 // that the loader gives
)

var errNotLoaded = errors.New("not the value that the loader gives")

// Main is the main function of a child.
func Main(text string, stdin io.Reader, stdout, stderr io.Writer) int {
	answers := json.NewEncoder(stdout)
	fail := func(err error) int {
		if told := answers.Encode(Outcome{Error: err.Error()}); told != nil {
			fmt.Fprintf(stderr, "bench: child: %v\n", err)
		}
		return 1
	}
	var r Role
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		return fail(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var loads atomic.Int64
	ask, closing, err := askers.Join(ctx, r.Contestant, r.Place, func(ctx context.Context) (string, error) {
		loads.Add(1)
		select {
		case <-time.After(Load):
			return value(), nil
		case <-ctx.Done():
			return "", ctx.Err()
		}
	})
	if err != nil {
		return fail(err)
	}
	defer closing()
	if err := answers.Encode(Outcome{}); err != nil {
		return fail(err)
	}
	orders := json.NewDecoder(bufio.NewReader(stdin))
	for {
		var o Order
		if err := orders.Decode(&o); errors.Is(err, io.EOF) {
			return 0
		} else if err != nil {
			return fail(err)
		}
		loads.Store(0)
		last, err := together(ctx, r.Place.Callers, o, ask)
		out := Outcome{Last: last, Loads: int(loads.Load())}
		if err != nil {
			out.Error = err.Error()
		}
		if err := answers.Encode(out); err != nil {
			return fail(err)
		}
	}
}

// value is what the loader gives.
func value() string { return strings.Repeat("x", valueBytes) }

// together lets so many goroutines ask for the same at the same moment.
func together(ctx context.Context, callers int, o Order, ask askers.Asker) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, Limit)
	defer cancel()
	var all sync.WaitGroup
	var failed atomic.Pointer[error]
	gate := make(chan struct{})
	for range callers {
		all.Go(func() {
			<-gate
			got, err := ask(ctx, o.ID)
			if err == nil && got != value() {
				err = errNotLoaded
			}
			if err != nil {
				failed.CompareAndSwap(nil, &err)
			}
		})
	}
	wait := time.Until(time.Unix(0, o.At))
	begin := time.Now().Add(wait) // on the monotonic clock from here
	var err error
	select {
	case <-time.After(wait):
	case <-ctx.Done():
		err = ctx.Err()
	}
	close(gate)
	all.Wait()
	if p := failed.Load(); p != nil {
		err = *p
	}
	return time.Since(begin), err
}

// Child is a process in a role.
type Child struct {
	cmd     *exec.Cmd
	in      io.WriteCloser
	orders  *json.Encoder
	answers *json.Decoder
}

// Start runs this program again, as a child in the role, and comes back once that is connected. End must be called.
func Start(ctx context.Context, r Role) (*Child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	c := &Child{cmd: exec.CommandContext(ctx, self)}
	c.cmd.Env = append(os.Environ(), Env+"="+string(text))
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
	if _, err := c.Answer(); err != nil { // that it is connected
		c.End()
		return nil, err
	}
	return c, nil
}

// Send tells the child when to ask for what.
func (c *Child) Send(o Order) error { return c.orders.Encode(o) }

// Answer waits for what came of the last order.
func (c *Child) Answer() (Outcome, error) {
	var out Outcome
	if err := c.answers.Decode(&out); err != nil {
		return out, fmt.Errorf("a child has ended: %w", err)
	}
	if out.Error != "" {
		return out, errors.New(out.Error)
	}
	return out, nil
}

// End lets the process go, by force when it does not.
func (c *Child) End() {
	_ = c.in.Close()
	t := time.AfterFunc(Limit, func() { _ = c.cmd.Process.Kill() })
	defer t.Stop()
	_ = c.cmd.Wait()
}
