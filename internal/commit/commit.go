// Package commit runs scripts whose writes are to be on replicas, or on disk,
// before they count. Those that come together share one wait.
package commit

import (
	"context"
	"crypto/sha1" //nolint:gosec // the server names scripts by SHA-1
	"encoding/hex"
	"errors"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/rueidis"

	"github.com/redstart-go/redstart"
)

// What Run may say, for errors.Is.
var (
	// ErrUnconfirmed: the script has run, and as many replicas or disks as asked
	// for have not confirmed it.
	ErrUnconfirmed error = unconfirmed{}
)

type unconfirmed struct{}

func (unconfirmed) Error() string             { return "written, but not confirmed as durable" }
func (unconfirmed) Outcome() redstart.Outcome { return redstart.Unknown }

// Terms are what is waited for: Disks is 0 for WAIT, 1 for WAITAOF.
type Terms struct {
	Disks, Replicas int
	Within          time.Duration
}

// Group gathers the calls on keys of one slot: those that come while some are
// under way go together next. The scripts and the wait travel on one connection,
// so that what is waited for is what that very server took.
type Group struct {
	Client *redstart.Client
	Script string // the text; it answers a number, a negative one where it wrote nothing
	Terms  Terms
	Mark   string // the key of a hash in that slot, of which the field "waits" is counted up

	sha   string
	mu    sync.Mutex
	queue []*call
	busy  bool
}

// call is one script.
type call struct {
	ctx        context.Context
	keys, args []string
	again      bool
	ended      chan struct{}
	n          int64
	err        error
}

const (
	most      = 128 // calls that share a wait
	pauseMost = 100 * time.Millisecond
)

// Run runs the script and waits. again says that it may have run before, over
// another connection. When ctx ends first the script may still run. An error is
// ErrUnconfirmed, of Outcome Unknown, where only the wait has failed.
func (g *Group) Run(ctx context.Context, keys, args []string, again bool) (int64, error) {
	// The caller may leave before it is sent, and use the memory again.
	c := &call{ctx: ctx, keys: keys, args: append([]string(nil), args...), again: again, ended: make(chan struct{})}
	g.mu.Lock()
	g.queue = append(g.queue, c)
	start := !g.busy
	g.busy = true
	g.mu.Unlock()
	if start {
		if err := g.Client.Go(g.runAll); err != nil {
			for some := g.next(); len(some) > 0; some = g.next() {
				end(some, err)
			}
		}
	}
	select {
	case <-c.ended:
		return c.n, c.err
	case <-ctx.Done():
		return 0, &redstart.Error{Op: "redstart: commit", Outcome: redstart.Unknown, Err: ctx.Err()}
	}
}

// end answers calls; an error is theirs unless they have one.
func end(some []*call, err error) {
	for _, c := range some {
		if c.err == nil {
			c.err = err
		}
		close(c.ended)
	}
}

// next takes calls off the queue.
func (g *Group) next() []*call {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := min(len(g.queue), most)
	some := g.queue[:n:n]
	if g.queue = g.queue[n:]; n == 0 {
		g.queue, g.busy = nil, false
	}
	return some
}

// runAll runs calls until none is left.
func (g *Group) runAll(ctx context.Context) {
	for some := g.next(); len(some) > 0; some = g.next() {
		live := some[:0:0]
		for _, c := range some {
			if err := c.ctx.Err(); err != nil {
				end([]*call{c}, &redstart.Error{Op: "redstart: commit", Outcome: redstart.NotApplied, Err: err})
				continue
			}
			live = append(live, c)
		}
		if len(live) > 0 {
			g.run(ctx, live)
			end(live, nil)
		}
	}
}

// run runs calls, again those that surely did not since the slot has moved or
// its server was away.
func (g *Group) run(ctx context.Context, left []*call) {
	ctx, cancel := context.WithTimeout(ctx, g.Terms.Within+g.Client.Config().Timeout)
	defer cancel()
	for pause := 10 * time.Millisecond; ; pause = min(2*pause, pauseMost) {
		err := g.Client.Dedicated(func(d rueidis.DedicatedClient) error {
			g.on(ctx, d, left)
			return nil
		})
		var again []*call
		for _, c := range left {
			if c.err == nil {
				c.err = err
			}
			if c.err != nil && redstart.OutcomeOf(c.err) == redstart.NotApplied && elsewhere(c.err) {
				again = append(again, c)
			}
		}
		if left = again; len(left) == 0 {
			return
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
		// An ordinary command finds out who serves the slot now.
		_ = g.Client.Do(ctx, g.Client.B().Exists().Key(g.Mark).Build()).Error()
	}
}

// elsewhere reports whether the slot has moved, or its server is away.
func elsewhere(err error) bool {
	if re := (*rueidis.RedisError)(nil); errors.As(err, &re) {
		for _, code := range []string{"MOVED ", "ASK ", "TRYAGAIN ", "CLUSTERDOWN ", "LOADING ", "READONLY ", "MASTERDOWN "} {
			if strings.HasPrefix(re.Error(), code) {
				return true
			}
		}
		return false
	}
	return redstart.Away(err)
}

// on runs calls on one connection.
func (g *Group) on(ctx context.Context, d rueidis.DedicatedClient, some []*call) {
	if g.sha == "" {
		sum := sha1.Sum([]byte(g.Script)) //nolint:gosec // as above
		g.sha = hex.EncodeToString(sum[:])
	}
	b := d.B()
	var commands rueidis.Commands
	mark := false
	for _, c := range some {
		mark = mark || c.again
		commands = append(commands, b.Evalsha().Sha1(g.sha).Numkeys(int64(len(c.keys))).Key(c.keys...).Arg(c.args...).Build())
	}
	// What was written over another connection a moment ago is waited for only
	// behind a write of this one.
	if mark {
		commands = append(commands, b.Hincrby().Key(g.Mark).Field("waits").Increment(1).Build())
	}
	results := d.DoMulti(ctx, append(commands, g.wait(b))...)
	var unknown []*call
	for i, c := range some {
		if c.n, c.err = results[i].AsInt64(); c.err != nil && strings.HasPrefix(c.err.Error(), "NOSCRIPT") {
			unknown = append(unknown, c)
		}
	}
	waited := results[len(results)-1]
	if len(unknown) > 0 {
		commands = nil
		for _, c := range unknown {
			commands = append(commands, b.Eval().Script(g.Script).Numkeys(int64(len(c.keys))).Key(c.keys...).Arg(c.args...).Build())
		}
		results = d.DoMulti(ctx, append(commands, g.wait(b))...)
		for i, c := range unknown {
			c.n, c.err = results[i].AsInt64()
		}
		waited = results[len(results)-1] // it waits for all that the connection wrote
	}
	err := g.judge(waited)
	for _, c := range some {
		if c.err == nil && c.n >= 0 {
			c.err = err
		}
	}
}

// wait is the command that waits.
func (g *Group) wait(b rueidis.Builder) rueidis.Completed {
	ms, replicas := strconv.FormatInt(max(g.Terms.Within.Milliseconds(), 1), 10), strconv.Itoa(g.Terms.Replicas)
	if g.Terms.Disks > 0 {
		return b.Arbitrary("WAITAOF", strconv.Itoa(g.Terms.Disks), replicas, ms).Blocking()
	}
	return b.Arbitrary("WAIT", replicas, ms).Blocking()
}

// judge judges its answer.
func (g *Group) judge(r rueidis.RedisResult) error {
	var have []int64
	var err error
	if g.Terms.Disks > 0 {
		have, err = r.AsIntSlice()
	} else {
		var n int64
		n, err = r.AsInt64()
		have = []int64{0, n}
	}
	if err != nil {
		return errors.Join(ErrUnconfirmed, err)
	}
	if len(have) != 2 || have[0] < int64(g.Terms.Disks) || have[1] < int64(g.Terms.Replicas) {
		return ErrUnconfirmed
	}
	return nil
}
