package locks

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/redis/rueidis"

	"github.com/redstart-go/redstart/cmd/internal/lab"
	"github.com/redstart-go/redstart/cmd/internal/measure"
)

// absence is the holder who is frozen, and how he comes back.
type absence struct {
	*course

	child *child
	once  sync.Once // for the hold in whose midst he comes back
	// failed ends the run.
	failed func(error)
}

// begin has a process take the lock, and freezes it at work: it has just made sure that it holds the lock, and is about to write.
func (a *absence) begin(ctx context.Context) (err error) {
	a.child, err = startChild(ctx, part{a.stand, a.out.Recipe})
	if err != nil {
		return err
	}
	if _, err := a.child.hears(ctx, saysReady); err != nil {
		return err
	}
	t := &turn{name: childHold, worker: -1, wanted: time.Now()}
	if err := a.child.tell(); err != nil {
		return fmt.Errorf("have the lock taken: %w", err)
	}
	if _, err := a.child.hears(ctx, saysHolding); err != nil {
		return err
	}
	t.acquired, a.out.frozen = time.Now(), t
	if err := freeze(a.child.process.Process); err != nil {
		return fmt.Errorf("freeze a process: %w", err)
	}
	a.child.frozen = true
	a.out.began = time.Now()
	return nil
}

// back lets the frozen holder go on, until he has released what he takes for his.
func (a *absence) back(ctx context.Context) error {
	t := a.out.frozen
	a.out.back = time.Now()
	if err := thaw(a.child.process.Process); err != nil {
		return fmt.Errorf("let a process go on: %w", err)
	}
	a.child.frozen = false
	if err := a.child.tell(); err != nil {
		return fmt.Errorf("have the lock released: %w", err)
	}
	said, err := a.child.hears(ctx, saysTaken, saysRefused)
	if err != nil {
		return err
	}
	t.wrote = time.Now()
	if said == saysRefused {
		t.refused = t.wrote
	}
	if _, err := a.child.hears(ctx, saysReleased); err != nil {
		return err
	}
	t.released = time.Now()
	a.progress.Step()
	a.progress.Start(a.out.Recipe+": turns", a.Requests)
	return nil
}

func (a *absence) end() {
	if a.child != nil {
		a.child.end()
	}
}

// take takes one turn: the lock, a write, some work, a look whether the lock is still held, another write.
func (c *course) take(ctx context.Context, t *turn, a *absence) (err error) {
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	h, err := c.team[t.worker].Acquire(ctx)
	if err != nil {
		return fmt.Errorf("acquire: %w", err)
	}
	t.acquired = time.Now()
	defer func() {
		t.released = time.Now()
		if late := h.Release(ctx); late != nil {
			err = errors.Join(err, fmt.Errorf("release: %w", late))
		}
	}()
	if err := t.write(ctx, h); err != nil {
		return err
	}
	pause := work
	if a != nil {
		a.once.Do(func() {
			if err := a.back(ctx); err != nil {
				a.failed(err)
			}
			pause = after
		})
	}
	lab.Pause(ctx, pause)
	if !h.Held() {
		return nil
	}
	return t.write(ctx, h)
}

func (t *turn) write(ctx context.Context, h hold) error {
	taken, err := h.Write(ctx, t.name)
	if err != nil {
		return fmt.Errorf("write: %w", err)
	}
	t.wrote = time.Now()
	if !taken {
		t.refused = t.wrote
	}
	return nil
}

// measure reads what the resource took, and what the workers saw.
func (c *course) measure(ctx context.Context) error {
	client, err := lab.PlainClient(c.server.URL)
	if err != nil {
		return fmt.Errorf("read the resource: %w", err)
	}
	defer client.Close()
	writes, err := client.Do(ctx, client.B().Lrange().Key(c.stand.resource()).Start(0).Stop(-1).Build()).AsStrSlice()
	if err != nil && !rueidis.IsRedisNil(err) {
		return fmt.Errorf("read the resource: %w", err)
	}
	out := c.out
	out.verdict = judge(writes)
	out.Overlaps, out.FencingViolations = len(out.verdict.overlaps), out.verdict.late

	slices.SortFunc(out.holds, func(a, b *turn) int { return a.acquired.Compare(b.acquired) })
	out.Turns = len(out.holds)
	turns := make([]int, c.Workers)
	var handovers measure.Latency
	for i, t := range out.holds {
		turns[t.worker]++
		if !t.refused.IsZero() {
			out.Refused++
		}
		since := t.wanted
		if settled := out.holds[0].released; since.Before(settled) {
			since = settled // what came before was the freeze
		}
		out.longestWait = max(out.longestWait, t.acquired.Sub(since))
		if i > 0 {
			if before := out.holds[i-1].released; t.wanted.Before(before) && t.acquired.After(before) {
				handovers.Add(t.acquired.Sub(before))
			}
		}
	}
	if out.frozen != nil && !out.frozen.refused.IsZero() {
		out.Refused++
	}
	out.FewestTurns = slices.Min(turns)
	out.handover = handovers.Quantiles(0.5, 0.99, 0.999)
	out.HandoverP50, out.HandoverP99 = measure.Micros(out.handover[0]), measure.Micros(out.handover[1])
	out.LongestWait = measure.Micros(out.longestWait)
	if n := len(out.holds); n > 2 {
		took := out.holds[n-1].released.Sub(out.holds[1].acquired)
		out.TurnsPerS = int(math.Round(float64(n-1) / took.Seconds()))
	}
	return nil
}

// done notes a turn that ended.
func (c *course) done(t *turn, err error) {
	if err != nil {
		c.out.Errors++
		c.out.firstErr = cmp.Or(c.out.firstErr, err)
	}
	if !t.acquired.IsZero() {
		c.out.holds = append(c.out.holds, t)
	}
	c.progress.Step()
}
