package redstart

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/redis/rueidis"

	"github.com/redstart-go/redstart/internal/command"
	"github.com/redstart-go/redstart/internal/conn"
	"github.com/redstart-go/redstart/internal/guard"
	"github.com/redstart-go/redstart/internal/outcome"
)

// What a call does after a failure, until the caller's deadline (Config.Timeout
// where there is none):
//
//	refused dial, LOADING, CLUSTERDOWN     surely not run: wait for the server, send again
//	READONLY                               surely not run: wait for a primary, send again
//	TRYAGAIN, MOVED and ASK without end    surely not run: pause, send again
//	a lost connection                      may have run: send again if twice does no harm, beyond the budget after a probe
//	the caller's own context, all others   give the error

// step is what to do after a failure.
type step uint8

const (
	giveUp      step = iota
	resend           // at once: only the connection was lost
	pause            // the server will take this very command in a moment
	await            // the server is away
	awaitWrites      // it serves, but refuses writes
)

// next sorts the failure of a command that may be run twice if repeatable.
func next(ctx context.Context, err error, repeatable bool) step {
	if err == nil || rueidis.IsRedisNil(err) || ctx.Err() != nil {
		return giveUp
	}
	if text, ok := reply(err); ok {
		switch code := outcome.Code(text); {
		case OutcomeOf(err) != NotApplied:
			return giveUp
		case code == "READONLY":
			return awaitWrites
		case code == "TRYAGAIN", code == "MOVED", code == "ASK":
			return pause
		case code == "LOADING", code == "CLUSTERDOWN", code == "MASTERDOWN", code == "ERR" && outcome.Away(text):
			return await
		default:
			return giveUp
		}
	}
	switch {
	case errors.Is(err, rueidis.ErrNoSlot):
		return await // a cluster that has not found its new primary
	case !Away(err):
		return giveUp
	case OutcomeOf(err) == NotApplied:
		return await
	case repeatable:
		return resend
	default:
		return giveUp
	}
}

// patience is how long a call may wait in all.
func (c *core) patience(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, c.cfg.Timeout)
}

// ready waits until a command for the slot may be sent, since its node is back
// or the slot has another; false means that the outage o outlasts the caller's
// patience.
func (c *Client) ready(ctx context.Context, o *outage, slot uint16, readOnly bool) bool {
	if c.hasty {
		return false
	}
	c.core.waiting.Add(1)
	defer c.core.waiting.Add(-1)
	ctx, cancel := c.core.patience(ctx)
	defer cancel()
	for o != nil {
		var moved <-chan struct{}
		if t := c.core.slots.Load(); t != nil {
			moved = t.changed
			if at, ok := c.core.nodeOf(slot); !ok || at != o.addr {
				return true
			}
		}
		select {
		case <-o.back:
		case <-moved:
		case <-ctx.Done():
			return false
		case <-c.core.ctx.Done():
			return false
		}
		away := c.core.away.Load()
		if away == nil {
			return true
		}
		o = c.core.outageAt(*away, slot, readOnly)
	}
	return true
}

// held gives, for each of several commands whose node is away for longer than
// the caller waits, why; nil when there is none.
func (c *Client) held(ctx context.Context, multi []rueidis.Completed) []error {
	if c.core.away.Load() == nil {
		return nil
	}
	ctx, cancel := c.core.patience(ctx)
	defer cancel()
	var held []error
	over := map[*outage]bool{}
	for i := range multi {
		o := c.core.outageOf(&multi[i])
		if o == nil || !over[o] && c.ready(ctx, o, multi[i].Slot(), multi[i].IsReadOnly()) {
			continue
		}
		over[o] = true
		if held == nil {
			held = make([]error, len(multi))
		}
		held[i] = &outageError{o.cause}
	}
	return held
}

// doOthers sends what is not held, and fails the rest. A transaction, and what
// is meant for one server, fails as a whole.
func (c *Client) doOthers(ctx context.Context, multi []rueidis.Completed, held []error, transaction bool) []rueidis.RedisResult {
	results := make([]rueidis.RedisResult, len(multi))
	var others []rueidis.Completed
	var at []int
	for i, err := range held {
		if err != nil {
			results[i] = rueidis.NewErrorResult(err)
			continue
		}
		others, at = append(others, multi[i]), append(at, i)
	}
	if transaction || !c.core.cluster() {
		for _, err := range held {
			if err != nil {
				return guard.FailAll(len(multi), err)
			}
		}
	}
	if len(others) > 0 {
		for j, r := range c.doMulti(ctx, others) {
			results[at[j]] = r
		}
	}
	return results
}

// gather does what a step asks for before the next attempt of k; false means
// that there is none.
func (c *Client) gather(ctx context.Context, s step, attempt int, cause error, k *command.Kept) bool {
	switch s {
	case resend:
		if attempt > attempts {
			return false
		}
		if c.core.budget.Take() {
			return true
		}
		// Many lost their connection with this call: what they send again must
		// not be the load that keeps the server down, so a probe goes first.
		if o := c.blame(cause, false, k.Slot); o != nil {
			return c.ready(ctx, o, k.Slot, k.ReadOnly)
		}
		return !c.hasty && sleep(ctx, backoff(attempt))
	case await, awaitWrites:
		if o := c.blame(cause, s == awaitWrites, k.Slot); o != nil {
			return c.ready(ctx, o, k.Slot, k.ReadOnly)
		}
		return !c.hasty && sleep(ctx, backoff(attempt))
	case pause:
		return !c.hasty && sleep(ctx, backoff(attempt))
	default:
		return false
	}
}

// blame begins the outage that a failure speaks of, and gives it if it is that
// of the slot's node. In a cluster it may not be: the inner client may go by an
// older table, the cluster as a whole may be down, or nobody serves the slot.
// The call then tries again in a moment.
func (c *Client) blame(cause error, writes bool, slot uint16) *outage {
	if !c.core.cluster() {
		return c.core.wentAway("", cause, writes)
	}
	at, known := c.core.nodeOf(slot)
	if text, ok := reply(cause); !known || errors.Is(cause, rueidis.ErrNoSlot) || ok && outcome.Code(text) == "CLUSTERDOWN" {
		c.core.refreshSlots()
		return nil
	}
	if errors.Is(cause, errKnownAway) { // which began with another cause, and may be over
		if away := c.core.away.Load(); away != nil {
			return c.core.outageAt(*away, slot, !writes)
		}
		return nil
	}
	if dial := (*conn.DialError)(nil); errors.As(cause, &dial) && dial.Addr != at {
		c.core.wentAway(dial.Addr, cause, writes)
		return nil
	}
	return c.core.wentAway(at, cause, writes)
}

// attempts is how often a command that may be run twice is sent again after
// lost connections.
const attempts = 3

// backoff is a pause with full jitter, doubling from 5 ms up to 250 ms: what is
// waited for is a slot on its way.
func backoff(attempt int) time.Duration {
	ceiling := min(5*time.Millisecond<<min(attempt, 8), 250*time.Millisecond)
	return rand.N(ceiling) + time.Millisecond
}

func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// mend brings a failed command to an end.
func (c *Client) mend(ctx context.Context, k *command.Kept, r rueidis.RedisResult) rueidis.RedisResult {
	if next(ctx, r.Error(), k.Repeatable()) == giveUp { // an answer, if not the one hoped for: nothing to wait for
		return r
	}
	waiting, cancel := c.core.patience(ctx)
	defer cancel()
	unsure := false // an attempt may have run
	for attempt := 1; ; attempt++ {
		err := r.Error()
		s := next(waiting, err, k.Repeatable())
		if s == giveUp {
			return sure(r, unsure)
		}
		unsure = unsure || s == resend
		if !c.gather(waiting, s, attempt, err, k) {
			return sure(outlasted(r, err, s), unsure)
		}
		c.core.retries.Add(1)
		r = c.send(ctx, k.Again(c.B()))
	}
}

// mendMulti brings the failed items of a batch to an end.
func (c *Client) mendMulti(
	ctx context.Context, copies []*command.Kept, results []rueidis.RedisResult, transaction bool,
) []rueidis.RedisResult {
	failed := false
	for i := range results {
		err := results[i].Error()
		failed = failed || err != nil && next(ctx, err, copies[i].Repeatable()) != giveUp
	}
	if !failed {
		return results
	}
	waiting, cancel := c.core.patience(ctx)
	defer cancel()
	unsure := make([]bool, len(results))
	defer func() {
		for i := range results {
			results[i] = sure(results[i], unsure[i])
		}
	}()
	for attempt := 1; ; attempt++ {
		var again []rueidis.Completed
		var at []int
		worst, cause, whose := giveUp, error(nil), (*command.Kept)(nil)
		for i := range results {
			err := results[i].Error()
			s := next(waiting, err, copies[i].Repeatable() && !transaction)
			if s == giveUp {
				continue
			}
			at = append(at, i)
			unsure[i] = unsure[i] || s == resend
			if s > worst {
				worst, cause, whose = s, err, copies[i]
			}
		}
		if transaction && len(at) < len(results) { // some of it ran, or was refused for good
			return results
		}
		if len(at) == 0 {
			return results
		}
		if !c.gather(waiting, worst, attempt, cause, whose) {
			for _, i := range at {
				results[i] = outlasted(results[i], results[i].Error(), next(waiting, results[i].Error(), false))
			}
			return results
		}
		for _, i := range at {
			again = append(again, copies[i].Again(c.B()))
		}
		c.core.retries.Add(uint64(len(again)))
		for j, r := range c.sendMulti(ctx, again) {
			results[at[j]] = r
		}
	}
}

// sure is a result, whose error speaks for all attempts of the call: when one of
// them may have run, a refusal of the last says nothing.
func sure(r rueidis.RedisResult, unsure bool) rueidis.RedisResult {
	if err := r.Error(); unsure && err != nil && OutcomeOf(err) == NotApplied {
		return rueidis.NewErrorResult(&unsureError{err})
	}
	return r
}

// unsureError: an attempt before the last may have run.
type unsureError struct{ err error }

func (e *unsureError) Error() string    { return describe(e.err) }
func (e *unsureError) Unwrap() error    { return e.err }
func (e *unsureError) Outcome() Outcome { return Unknown }

// outlasted is the result of a command for which the caller did not wait, or
// not long enough.
func outlasted(r rueidis.RedisResult, err error, s step) rueidis.RedisResult {
	if s == await || s == awaitWrites {
		return rueidis.NewErrorResult(&outageError{err})
	}
	return r
}

// outageError: the server was away for as long as the caller would wait.
type outageError struct{ cause error }

func (e *outageError) Error() string        { return "the server is not available: " + describe(e.cause) }
func (e *outageError) Unwrap() error        { return e.cause }
func (e *outageError) Outcome() Outcome     { return NotApplied }
func (e *outageError) Is(target error) bool { return target == ErrUnavailable }
