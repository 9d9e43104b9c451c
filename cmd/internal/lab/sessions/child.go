package sessions

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redstart-go/redstart/cmd/internal/lab"
)

// childEnv tells this program that it is the child of a lab; its part comes on stdin.
const childEnv = "REDSTART_LAB_SESSIONS"

// part is what a child is told.
type part struct {
	Stand   stand  `json:"stand"`
	Recipe  string `json:"recipe"`
	Seed    uint64 `json:"seed"`
	Workers int    `json:"workers"`
	Rate    int    `json:"rate"` // 0: as fast as they can
}

// What a child is told to do, a line each, and what it says. A write that was acknowledged is told of in the moment in which
// its caller knows: what a child has said stays said when it is killed.
const (
	tellWrite = "write" // <from> <to>: the plan's writes of these numbers
	tellSpeed = "speed" // <milliseconds>: write as fast as all can for so long, and drain
	tellDrain = "drain"

	saysReady = "ready"
	saysBegin = "begin"  // <number> <session>: a logout is about to be tried
	saysSaved = "saved"  // <number> <session> <nanoseconds>
	saysEnded = "ended"  // <number> <session> <nanoseconds>
	saysError = "error"  // <number> <session> <text>
	saysDone  = "done"   // [<writes> <nanoseconds>]
	saysFail  = "failed" // <text>
)

const (
	// deadline is that of one write.
	deadline = 5 * time.Second
	// patience bounds all that the lab waits for.
	patience = 60 * time.Second
	// depth is how many writes wait for each worker at most.
	depth = 4
)

// Child keeps sessions in a process of its own, if this is that process; then it returns true when it is done. Every program
// that runs this scenario calls it first.
func Child() bool {
	if os.Getenv(childEnv) == "" {
		return false
	}
	if err := serve(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	return true
}

// service is a child at work.
type service struct {
	part
	keeper keeper

	mu  sync.Mutex
	out io.Writer
}

// serve does what it is told until nobody tells it anything any more.
func serve(in io.Reader, out io.Writer) (err error) {
	ctx := context.Background()
	told := bufio.NewScanner(in)
	told.Buffer(nil, 1<<20)
	s := &service{out: out}
	if !told.Scan() {
		return nil
	}
	if err := json.Unmarshal(told.Bytes(), &s.part); err != nil {
		return fmt.Errorf("read the part: %w", err)
	}
	r, err := named(s.Recipe)
	if err != nil {
		return err
	}
	open, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if s.keeper, err = r.open(open, s.Stand); err != nil {
		return err
	}
	defer s.keeper.Close()
	s.say(saysReady)
	for told.Scan() {
		var from, to int64
		word, rest, _ := strings.Cut(told.Text(), " ")
		fmt.Sscan(rest, &from, &to) //nolint:errcheck // what is not there is zero
		switch word {
		case tellWrite:
			s.write(ctx, from, to)
			s.say(saysDone)
		case tellDrain:
			s.answer(s.drain(ctx))
		case tellSpeed:
			n, took, err := s.speed(ctx, time.Duration(from)*time.Millisecond)
			s.answer(err, n, took.Nanoseconds())
		}
	}
	return told.Err()
}

// say says words in one piece.
func (s *service) say(words ...any) {
	line := fmt.Sprintln(words...)
	s.mu.Lock()
	defer s.mu.Unlock()
	io.WriteString(s.out, line) //nolint:errcheck // who hears nothing any more has ended it
}

func (s *service) answer(err error, words ...any) {
	if err != nil {
		s.say(saysFail, oneLine(err))
		return
	}
	s.say(append([]any{saysDone}, words...)...)
}

func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }

func (s *service) drain(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return s.keeper.Drain(ctx)
}

// write carries out the plan's writes of some numbers, each user's by the same worker, one after the other.
func (s *service) write(ctx context.Context, from, to int64) {
	p := newPlan(s.Seed)
	pace := lab.NewPace(s.Rate)
	var workers sync.WaitGroup
	desks := make([]chan op, s.Workers)
	for i := range desks {
		desks[i] = make(chan op, depth)
		workers.Go(func() {
			for o := range desks[i] {
				s.one(ctx, o)
			}
		})
	}
	for p.n < to-1 {
		o := p.next()
		if o.n < from {
			continue
		}
		pace.Wait(ctx, int(o.n-from))
		desks[o.user%len(desks)] <- o
	}
	for _, d := range desks {
		close(d)
	}
	workers.Wait()
}

// one carries out a write and tells of it.
func (s *service) one(ctx context.Context, o op) {
	if o.out {
		s.say(saysBegin, o.n, o.id)
	}
	began := time.Now()
	err := s.carry(ctx, o)
	took := time.Since(began)
	switch {
	case err != nil:
		s.say(saysError, o.n, o.id, oneLine(err))
	case o.out:
		s.say(saysEnded, o.n, o.id, took.Nanoseconds())
	default:
		s.say(saysSaved, o.n, o.id, took.Nanoseconds())
	}
}

func (s *service) carry(ctx context.Context, o op) error {
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	if o.out {
		return s.keeper.End(ctx, o.id)
	}
	return s.keeper.Save(ctx, o.document())
}

// speed writes sessions, each of them once, as fast as all workers can; it counts until the database has them.
func (s *service) speed(ctx context.Context, d time.Duration) (writes int64, took time.Duration, err error) {
	began := time.Now()
	var workers sync.WaitGroup
	var numbers atomic.Int64
	failures := make([]error, s.Workers)
	for w := range s.Workers {
		workers.Go(func() {
			for time.Since(began) < d && failures[w] == nil {
				n := numbers.Add(1)
				failures[w] = s.carry(ctx, op{n: n, user: w, id: speedID(n)})
			}
		})
	}
	workers.Wait()
	writes = numbers.Load()
	if err := errors.Join(failures...); err != nil {
		return 0, 0, err
	}
	err = s.drain(ctx)
	return writes, time.Since(began), err
}

func speedID(n int64) string { return fmt.Sprintf("speed-%d", n) }
