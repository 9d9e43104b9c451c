package limit

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/key"
)

const (
	// groupsAtOnce is how many groups of a lane are under way before the next one
	// waits for company: while one is with the server, another is made ready.
	groupsAtOnce = 2
	// groupMost is how many questions fill a group: the first of them waits for
	// the answer to the last.
	groupMost = 128
	// companyWait is for how long a group waits at most, so that a server far
	// away is asked without pause. It is also at most an eighth of the timeout.
	companyWait = time.Millisecond
)

// group is the questions of some callers on their way together: one goroutine,
// one write and one deadline for all of them. That the goroutine is not a
// caller's is the point: a connection that is being made, or whose queue is full,
// holds a call past its time.
type group struct {
	lane      *lane
	questions []*question
	commands  []rueidis.Completed
	result    [1]rueidis.RedisResult // of a question that goes alone
	ends      time.Time
	timer     *time.Timer
	leaving   bool // a goroutine has it; guarded by the lane, as are those below
	sent      bool // nobody can join any more
	settled   bool // all have their answers
	travel    func(context.Context)
}

// lane is where questions gather: one for all of a server, one for each slot of
// a cluster, in which a frozen node must not decide for the ids of another.
type lane struct {
	of        *lanes
	suspected atomic.Bool // a group is late; until it, or any other, returns
	mu        sync.Mutex
	open      *group // gathers
	underWay  int
}

type lanes struct {
	client  *redstart.Client
	timeout time.Duration
	company time.Duration
	most    int // questions of a group
	one     lane
	bySlot  []atomic.Pointer[lane] // of a cluster
	groups  sync.Pool
}

// slots is how many a cluster has.
const slots = 1 << 14

func newLanes(c *redstart.Client, timeout time.Duration) *lanes {
	ls := &lanes{client: c, timeout: timeout, company: min(companyWait, timeout/8), most: groupMost}
	ls.one.of = ls
	if c.Mode() == rueidis.ClientModeCluster {
		// Each question goes alone: a script unknown to a node is no affair of the
		// other nodes, which are asked when a batch is sent.
		ls.bySlot, ls.most = make([]atomic.Pointer[lane], slots), 1
	}
	ls.groups.New = func() any {
		g := &group{}
		g.travel = g.run
		return g
	}
	return ls
}

// of gives the lane of a key.
func (ls *lanes) of(k string) *lane {
	if ls.bySlot == nil {
		return &ls.one
	}
	at := &ls.bySlot[key.Slot(k)]
	ln := at.Load()
	if ln == nil {
		at.CompareAndSwap(nil, &lane{of: ls})
		ln = at.Load()
	}
	return ln
}

// join puts a question into the open group.
func (ln *lane) join(q *question) error {
	if ln.suspected.Load() {
		return errSilent
	}
	ln.mu.Lock()
	g := ln.open
	fresh := g == nil
	if fresh {
		g = ln.of.groups.Get().(*group)
		g.lane, g.ends = ln, time.Now().Add(ln.of.timeout)
		ln.open = g
	}
	g.questions = append(g.questions, q)
	full := len(g.questions) >= ln.of.most
	departs := !g.leaving && (full || ln.underWay < groupsAtOnce)
	if departs {
		ln.leave(g)
	}
	if full {
		ln.open = nil
	}
	if fresh {
		wait := ln.of.timeout
		if !departs {
			wait = ln.of.company
		}
		if g.timer == nil {
			g.timer = time.AfterFunc(wait, g.ring)
		} else {
			g.timer.Reset(wait)
		}
	}
	ln.mu.Unlock()
	if departs {
		g.start()
	}
	return nil
}

// leave gives a group to a goroutine. The lane is locked.
func (ln *lane) leave(g *group) {
	g.leaving = true
	ln.underWay++
}

// start sends a group that has departed from a goroutine of the client.
func (g *group) start() {
	if err := g.lane.of.client.Go(g.travel); err != nil {
		g.arrive(nil, err)
	}
}

// run sends a group, and then those that gathered meanwhile, until the client is
// closed.
func (g *group) run(ctx context.Context) {
	for g != nil {
		if !g.full() {
			runtime.Gosched() // those who are ready to ask come along
		}
		var results []rueidis.RedisResult
		if g.close() {
			results = g.send(ctx)
		}
		if ctx.Err() != nil {
			g.arrive(results, redstart.ErrClosed)
			return
		}
		g = g.arrive(results, nil)
	}
}

// full says whether nobody can join.
func (g *group) full() bool {
	g.lane.mu.Lock()
	defer g.lane.mu.Unlock()
	return g.lane.open != g
}

// close lets nobody join any more, and says whether the group is still to be sent.
func (g *group) close() bool {
	ln := g.lane
	ln.mu.Lock()
	defer ln.mu.Unlock()
	if ln.open == g {
		ln.open = nil
	}
	g.sent = !g.settled
	return g.sent
}

// send asks the server. The context has no deadline of the group's: the client
// ends what hangs, and until then it is known that the server does not answer.
func (g *group) send(ctx context.Context) []rueidis.RedisResult {
	c := g.lane.of.client
	if len(g.questions) == 1 {
		script, keys, args := g.questions[0].words()
		g.result[0] = script.Exec(ctx, c, keys, args)
		return g.result[:]
	}
	for _, q := range g.questions {
		script, keys, args := q.words()
		g.commands = append(g.commands, script.Command(c, keys, args))
	}
	return c.DoMulti(ctx, g.commands...)
}

// arrive gives everyone his answer, unless they came too late, and takes the
// group that gathered meanwhile. The error, if any, is the client's end.
func (g *group) arrive(results []rueidis.RedisResult, closed error) (next *group) {
	ln := g.lane
	ln.mu.Lock()
	late := g.settled
	g.settled = true
	if ln.open == g { // no goroutine could have it
		ln.open = nil
	}
	ln.underWay--
	if g.sent {
		ln.suspected.Store(false)
	}
	if next = ln.open; next != nil {
		if closed != nil || next.leaving || ln.underWay >= groupsAtOnce {
			next = nil
		} else {
			ln.leave(next)
		}
	}
	ln.mu.Unlock()
	if late { // others may still hold it
		return next
	}
	stopped := g.timer.Stop()
	for i, q := range g.questions {
		if results != nil {
			q.decision, q.err = q.read(results[i])
		} else {
			q.err = closed
		}
		if closed != nil && errors.Is(q.err, context.Canceled) { // not the caller's
			q.err = &redstart.Error{Op: "redstart/limit: ask", Outcome: redstart.OutcomeOf(q.err), Err: closed}
		}
		q.done <- struct{}{}
	}
	if stopped && closed == nil { // else the timer, or the connection, may still look at it
		clear(g.questions)
		clear(g.commands)
		g.questions, g.commands, g.result[0] = g.questions[:0], g.commands[:0], rueidis.RedisResult{}
		g.lane, g.leaving, g.sent, g.settled = nil, false, false, false
		ln.of.groups.Put(g)
	}
	return next
}

// ring is the group's timer: it has waited for company long enough, or for the
// server.
func (g *group) ring() {
	ln := g.lane
	ln.mu.Lock()
	left, starts := time.Until(g.ends), false
	switch {
	case g.settled:
		ln.mu.Unlock()
		return
	case left > 0:
		if !g.leaving {
			ln.leave(g)
			starts = true
		}
		g.timer.Reset(left)
		ln.mu.Unlock()
		if starts {
			g.start()
		}
		return
	}
	outcome := redstart.NotApplied
	switch {
	case g.sent:
		outcome = redstart.Unknown
		ln.suspect(g.questions[0].key)
	case ln.open == g: // this process had not the time to send it
		ln.open = nil
	}
	g.settled = true
	ln.mu.Unlock()
	err := &timeoutError{context.DeadlineExceeded, outcome}
	for _, q := range g.questions {
		q.err = err
		q.done <- struct{}{}
	}
}

// suspect makes all decisions those of an outage, after one that came too late,
// until the server answers, or the client knows itself that it is away: within the
// client's Timeout. What is late may have been lost on the way, so it is asked anew.
func (ln *lane) suspect(k string) {
	c := ln.of.client
	if !ln.suspected.CompareAndSwap(false, true) {
		return
	}
	err := c.Go(func(ctx context.Context) {
		defer ln.suspected.Store(false)
		_ = c.Do(ctx, c.B().Exists().Key(k).Build()).Error() // whatever it is, it is an answer
	})
	if err != nil {
		ln.suspected.Store(false)
	}
}
