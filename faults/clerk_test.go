package faults

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/faults/harness"
	"github.com/redstart-go/redstart/faults/history"
	"github.com/redstart-go/redstart/faults/naive"
)

// What a clerk may follow besides Redstart: the naive recipe, or Redstart with a
// sink that its flushers do not guard.
const (
	queueInProcess = "SETEX and a queue in the process"
	bareSink       = "a sink without guard and fence"
)

// byPutMany marks a write of PutMany.
const byPutMany uint8 = 1

// clerkArg sets up a process that writes notes.
type clerkArg struct {
	Recipe        string
	Journal       journalArg
	Notes         notesAt // of the recipe, which writes to it from this process
	History       string  // folder
	Clock         string
	Process, Life int
	Seed          uint64
	Keys, Callers int           // Keys 0: each write has one of its own, by Put
	Pause         time.Duration // after each write, at most
	Deadline      time.Duration // of each; 0: 10 s
}

// clerkCounts is what a clerk's writes came to.
type clerkCounts struct{ Acked, Refused, Unsure, Deletes, Many int64 }

// clerk is a process that writes.
type clerk struct {
	arg   clerkArg
	log   *history.Log
	clock *harness.Clock

	put     func(ctx context.Context, id int64, v note) error
	remove  func(ctx context.Context, id int64) error
	putMany func(ctx context.Context, ids []int64, v []note) error // nil: none
	queued  func() int                                             // of the recipe

	acked, refused, unsure, deletes, many atomic.Int64
	last                                  atomic.Uint64
	fresh                                 atomic.Int64
}

// clerkRole is the role.
func clerkRole(raw json.RawMessage) (map[string]harness.Verb, func(), error) {
	c := &clerk{}
	if err := json.Unmarshal(raw, &c.arg); err != nil {
		return nil, nil, err
	}
	var err error
	if c.log, err = history.Create(c.arg.History, fmt.Sprintf("clerk-%d-%d", c.arg.Process, c.arg.Life)); err != nil {
		return nil, nil, err
	}
	if c.clock, err = harness.NewClock(c.arg.Clock); err != nil {
		return nil, nil, err
	}
	end, err := c.open()
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	var work sync.WaitGroup
	for i := range c.arg.Callers {
		work.Go(func() { c.write(ctx, i) })
	}
	halt := func() { cancel(); work.Wait() }
	counts := func(context.Context, int) (clerkCounts, error) {
		return clerkCounts{c.acked.Load(), c.refused.Load(), c.unsure.Load(), c.deletes.Load(), c.many.Load()}, nil
	}
	return map[string]harness.Verb{
		"counts": harness.On(counts),
		"queued": harness.On(func(context.Context, int) (int, error) { return c.queued(), nil }),
		"stop":   harness.On(func(ctx context.Context, n int) (clerkCounts, error) { halt(); return counts(ctx, n) }),
	}, func() { halt(); end(); _ = c.log.Close() }, nil
}

func (c *clerk) open() (end func(), err error) {
	if c.arg.Recipe != queueInProcess {
		j, client, err := c.arg.Journal.open(nil)
		if err != nil {
			return nil, err
		}
		c.put, c.remove = j.Put, j.Delete
		c.putMany = func(ctx context.Context, ids []int64, v []note) error {
			return j.PutMany(ctx, func(yield func(int64, note) bool) {
				for i, id := range ids {
					if !yield(id, v[i]) {
						return
					}
				}
			})
		}
		return client.Close, nil
	}
	client, err := plain(c.arg.Journal.URL)
	if err != nil {
		return nil, err
	}
	db, err := c.arg.Notes.open()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	w := naive.WriteBehind{Client: client, TTL: time.Hour, Bulk: c.arg.Notes.bulk(db), Queue: make(chan naive.Item, 1<<20)}
	var work sync.WaitGroup
	work.Go(func() { _ = w.Work(ctx) }) // an error ends it, as it would a thread
	c.queued = func() int { return len(w.Queue) }
	name := func(id int64) string { return strconv.FormatInt(id, 10) }
	c.put = func(ctx context.Context, id int64, v note) error {
		return w.Save(ctx, name(id), strconv.FormatUint(v.Write, 10))
	}
	c.remove = func(ctx context.Context, id int64) error { return w.Delete(ctx, name(id)) }
	return func() {
		// One that ends well lets the worker end what it was at, whose wait for more
		// takes a second.
		for end := time.Now().Add(5 * time.Second); len(w.Queue) > 0 && time.Now().Before(end); {
			rest(ctx, 10*time.Millisecond)
		}
		rest(ctx, 1200*time.Millisecond)
		cancel()
		work.Wait()
		client.Close()
		db.Close()
	}, nil
}

// number gives the next write's: process, life and count.
func (c *clerk) number() uint64 {
	return uint64(c.arg.Process)<<48 | uint64(c.arg.Life)<<32 | c.last.Add(1) //nolint:gosec // small
}

// write writes until ctx ends: what it asks for is in the log before it asks,
// and an acknowledgement on the disk before it counts.
func (c *clerk) write(ctx context.Context, caller int) {
	rng := harness.Rand(c.arg.Seed, "clerk", c.arg.Process*1000+c.arg.Life*100+caller)
	deadline := c.arg.Deadline
	if deadline == 0 {
		deadline = 10 * time.Second
	}
	for ctx.Err() == nil {
		call, cancel := context.WithTimeout(context.WithoutCancel(ctx), deadline)
		var err error
		switch n := rng.IntN(10); {
		case c.arg.Keys == 0:
			err = c.ask(0, []int64{int64(c.arg.Process)<<24 | c.fresh.Add(1)}, func(ids []int64, v []note) error { return c.put(call, ids[0], v[0]) })
		case n < 3:
			err = c.ask(history.Deletes, c.some(rng, 1), func(ids []int64, _ []note) error { return c.remove(call, ids[0]) })
		case n < 6 && c.putMany != nil:
			err = c.ask(byPutMany, c.some(rng, 2+rng.IntN(8)), func(ids []int64, v []note) error { return c.putMany(call, ids, v) })
		default:
			err = c.ask(0, c.some(rng, 1), func(ids []int64, v []note) error { return c.put(call, ids[0], v[0]) })
		}
		cancel()
		if err != nil {
			rest(ctx, 10*time.Millisecond)
		}
		if c.arg.Pause > 0 {
			rest(ctx, rand.N(c.arg.Pause))
		}
	}
}

// some gives n different ids.
func (c *clerk) some(rng *rand.Rand, n int) (ids []int64) {
	for _, id := range rng.Perm(c.arg.Keys)[:min(n, c.arg.Keys)] {
		ids = append(ids, int64(id))
	}
	return ids
}

// ask makes one call for some ids, and logs what came of each.
func (c *clerk) ask(mark uint8, ids []int64, call func([]int64, []note) error) error {
	events := make([]history.Event, len(ids))
	values := make([]note, len(ids))
	begin := c.clock.Tick()
	for i, id := range ids {
		values[i].Write = c.number()
		events[i] = history.Event{Kind: history.Sent, Mark: mark, Process: uint16(c.arg.Process), Key: uint32(id), Version: values[i].Write, Begin: begin} //nolint:gosec // small
		if err := c.log.Add(events[i]); err != nil {
			return err
		}
	}
	err := call(ids, values)
	end := c.clock.Tick()
	var acked int64
	for i := range events {
		events[i].End = end
		switch one := errorOf(err, ids[i]); {
		case one == nil || redstart.OutcomeOf(one) == redstart.Applied:
			events[i].Kind = history.Acked
			acked++
		case redstart.OutcomeOf(one) == redstart.NotApplied:
			events[i].Kind = history.NotTaken
			c.refused.Add(1)
		default:
			c.unsure.Add(1)
			continue
		}
		if err := c.log.Add(events[i]); err != nil {
			return err
		}
	}
	if acked == 0 {
		return err
	}
	if err := c.log.Sync(); err != nil {
		return err
	}
	c.acked.Add(acked)
	if mark == history.Deletes {
		c.deletes.Add(acked)
	}
	if len(ids) > 1 {
		c.many.Add(acked)
	}
	return err
}
