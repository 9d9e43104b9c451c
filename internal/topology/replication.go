package topology

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// ReplicationConfig says whom a Replication asks. All fields are needed.
type ReplicationConfig struct {
	// Members says which nodes there are; cluster is nil outside of one.
	Members func(ctx context.Context) (members []Members, cluster *Slots, err error)
	Dial    Dialer
	Auth    Auth
	Timeout time.Duration // for a question

	// Serves tells that a replica answers, which process it is, and gives what
	// Fails is to get when it did not answer twice in a row, is another process,
	// or is followed no more; nil makes it be told again after the next answer.
	// Both run on the goroutine that asks that replica.
	Serves func(ctx context.Context, addr, run string) any
	Fails  func(addr string, served any)
}

// Replication knows how far each replica has come, in time: every node is
// asked for its offset again and again. A replica that has reached the offset
// which the primary named in answer to a question holds everything that was
// acknowledged before that question was sent, so both ends of the bound are
// read off one monotonic clock, this process's own. Offsets of different
// histories (after a failover) are never compared, and what one process held
// says nothing of the next one at its address.
type Replication struct {
	cfg  ReplicationConfig
	base time.Time
	view atomic.Pointer[View]
	kick chan struct{}
	mute atomic.Bool // the last question for the members was not answered

	wanted atomic.Int64 // when it was last of use, since base
	every  atomic.Int64 // the shortest distance between two questions that anyone needs

	mu    sync.Mutex
	nodes map[string]*follower
}

// View is who can be read at this moment.
type View struct {
	Shards []Shard
	slots  *Slots // nil: one shard has all
}

// Shard is a primary and its replicas.
type Shard struct {
	Primary  *Node
	Replicas []*Node
}

// Node is a node as it was last seen. Its fields change under the reader.
type Node struct {
	Addr   string
	asOf   atomic.Int64 // holds what was acknowledged before this time since base; 0: not known
	rtt    atomic.Int64 // of a question, smoothed; 0: not known
	behind atomic.Int64 // bytes; -1: not known
	state  atomic.Uint32
	role   atomic.Uint32
	asked  atomic.Bool
	zone   atomic.Pointer[string]
}

// Of a node's state.
const (
	serves uint32 = 1 << iota // it answers
	linked                    // and it hears its primary
)

// Serves reports whether the node answered when it was last asked.
func (n *Node) Serves() bool { return n.state.Load()&serves != 0 }

// Linked reports whether the replica then heard its primary.
func (n *Node) Linked() bool { return n.state.Load()&linked != 0 }

// IsReplica reports whether the node called itself one.
func (n *Node) IsReplica() bool { return role(n.role.Load()) == replica }

// AsOf gives a time on the Replication's clock before which everything that the
// primary acknowledged is on the node; 0: not known.
func (n *Node) AsOf() int64 { return n.asOf.Load() }

// RTT is how long the node takes to answer a question, smoothed; 0: not known.
func (n *Node) RTT() time.Duration { return time.Duration(n.rtt.Load()) }

// Behind is how many bytes of its primary's history the replica lacked when it
// was last asked; -1: not known.
func (n *Node) Behind() int64 { return n.behind.Load() }

// Zone is the availability zone that the node gives, "" for none.
func (n *Node) Zone() string {
	if z := n.zone.Load(); z != nil {
		return *z
	}
	return ""
}

// follower is the asking of one node.
type follower struct {
	node  *Node
	shard atomic.Pointer[history]
	leads bool // it is listed as the primary
	stop  context.CancelFunc

	// Of the goroutine that asks:
	run    string // the process that answers
	served any    // what Fails is to get; nil for nothing
}

// history is what the primary of a shard has said, oldest first.
type history struct {
	mu      sync.Mutex
	stream  string
	samples []sample
}

type sample struct {
	at     int64 // when the question was sent, since base
	offset int64
}

// A question every pollMost, or four in the shortest lag that anyone asks for.
// While nobody reads, or shows the topology, every pollIdle.
const (
	pollMost  = 100 * time.Millisecond
	pollLeast = 10 * time.Millisecond
	pollIdle  = time.Second
	idleAfter = 10 * time.Second
	memory    = 1024 // samples: a lag of a minute and a half can be told at pollMost
)

// NewReplication makes one; Run starts it.
func NewReplication(cfg ReplicationConfig) *Replication {
	r := &Replication{cfg: cfg, base: time.Now().Add(-time.Hour), kick: make(chan struct{}, 1), nodes: map[string]*follower{}}
	r.every.Store(int64(pollMost))
	r.Want(0)
	return r
}

// Now is the time on the clock of AsOf.
func (r *Replication) Now() int64 { return int64(time.Since(r.base)) }

// At is a time on that clock.
func (r *Replication) At(t time.Time) int64 { return int64(t.Sub(r.base)) }

// Want says that the view is of use now, and for reads within lag (0: any).
func (r *Replication) Want(lag time.Duration) {
	now := r.Now()
	if now-r.wanted.Load() > int64(pollMost) {
		r.wanted.Store(now)
	}
	if need := int64(max(lag/4, pollLeast)); lag > 0 && need < r.every.Load() {
		r.every.Store(need)
	}
}

// View gives who there is; nil until that is known.
func (r *Replication) View() *View { return r.view.Load() }

// Settle waits until every node has been asked at least once, or it was not told
// which there are: then the view is nil.
func (r *Replication) Settle(ctx context.Context) (*View, error) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if v := r.view.Load(); v != nil && v.asked() || v == nil && r.mute.Load() {
			return v, nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return r.view.Load(), ctx.Err()
		}
	}
}

func (v *View) asked() bool {
	for _, s := range v.Shards {
		for _, n := range append(slices.Clip(s.Replicas), s.Primary) {
			if !n.asked.Load() {
				return false
			}
		}
	}
	return true
}

// Look makes the nodes be listed again at once.
func (r *Replication) Look() {
	select {
	case r.kick <- struct{}{}:
	default:
	}
}

// Shard gives the nodes that have a slot; in a view of one shard whatever the
// slot. Nil: nobody.
func (v *View) Shard(slot uint16) *Shard {
	if v.slots == nil {
		if len(v.Shards) == 0 {
			return nil
		}
		return &v.Shards[0]
	}
	if i := v.slots.index(slot); i >= 0 {
		return &v.Shards[i]
	}
	return nil
}

// Slots is how many slots of a cluster the shard at i has.
func (v *View) Slots(i int) int {
	n := 0
	if v.slots != nil {
		for _, of := range v.slots.of {
			if int(of) == i+1 {
				n++
			}
		}
	}
	return n
}

// Run follows until ctx ends.
func (r *Replication) Run(ctx context.Context) {
	var work sync.WaitGroup
	defer work.Wait()
	for {
		asked, cancel := context.WithTimeout(ctx, 4*r.cfg.Timeout)
		members, cluster, err := r.cfg.Members(asked)
		cancel()
		if r.mute.Store(err != nil); err == nil {
			r.adopt(ctx, &work, members, cluster)
		}
		if !r.pause(ctx, pollIdle, r.kick) {
			return
		}
	}
}

// adopt makes a view of what is listed, and begins and ends the asking.
func (r *Replication) adopt(ctx context.Context, work *sync.WaitGroup, members []Members, cluster *Slots) {
	r.mu.Lock()
	defer r.mu.Unlock()
	v := &View{slots: cluster}
	listed := map[string]bool{}
	for _, m := range members {
		h := r.historyOf(m.Primary)
		shard := Shard{Primary: r.follow(ctx, work, m.Primary, h, true)}
		listed[m.Primary] = true
		for _, addr := range m.Replicas {
			if !listed[addr] {
				shard.Replicas = append(shard.Replicas, r.follow(ctx, work, addr, h, false))
				listed[addr] = true
			}
		}
		v.Shards = append(v.Shards, shard)
	}
	for addr, f := range r.nodes {
		if !listed[addr] {
			f.stop()
			delete(r.nodes, addr)
		}
	}
	r.view.Store(v)
}

// historyOf gives the history that a primary writes. The mutex is held.
func (r *Replication) historyOf(primary string) *history {
	if f := r.nodes[primary]; f != nil && f.leads {
		return f.shard.Load()
	}
	return &history{}
}

// follow gives the node at addr, which is asked from now on. The mutex is held.
func (r *Replication) follow(ctx context.Context, work *sync.WaitGroup, addr string, h *history, leads bool) *Node {
	if f := r.nodes[addr]; f != nil {
		if f.leads == leads {
			if f.shard.Swap(h) != h {
				f.node.asOf.Store(0)
			}
			return f.node
		}
		f.stop()
	}
	f := &follower{node: &Node{Addr: addr}, leads: leads}
	f.shard.Store(h)
	f.node.behind.Store(-1)
	var asking context.Context
	asking, f.stop = context.WithCancel(ctx)
	r.nodes[addr] = f
	work.Go(func() { r.askAgainAndAgain(asking, f) })
	return f.node
}

func (r *Replication) askAgainAndAgain(ctx context.Context, f *follower) {
	l := &link{addr: f.node.Addr, dial: r.cfg.Dial, auth: r.cfg.Auth}
	defer l.close()
	defer r.leave(f)
	for failures := 0; ; {
		err := r.question(ctx, l, f)
		f.node.asked.Store(true)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			failures = 0
			if !f.leads && f.served == nil {
				f.served = r.cfg.Serves(ctx, f.node.Addr, f.run)
			}
		default:
			f.node.state.Store(0)
			if failures++; failures >= 2 {
				r.leave(f)
			}
		}
		every := time.Duration(r.every.Load())
		if r.Now()-r.wanted.Load() > int64(idleAfter) || failures >= 2 || !f.leads && f.served == nil {
			every = pollIdle // nobody waits for it, or there is none to be had
		}
		if !r.pause(ctx, every, nil) {
			return
		}
	}
}

// leave ends the reading of a node.
func (r *Replication) leave(f *follower) {
	f.node.state.Store(0)
	if f.served != nil {
		r.cfg.Fails(f.node.Addr, f.served)
		f.served = nil
	}
}

// meet connects, and asks which process it is: another one than before holds
// nothing that is known.
func (r *Replication) meet(ctx context.Context, l *link, f *follower) error {
	info, err := l.ask(ctx, "INFO", "server")
	if err != nil {
		l.close()
		return err
	}
	where := field(info, zone)
	f.node.zone.Store(&where)
	if run := field(info, runID); run != f.run {
		r.leave(f)
		f.node.asOf.Store(0)
		f.run = run
	}
	return nil
}

// question asks a node once and notes the answer.
func (r *Replication) question(ctx context.Context, l *link, f *follower) error {
	ctx, cancel := context.WithTimeout(ctx, r.cfg.Timeout)
	defer cancel()
	if l.conn == nil {
		if err := r.meet(ctx, l, f); err != nil {
			return err
		}
	}
	sent := r.Now()
	answer, err := l.ask(ctx, "INFO", "replication")
	if err != nil {
		return err
	}
	took := r.Now() - sent
	if old := f.node.rtt.Load(); old > 0 {
		took = (7*old + took) / 8
	}
	f.node.rtt.Store(max(took, 1))
	text, _ := answer.(string)
	s := readStanding(text)
	before := role(f.node.role.Swap(uint32(s.role)))
	switch {
	case f.leads && s.role == primary:
		f.shard.Load().wrote(s.stream, sample{sent, s.offset})
		f.node.asOf.Store(sent)
		f.node.behind.Store(0)
		f.node.state.Store(serves | linked)
	case !f.leads && s.role == replica:
		h := f.shard.Load()
		asOf, behind := h.reached(s.stream, s.offset)
		f.node.behind.Store(behind)
		switch {
		case behind < 0: // another history
			f.node.asOf.Store(0)
		case s.linked:
			f.node.asOf.Store(asOf)
		}
		if f.shard.Load() != h { // another primary meanwhile
			f.node.asOf.Store(0)
		}
		if s.linked {
			f.node.state.Store(serves | linked)
		} else {
			f.node.state.Store(serves)
		}
	default: // another role than the one it is listed with
		f.node.asOf.Store(0)
		f.node.state.Store(0)
		if s.role != before { // once: whoever lists it may go on doing so
			r.Look()
		}
	}
	return nil
}

// wrote notes what the primary said.
func (h *history) wrote(stream string, s sample) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if stream != h.stream || len(h.samples) > 0 && s.offset < h.samples[len(h.samples)-1].offset {
		h.stream, h.samples = stream, h.samples[:0]
	}
	if len(h.samples) == memory {
		h.samples = slices.Delete(h.samples, 0, memory/4)
	}
	h.samples = append(h.samples, s)
}

// reached gives the time of the newest question whose answer the offset
// covers, 0 for none, and how many bytes are missing to the newest; -1 when
// the offset counts in another history.
func (h *history) reached(stream string, offset int64) (asOf, behind int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if stream != h.stream || stream == "" || len(h.samples) == 0 || offset < 0 {
		return 0, -1
	}
	at, _ := slices.BinarySearchFunc(h.samples, offset+1, func(s sample, o int64) int {
		if s.offset < o {
			return -1
		}
		return 1
	})
	behind = max(h.samples[len(h.samples)-1].offset-offset, 0)
	if at == 0 {
		return 0, behind
	}
	return h.samples[at-1].at, behind
}

// pause waits for d, or until it is wanted at once; false means the end.
func (r *Replication) pause(ctx context.Context, d time.Duration, kick <-chan struct{}) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-kick:
	case <-ctx.Done():
		return false
	}
	return true
}
