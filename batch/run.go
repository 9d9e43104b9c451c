package batch

import (
	"context"
	"hash/maphash"
	"iter"
	"time"

	"github.com/redis/rueidis"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/resilience"
)

// run is one call of Get, Set, Del or Do.
type run struct {
	ctx    context.Context
	client *redstart.Client
	op     string
	cfg    Config
	input  iter.Seq[Command]
	reads  bool                                      // nothing is ever changed
	take   func(*Result, rueidis.RedisMessage) error // reads a good reply
}

// item is a command that was taken from the input and whose result has not
// been given yet.
type item struct {
	cmd    Command
	size   int
	result Result
	done   bool
	sent   bool
	unsure bool // an attempt at it may have run
}

// results runs the whole, in the goroutine of whoever ranges over it.
//
// An item belongs to a lane, by its key; a lane has one batch under way at a
// time, so items on one key run in their order (unless that is not wanted). Lanes only send; everything
// else (the input, the results, the callback) is the loop's, so none of the
// caller's code ever runs at the same time as another part of it.
func (r run) results() iter.Seq[Result] {
	return func(yield func(Result) bool) {
		cfg, err := r.cfg.withDefaults()
		if err != nil {
			yield(Result{Err: err})
			return
		}
		cfg.Unordered = cfg.Unordered || r.reads
		r.cfg = cfg
		ctx, cancel := context.WithCancel(r.ctx)
		l := &loop{
			run: r, cluster: r.client.Mode() == rueidis.ClientModeCluster, seed: maphash.MakeSeed(), began: time.Now(),
			lanes: make([]lane, cfg.InFlight), finished: make(chan *lane, cfg.InFlight),
		}
		var stop func()
		l.next, stop = iter.Pull(r.input)
		defer func() {
			cancel()
			for ; l.busy > 0; l.busy-- {
				<-l.finished
			}
			stop()
		}()
		retry, hasty := patience(cfg.Wait), r.client.FailFast()
		for i := range l.lanes {
			l.lanes[i].sender = &sender{run: r, ctx: ctx, hasty: hasty, retry: retry}
		}
		l.all(yield)
	}
}

// patience repeats for wait, with growing pauses; nil for a negative wait. There
// is no budget: while a server is away, a lane sends it one command a pause.
// For the same reason pauses stop growing at a second, not at the usual ten.
func patience(wait time.Duration) *resilience.Retry {
	if wait < 0 {
		return nil
	}
	unlimited, _ := resilience.NewBudget(resilience.BudgetConfig{Ratio: -1})
	retry, _ := resilience.NewRetry(resilience.RetryConfig{
		Attempts: -1, Cap: time.Second, Elapsed: wait, Budget: unlimited,
		Retryable: func(error) bool { return true }, // what comes here has been sorted
	}) // both are valid
	return retry
}

// loop is a run under way.
type loop struct {
	run
	cluster  bool
	seed     maphash.Seed
	next     func() (Command, bool)
	ended    bool // the input is
	lanes    []lane
	finished chan *lane
	busy     int // lanes with a batch under way

	window   queue[*item] // taken and not given, in order
	bytes    int          // of the window's commands
	began    time.Time
	progress Progress
}

// lane is where the items of some keys go, in order.
type lane struct {
	waiting queue[*item]
	bytes   int // of those waiting
	busy    bool
	sending []*item
	sender  *sender
}

func (l *loop) all(yield func(Result) bool) {
	for {
		l.settleFinished()
		if !l.give(yield) {
			return
		}
		switch {
		case l.mayTake():
			l.takeOne()
		case l.window.len() == 0:
			l.end(yield)
			return
		default:
			for i := range l.lanes {
				l.send(&l.lanes[i])
			}
			if head := l.window.head(); !head.done { // its lane is busy, else it had just been sent
				l.settle(<-l.finished)
			}
		}
	}
}

// mayTake reports whether there is room for one more item: twice what may be
// under way.
func (l *loop) mayTake() bool {
	return !l.ended && l.ctx.Err() == nil &&
		l.window.len() < 2*l.cfg.InFlight*l.cfg.Size && (l.window.len() == 0 || l.bytes < 2*l.cfg.InFlight*l.cfg.Bytes)
}

func (l *loop) takeOne() {
	cmd, ok := l.next()
	if !ok {
		l.ended = true
		return
	}
	it := &item{cmd: cmd, size: cmd.size(), result: Result{Index: l.progress.Taken, Key: cmd.Key}}
	l.progress.Taken++
	l.window.push(it)
	l.bytes += it.size
	if err := l.check(&cmd); err != nil {
		it.fail(l.op, err, redstart.NotApplied)
		l.count(it)
		return
	}
	lane := l.laneOf(&cmd)
	lane.waiting.push(it)
	lane.bytes += it.size
	if lane.waiting.len() >= l.cfg.Size || lane.bytes >= l.cfg.Bytes {
		l.send(lane)
	}
}

func (l *loop) check(cmd *Command) error {
	if len(cmd.Words) > 0 && cmd.Words[0] == badTTL {
		return &refusal{"the TTL must be at least a millisecond, or zero for an entry without an end"}
	}
	return cmd.check(l.cluster)
}

// laneOf gives the lane of a command's key. In a cluster that is a range of
// slots: they mostly belong to one node, so a node that is slow holds up few
// batches but its own.
func (l *loop) laneOf(cmd *Command) *lane {
	switch {
	case l.cluster:
		return &l.lanes[int(cmd.slot())*len(l.lanes)/16384]
	case l.cfg.Unordered:
		return &l.lanes[(l.progress.Taken-1)/l.cfg.Size%len(l.lanes)]
	case cmd.Key == "":
		return &l.lanes[0]
	default:
		return &l.lanes[maphash.String(l.seed, cmd.Key)%uint64(len(l.lanes))]
	}
}

// send begins the lane's next batch, if it has none under way.
func (l *loop) send(lane *lane) {
	if lane.busy || lane.waiting.len() == 0 {
		return
	}
	lane.sending = lane.sending[:0]
	for size := 0; lane.waiting.len() > 0 && len(lane.sending) < l.cfg.Size; {
		it := lane.waiting.head()
		if size += it.size; size > l.cfg.Bytes && len(lane.sending) > 0 {
			break
		}
		lane.waiting.pop()
		lane.bytes -= it.size
		lane.sending = append(lane.sending, it)
	}
	lane.busy = true
	l.busy++
	go func() {
		lane.sender.send(lane.sending)
		l.finished <- lane
	}()
}

func (l *loop) settleFinished() {
	for l.busy > 0 {
		select {
		case lane := <-l.finished:
			l.settle(lane)
		default:
			return
		}
	}
}

// settle takes a lane back from its batch.
func (l *loop) settle(lane *lane) {
	l.busy--
	lane.busy = false
	for _, it := range lane.sending {
		l.count(it)
	}
	clear(lane.sending)
	l.progress.Repeats += lane.sender.repeats
	lane.sender.repeats = 0
	l.report()
	if lane.waiting.len() >= l.cfg.Size || lane.bytes >= l.cfg.Bytes {
		l.send(lane)
	}
}

func (l *loop) count(it *item) {
	it.done = true
	l.progress.Done++
	if it.result.Err != nil {
		l.progress.Failed++
	}
}

func (l *loop) report() {
	if l.cfg.Progress != nil {
		l.progress.Elapsed = time.Since(l.began)
		l.cfg.Progress(l.progress)
	}
}

// give hands out the results that are there, in order, and reports whether
// more are wanted.
func (l *loop) give(yield func(Result) bool) bool {
	for l.window.len() > 0 && l.window.head().done {
		it := l.window.pop()
		l.bytes -= it.size
		if !yield(it.result) {
			return false
		}
	}
	return true
}

// end says, when the context ended the run before the input did, that there
// may be more items.
func (l *loop) end(yield func(Result) bool) {
	l.report()
	if err := l.ctx.Err(); err != nil && !l.ended {
		yield(Result{Index: l.progress.Taken, Err: failure(l.op, "", err, redstart.NotApplied)})
	}
}

func (it *item) fail(op string, err error, known redstart.Outcome) {
	if it.unsure {
		known = redstart.Unknown
	}
	it.result.Err = failure(op, it.cmd.Key, err, known)
}

// queue is a first-in first-out queue that keeps its memory.
type queue[T any] struct {
	items []T
	first int
}

func (q *queue[T]) len() int { return len(q.items) - q.first }
func (q *queue[T]) head() T  { return q.items[q.first] }

func (q *queue[T]) push(v T) {
	if q.first > 0 && len(q.items) == cap(q.items) {
		n := copy(q.items, q.items[q.first:])
		clear(q.items[n:])
		q.items, q.first = q.items[:n], 0
	}
	q.items = append(q.items, v)
}

func (q *queue[T]) pop() T {
	var zero T
	v := q.items[q.first]
	q.items[q.first] = zero
	q.first++
	return v
}
