package harness

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"sync"
)

// roleVar names the role that a process started by Start plays.
const roleVar = "REDSTART_CHILD"

// Verb is what a child does at a request: the argument and the result travel
// as JSON. Requests run side by side; ctx ends when the parent lets the child
// go.
type Verb func(ctx context.Context, arg json.RawMessage) (any, error)

// Role sets a child up: it gets the argument of Start, and gives the verbs and
// what is to be done at the end.
type Role func(arg json.RawMessage) (verbs map[string]Verb, end func(), err error)

// On makes a Verb of a function with typed argument and result.
func On[A, R any](f func(context.Context, A) (R, error)) Verb {
	return func(ctx context.Context, raw json.RawMessage) (any, error) {
		var arg A
		if err := json.Unmarshal(raw, &arg); err != nil {
			return nil, err
		}
		return f(ctx, arg)
	}
}

// request and response are the lines between parent and child. The response
// with the ID 0 says that the role is set up.
type request struct {
	ID   int             `json:"id"`
	Verb string          `json:"verb"`
	Arg  json.RawMessage `json:"arg"`
}

type response struct {
	ID     int             `json:"id"`
	Result json.RawMessage `json:"result,omitempty"`
	Error  string          `json:"error,omitempty"`
}

// Play is the first call of a TestMain. In a child it plays the role, and the
// process ends with it; in any other process it returns at once.
func Play(roles map[string]Role) {
	name := os.Getenv(roleVar)
	if name == "" {
		return
	}
	role, ok := roles[name]
	if !ok {
		fmt.Fprintf(os.Stderr, "no role %q\n", name)
		os.Exit(2)
	}
	if err := play(role); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// play answers requests until standard input ends, which is when the parent
// has closed it or is gone.
func play(role Role) error {
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, 64<<20)
	if !in.Scan() {
		return in.Err()
	}
	out := &lines{enc: json.NewEncoder(os.Stdout)}
	verbs, end, err := role(append([]byte(nil), in.Bytes()...))
	out.send(0, nil, err)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	var busy sync.WaitGroup
	for in.Scan() {
		var r request
		if err := json.Unmarshal(in.Bytes(), &r); err != nil {
			cancel()
			return fmt.Errorf("a request that is none: %w", err)
		}
		verb, ok := verbs[r.Verb]
		if !ok {
			out.send(r.ID, nil, fmt.Errorf("no verb %q", r.Verb))
			continue
		}
		busy.Go(func() {
			result, err := verb(ctx, r.Arg)
			out.send(r.ID, result, err)
		})
	}
	cancel()
	busy.Wait()
	end()
	return in.Err()
}

// lines writes responses, one at a time.
type lines struct {
	mu  sync.Mutex
	enc *json.Encoder
}

func (l *lines) send(id int, result any, err error) {
	r := response{ID: id}
	if err != nil {
		r.Error = err.Error()
	} else if r.Result, err = json.Marshal(result); err != nil {
		r.Error = err.Error()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.enc.Encode(r); err != nil {
		fmt.Fprintln(os.Stderr, "answer the parent:", err) // which is gone; the input ends too
	}
}
