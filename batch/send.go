package batch

import (
	"context"
	"slices"
	"time"

	"github.com/redis/rueidis"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/resilience"
)

// sender sends the batches of a lane, one after the other, and repeats what
// may be repeated. What it has learnt of the server outlives a batch.
//
// It sends by a client that fails fast, since one that waits sends what failed
// again behind what did not: an item could overtake a later one on its key.
type sender struct {
	run
	ctx     context.Context
	hasty   *redstart.Client
	retry   *resilience.Retry
	series  resilience.Attempts // since the server's first refusal
	until   time.Time           // the end of the series
	trouble bool                // series is under way
	down    bool                // the last attempt found no server: the next is one item
	repeats int                 // items sent again, of the batch
}

// send brings every item of a batch to its result.
func (s *sender) send(pending []*item) {
	for len(pending) > 0 {
		sent, attempt := pending, s.attempt
		if s.down {
			sent, attempt = pending[:1], s.probe
		}
		rest := pending[len(sent):]
		again, why := attempt(sent)
		if len(again) == 0 {
			s.down = false
			s.trouble = s.trouble && len(rest) > 0
			pending = rest
			continue
		}
		s.down = len(again) == len(sent) && wholeNode(why)
		if s.pause(why) {
			pending = slices.Concat(again, rest)
			continue
		}
		for _, it := range again {
			it.fail(s.op, it.result.Err, s.known(it.result.Err))
		}
		if !s.down {
			pending = rest
			continue
		}
		for _, it := range rest {
			it.fail(s.op, unsent{}, redstart.NotApplied)
		}
		return
	}
}

// pause waits before the next attempt and reports whether there is to be one.
func (s *sender) pause(why error) bool {
	if s.retry == nil {
		return false
	}
	if !s.trouble {
		s.trouble, s.series, s.until = true, s.retry.Begin(), time.Now().Add(s.cfg.Wait)
	}
	pause, ok := s.series.Next(s.ctx, why)
	return ok && sleep(s.ctx, pause)
}

// probe is attempt for one item, to a server that was away. While the time
// lasts the client holds it back until it sees the server return.
func (s *sender) probe(items []*item) (again []*item, why error) {
	if !s.trouble || !time.Now().Before(s.until) {
		return s.attempt(items)
	}
	ctx, cancel := context.WithDeadline(s.ctx, s.until)
	defer cancel()
	return s.attemptBy(ctx, s.client, items)
}

func (s *sender) attempt(items []*item) (again []*item, why error) {
	return s.attemptBy(s.ctx, s.hasty, items)
}

// attemptBy sends items together and gives back those to be repeated, with the
// last one's failure; each has its own in result.Err.
func (s *sender) attemptBy(ctx context.Context, c *redstart.Client, items []*item) (again []*item, why error) {
	commands := make([]rueidis.Completed, len(items))
	for i, it := range items {
		commands[i] = it.cmd.build(c, s.reads)
		if it.sent {
			s.repeats++
		}
		it.sent = true
	}
	failed := false
	results := c.DoMulti(ctx, commands...)
	for i, it := range items {
		m, err := results[i].ToMessage()
		if err == nil || rueidis.IsRedisNil(err) {
			err = s.take(&it.result, m)
		}
		it.result.Err = err
		failed = failed || err != nil
	}
	if !failed {
		return nil, nil
	}
	var later map[string]bool // keys on which a later item of this attempt has run, or may have
	for _, it := range slices.Backward(items) {
		err := it.result.Err
		if s.repeatable(it, err) && !later[it.cmd.Key] {
			it.unsure = it.unsure || !s.reads && redstart.OutcomeOf(err) != redstart.NotApplied
			again = append(again, it)
			if why == nil {
				why = err
			}
			continue
		}
		if !s.cfg.Unordered && redstart.OutcomeOf(err) != redstart.NotApplied {
			if later == nil {
				later = map[string]bool{}
			}
			later[it.cmd.Key] = true
		}
		if err != nil {
			it.fail(s.op, err, s.known(err))
		}
	}
	slices.Reverse(again)
	return again, why
}

// repeatable reports whether an item that failed so may be sent again, and
// whether that has a chance: the server is away now and may be back, or the
// nodes of a cluster do not agree yet about who has a slot.
func (s *sender) repeatable(it *item, err error) bool {
	if err == nil || s.ctx.Err() != nil || !redstart.Away(err) && !redirects(err) {
		return false
	}
	return it.cmd.Idempotent || redstart.OutcomeOf(err) == redstart.NotApplied
}

// known is what a failure says of the effect: a read has none.
func (s *sender) known(err error) redstart.Outcome {
	if s.reads {
		return redstart.NotApplied
	}
	return redstart.OutcomeOf(err)
}

// sleep pauses, and reports whether ctx outlived the pause.
func sleep(ctx context.Context, pause time.Duration) bool {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
