package journal

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/rueidis"

	"github.com/redstart-go/redstart"
)

// committer gathers the writes of a partition that wait for replicas or disks:
// those that come while a group is under way make the next one. The writes and
// the wait travel on one connection, so that what is waited for is what that very
// server took.
type committer struct {
	mu    sync.Mutex
	queue []*commit
	busy  bool
}

type commit struct {
	ctx   context.Context
	w     *writing
	ended chan struct{}
	n     int64
	err   error
}

// group is how many writes share a wait.
const group = 128

// commit is the put script and its share of a wait.
func (j *Journal[K, V]) commit(ctx context.Context, w *writing) (int64, error) {
	// The caller may leave before the group is sent, and use the memory again.
	own := &writing{p: w.p, keys: w.keys, args: append([]string(nil), w.args...)}
	c := &commit{ctx: ctx, w: own, ended: make(chan struct{})}
	q := &w.p.commit
	q.mu.Lock()
	q.queue = append(q.queue, c)
	start := !q.busy
	q.busy = true
	q.mu.Unlock()
	if start {
		if err := j.client.Go(func(ctx context.Context) { j.commitAll(ctx, q) }); err != nil {
			j.commitNone(q, err)
		}
	}
	select {
	case <-c.ended:
		return c.n, c.err
	case <-ctx.Done():
		return 0, &redstart.Error{Op: "redstart/journal: commit", Template: j.name, Outcome: redstart.Unknown, Err: ctx.Err()}
	}
}

// next takes a group off the queue.
func (q *committer) next() []*commit {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := min(len(q.queue), group)
	some := q.queue[:n:n]
	if q.queue = q.queue[n:]; n == 0 {
		q.queue, q.busy = nil, false
	}
	return some
}

func (j *Journal[K, V]) commitNone(q *committer, err error) {
	for some := q.next(); len(some) > 0; some = q.next() {
		for _, c := range some {
			c.err = err
			close(c.ended)
		}
	}
}

// commitAll runs groups until none is left.
func (j *Journal[K, V]) commitAll(ctx context.Context, q *committer) {
	for some := q.next(); len(some) > 0; some = q.next() {
		live := some[:0]
		for _, c := range some {
			if c.err = c.ctx.Err(); c.err != nil {
				close(c.ended)
				continue
			}
			live = append(live, c)
		}
		if len(live) > 0 {
			j.commitGroup(ctx, live)
		}
	}
}

// commitGroup runs the scripts of a group, and waits.
func (j *Journal[K, V]) commitGroup(ctx context.Context, some []*commit) {
	defer func() {
		for _, c := range some {
			close(c.ended)
		}
	}()
	within := j.cfg.Durability.within
	if within == 0 {
		within = j.client.Config().Timeout
	}
	ctx, cancel := context.WithTimeout(ctx, within+j.client.Config().Timeout)
	defer cancel()
	left := some
	for pause := 10 * time.Millisecond; ; pause = min(2*pause, roomMost) {
		var again []*commit
		err := j.client.Dedicated(func(d rueidis.DedicatedClient) error {
			j.commitOn(ctx, d, left, within)
			return nil
		})
		for _, c := range left {
			if c.err == nil {
				c.err = err
			}
			if c.err != nil && redstart.OutcomeOf(c.err) == redstart.NotApplied && elsewhere(c.err) {
				again = append(again, c)
			}
		}
		if left = again; len(left) == 0 || ctx.Err() != nil || sleep(ctx, pause, nil) != nil {
			return
		}
		// An ordinary command finds out who serves the slot now.
		_ = j.client.Do(ctx, j.client.B().Exists().Key(left[0].w.p.state).Build()).Error()
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

// commitOn does it on one connection.
func (j *Journal[K, V]) commitOn(ctx context.Context, d rueidis.DedicatedClient, some []*commit, within time.Duration) {
	b := d.B()
	build := func(c *commit, whole bool) rueidis.Completed {
		n := int64(len(c.w.keys))
		if whole {
			return b.Eval().Script(putText).Numkeys(n).Key(c.w.keys...).Arg(c.w.args...).Build()
		}
		return b.Evalsha().Sha1(putSHA).Numkeys(n).Key(c.w.keys...).Arg(c.w.args...).Build()
	}
	var commands rueidis.Commands
	mark := false
	for _, c := range some {
		mark = mark || c.w.args[4] == "1"
		commands = append(commands, build(c, false))
	}
	// What was written over another connection a moment ago is waited for only
	// behind a write of this one.
	if mark {
		commands = append(commands, b.Hincrby().Key(some[0].w.p.state).Field("waits").Increment(1).Build())
	}
	results := d.DoMulti(ctx, append(commands, j.waitFor(b, within))...)
	var unknown []*commit
	for i, c := range some {
		c.n, c.err = results[i].AsInt64()
		if c.err != nil && strings.HasPrefix(c.err.Error(), "NOSCRIPT") {
			unknown = append(unknown, c)
		}
	}
	wait := results[len(results)-1]
	if len(unknown) > 0 {
		commands = commands[:0]
		for _, c := range unknown {
			commands = append(commands, build(c, true))
		}
		results = d.DoMulti(ctx, append(commands, j.waitFor(b, within))...)
		for i, c := range unknown {
			c.n, c.err = results[i].AsInt64()
		}
		wait = results[len(results)-1] // it waits for all that the connection wrote
	}
	err := j.waited(wait)
	for _, c := range some {
		if c.err == nil && c.n >= 0 {
			c.err = err
		}
	}
}

// waitFor is the command that waits.
func (j *Journal[K, V]) waitFor(b rueidis.Builder, within time.Duration) rueidis.Completed {
	ms := strconv.FormatInt(max(within.Milliseconds(), 1), 10)
	replicas := strconv.Itoa(j.cfg.Durability.replicas)
	if j.cfg.Durability.level == waitAOF {
		return b.Arbitrary("WAITAOF", strconv.Itoa(j.cfg.Durability.disks), replicas, ms).Blocking()
	}
	return b.Arbitrary("WAIT", replicas, ms).Blocking()
}

// waited judges its answer.
func (j *Journal[K, V]) waited(r rueidis.RedisResult) error {
	enough := false
	if j.cfg.Durability.level == waitAOF {
		n, err := r.AsIntSlice()
		if err != nil {
			return errors.Join(ErrNotDurable, err)
		}
		enough = len(n) == 2 && n[0] >= int64(j.cfg.Durability.disks) && n[1] >= int64(j.cfg.Durability.replicas)
	} else {
		n, err := r.AsInt64()
		if err != nil {
			return errors.Join(ErrNotDurable, err)
		}
		enough = n >= int64(j.cfg.Durability.replicas)
	}
	if !enough {
		return ErrNotDurable
	}
	return nil
}
