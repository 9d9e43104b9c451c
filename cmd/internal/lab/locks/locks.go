// Package locks is the lab's scenario of locks.
package locks

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"github.com/redstart-go/redstart/cmd/internal/lab"
	"github.com/redstart-go/redstart/cmd/internal/report"
)

// Scenario lets workers take turns at one resource under a lock, as tutorials print it and as Redstart does it. The first
// holder is a process of its own, which is frozen until long after its lock has ended; it comes back while the next one is
// at work.
type Scenario struct{}

// Name is lock.
func (Scenario) Name() string { return "lock" }

// About says what it shows.
func (Scenario) About() string {
	return "who writes to a resource under a lock when a holder is frozen, beside the recipe"
}

// What a run is unless the user says otherwise.
const (
	Workers = 8
	Turns   = 200 // of all workers together
)

const (
	// lease is the shortest that the recipe can have, whose clock has whole seconds.
	lease = time.Second
	// work is how long a hold lasts between its two writes.
	work = time.Millisecond
	// rest is how long a worker does something else after it, give or take a half.
	rest = 5 * time.Millisecond
	// after is for how long the next holder goes on when the frozen one is back: longer than a poll of the recipe.
	after = 150 * time.Millisecond
	// deadline is that of one hold, the wait for it included.
	deadline = 15 * time.Second
)

// result is what the JSON tells of one recipe.
type result struct {
	Recipe string `json:"recipe"`
	Turns  int    `json:"turns"`
	// Overlaps are the holds that wrote to the resource before an earlier one had written for the last time.
	Overlaps int `json:"overlaps"`
	// FencingViolations are the writes that the resource took from a hold after a later one had written.
	FencingViolations int `json:"fencing_violations"`
	// Refused are the writes that it did not take.
	Refused int `json:"refused_writes"`
	// Of a hand-over: from when a holder begins to release the lock until one who has waited has it.
	HandoverP50 float64 `json:"handover_p50_us"`
	HandoverP99 float64 `json:"handover_p99_us"`
	// LongestWait is the longest that a worker waited for a turn after the freeze, FewestTurns what the least served got.
	LongestWait float64 `json:"longest_wait_us"`
	FewestTurns int     `json:"fewest_turns"`
	TurnsPerS   int     `json:"turns_per_s"`
	Errors      int     `json:"errors"`
}

// outcome is the result with what the pictures need.
type outcome struct {
	result
	recipe      recipe
	holds       []*turn
	frozen      *turn
	verdict     verdict
	began       time.Time // the freeze
	back        time.Time // its end
	handover    []time.Duration
	longestWait time.Duration
	firstErr    error
}

// turn is one hold of the lock as its worker saw it.
type turn struct {
	name     string
	worker   int
	wanted   time.Time
	acquired time.Time
	released time.Time // when it began to release the lock
	refused  time.Time // when a write was refused, if one was
	wrote    time.Time // the last time
}

// course is one recipe's run.
type course struct {
	lab.Options
	server   *lab.Server
	stand    stand
	team     lab.Team[locker]
	progress lab.Progress
	out      *outcome
}

func withDefaults(o lab.Options) lab.Options {
	o.Workers = cmp.Or(o.Workers, Workers)
	o.Requests = cmp.Or(o.Requests, Turns)
	return o
}

// Run lets one recipe after the other go through it.
func (Scenario) Run(ctx context.Context, o lab.Options, p lab.Progress) (_ *report.Report, err error) {
	o = withDefaults(o)
	s, err := lab.Open(ctx, o.Redis)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()

	var outcomes []*outcome
	for _, r := range recipes() {
		c := &course{Options: o, server: s, progress: p, out: &outcome{recipe: r}}
		c.out.Recipe = r.name
		if err := c.run(ctx); err != nil {
			return nil, fmt.Errorf("%s: %w", r.name, err)
		}
		outcomes = append(outcomes, c.out)
	}
	p.Done()
	return newReport(o, s.Label, outcomes), broken(outcomes)
}

// broken tells whose word was.
func broken(outcomes []*outcome) error {
	for _, out := range outcomes {
		if out.recipe.promises && out.FencingViolations+out.Overlaps > 0 {
			return fmt.Errorf("%w: under the lock of %s the resource took %d writes of holders who had been overtaken, and %d holds overlapped; please report it",
				lab.ErrPromise, out.Recipe, out.FencingViolations, out.Overlaps)
		}
	}
	return nil
}

// run runs the recipe and cleans up.
func (c *course) run(ctx context.Context) (err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	r := c.out.recipe
	c.stand = stand{URL: c.server.URL, Namespace: lab.Namespace()}
	c.team, err = lab.Gather(c.Workers, func() (locker, error) { return r.open(ctx, c.stand) })
	if err != nil {
		return err
	}
	defer func() {
		c.team.Close()
		err = errors.Join(err, c.server.Remove(ctx, append(r.keys(c.stand.Namespace), c.stand.resource())))
	}()

	var away *absence
	if canFreeze {
		c.progress.Start(r.name+": a holder is frozen", 1)
		away = &absence{course: c, failed: cancel}
		defer away.end()
		if err := away.begin(ctx); err != nil {
			return err
		}
	} else {
		c.progress.Start(r.name+": turns", c.Requests)
	}
	c.turns(ctx, away)
	if err := context.Cause(ctx); err != nil {
		return err
	}
	return c.measure(ctx)
}

// turns lets the workers take turns until there have been enough.
func (c *course) turns(ctx context.Context, away *absence) {
	var (
		mu      sync.Mutex
		begun   int
		workers sync.WaitGroup
	)
	for w := range c.Workers {
		workers.Go(func() {
			for ctx.Err() == nil {
				t := &turn{worker: w, wanted: time.Now()}
				mu.Lock()
				begun++
				n := begun
				mu.Unlock()
				if n > c.Requests {
					return
				}
				t.name = strconv.Itoa(n)
				err := c.take(ctx, t, away)
				mu.Lock()
				c.done(t, err)
				mu.Unlock()
				lab.Pause(ctx, rest/2+rand.N(rest))
			}
		})
	}
	workers.Wait()
}
