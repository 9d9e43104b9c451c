package redstart

import (
	"context"
	"crypto/tls"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"

	"github.com/redstart-go/redstart/internal/outcome"
	"github.com/redstart-go/redstart/internal/topology"
	"github.com/redstart-go/redstart/resilience"
)

// replicas are the connections to the replicas, and what is known of them. They
// are there once someone wants to read from one.
type replicas struct {
	core    *core
	follow  *topology.Replication
	began   time.Time
	clients sync.Map // host:port -> rueidis.Client
	turn    atomic.Uint32
	hedge   *resilience.Hedge

	reads, referred atomic.Uint64
}

// replicaWatch is how long a question to a node may take: one that does not
// answer twice is cut off, and its readers turn to the primary.
const replicaWatch = 250 * time.Millisecond

// follows gives the client's replicas, following them from now on.
func (c *core) follows() *replicas {
	if r := c.replicas.Load(); r != nil {
		return r
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if r := c.replicas.Load(); r != nil {
		return r
	}
	hedge, err := resilience.NewHedge(resilience.HedgeConfig{Failure: func(err error) bool { return !rueidis.IsRedisNil(err) }})
	if err != nil {
		panic(err) // its configuration is fixed
	}
	r := &replicas{core: c, hedge: hedge, began: time.Now()}
	r.follow = topology.NewReplication(topology.ReplicationConfig{
		Members: r.members,
		Dial:    c.dialer.plain,
		Auth:    c.dialer.auth,
		Timeout: replicaWatch,
		Serves:  r.serves,
		Fails:   r.fails,
	})
	if c.ctx.Err() == nil {
		c.background.Go(func() { r.follow.Run(c.ctx) })
	}
	c.replicas.Store(r)
	return r
}

// members says which nodes there are.
func (r *replicas) members(ctx context.Context) ([]topology.Members, *topology.Slots, error) {
	d := r.core.dialer
	if r.core.cluster() {
		t, err := r.core.askSlots(ctx, "")
		if err != nil {
			return nil, nil, err
		}
		return t.Members, t, nil
	}
	addr := d.target.addr
	if d.watcher != nil {
		var ok bool
		if addr, _, ok = d.watcher.Primary(); !ok {
			return nil, nil, &topology.NoPrimaryError{Name: d.target.addr, Heard: true}
		}
	}
	list, err := topology.AskReplicas(ctx, d.plain, d.auth, addr)
	if err != nil {
		return nil, nil, err
	}
	return []topology.Members{{Primary: addr, Replicas: list}}, nil, nil
}

// serves connects to a replica that answers.
func (r *replicas) serves(ctx context.Context, addr string) any {
	o := option(r.core.dialer, r.core.cfg)
	o.InitAddress, o.ForceSingleClient = []string{addr}, true
	o.DialCtxFn = func(caller context.Context, addr string, _ *net.Dialer, _ *tls.Config) (net.Conn, error) {
		return r.core.dialer.toReplica(caller, addr)
	}
	client, err := connect(ctx, o)
	if err != nil {
		return nil
	}
	r.clients.Store(addr, client)
	return client
}

// fails leaves a replica: who waits for its answer asks the primary.
func (r *replicas) fails(addr string, served any) {
	r.clients.CompareAndDelete(addr, served)
	r.core.cut(func(c *trackedConn) bool { return c.reads && c.addr == addr })
	served.(rueidis.Client).Close()
}

// toReplica connects to a replica that shall be read. READONLY is what a
// cluster's node wants to hear; others refuse it, which is all the same.
func (d *dialer) toReplica(caller context.Context, addr string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(caller), d.timeout)
	defer cancel()
	start := time.Now()
	var who login
	auth := func(ctx context.Context) (username, password string, err error) {
		who.username, who.password, err = d.auth(ctx)
		return who.username, who.password, err
	}
	conn, err := topology.Prepare(ctx, d.plain, auth, addr, []string{"READONLY"})
	info := ConnectInfo{Addr: addr, Took: time.Since(start)}
	if err != nil {
		info.Err = &dialError{addr: addr, err: err}
		d.core.connected(info)
		return nil, info.Err
	}
	c := &trackedConn{Conn: conn, core: d.core, addr: addr, asked: addr, reads: true, born: time.Now(), grace: d.timeout}
	if d.login != nil {
		c.who = who
	}
	d.core.track(c)
	d.core.connected(info)
	return c, nil
}

// pick gives a replica that may answer a read of the slot, nil for the primary.
func (c *Client) pick(ctx context.Context, r *replicas, slot uint16) rueidis.Client {
	r.follow.Want(c.from.MaxLag)
	v := r.follow.View()
	if v == nil {
		return nil
	}
	shard := v.Shard(slot)
	if shard == nil || len(shard.Replicas) == 0 {
		return nil
	}
	need := int64(0) // on the follower's clock
	if c.from.MaxLag > 0 {
		need = r.follow.Now() - int64(c.from.MaxLag)
	}
	if t := tokenOf(ctx); t != nil {
		if at, ok := t.written(r.began); ok {
			need = max(need, r.follow.At(at))
		}
	}
	lonely := need == 0 && !shard.Primary.Serves() // then a replica that has lost its primary is better than nothing
	var best rueidis.Client
	var bestRTT time.Duration
	bestHere := false
	start := int(r.turn.Add(1) % uint32(len(shard.Replicas)))
	for i := range shard.Replicas {
		n := shard.Replicas[(start+i)%len(shard.Replicas)]
		if !n.Serves() || !n.IsReplica() || !n.Linked() && !lonely || need > 0 && n.AsOf() < need {
			continue
		}
		client, ok := r.clients.Load(n.Addr)
		if !ok {
			continue
		}
		here := c.from.Choose == SameZone && c.core.zone(n) == c.core.cfg.Zone
		switch {
		case best == nil, here && !bestHere, c.from.Choose == Nearest && n.RTT() < bestRTT:
			best, bestRTT, bestHere = client.(rueidis.Client), n.RTT(), here
		}
		if c.from.Choose == RoundRobin || here {
			break
		}
	}
	return best
}

// zone is where a node stands.
func (c *core) zone(n *topology.Node) string {
	if c.cfg.ZoneOf != nil {
		return c.cfg.ZoneOf(n.Addr)
	}
	return n.Zone()
}

// fromReplica lets a replica answer; done is false when the primary must, for
// which cmd is then made again if it was sent.
func (c *Client) fromReplica(ctx context.Context, cmd *rueidis.Completed) (_ rueidis.RedisResult, done bool) {
	r := c.core.follows()
	replica := c.pick(ctx, r, cmd.Slot())
	if replica == nil {
		r.referred.Add(1)
		return rueidis.RedisResult{}, false
	}
	r.reads.Add(1)
	if c.from.Hedge {
		return c.hedged(ctx, r, replica, cmd), true
	}
	k := keep(cmd)
	defer k.drop()
	result := replica.Do(ctx, *cmd)
	if !refers(ctx, result) {
		return result, true
	}
	r.referred.Add(1)
	*cmd = c.rebuild(k)
	return rueidis.RedisResult{}, false
}

// hedged asks the replica, and the primary when that takes long or refers to
// it.
func (c *Client) hedged(ctx context.Context, r *replicas, replica rueidis.Client, cmd *rueidis.Completed) rueidis.RedisResult {
	first := *cmd
	k := &kept{} // of its own: the attempt that loses may outlive the call
	k.copy(cmd)
	onPrimary := c.OnPrimary()
	var attempts atomic.Uint32
	result, err := resilience.Hedged(ctx, r.hedge, func(ctx context.Context) (rueidis.RedisResult, error) {
		if attempts.Add(1) > 1 {
			return onPrimary.do(ctx, onPrimary.rebuild(k)), nil
		}
		result := replica.Do(ctx, first)
		if refers(ctx, result) {
			r.referred.Add(1)
			result = onPrimary.do(ctx, onPrimary.rebuild(k))
		}
		return result, nil
	})
	if err != nil { // the caller's context has ended
		return rueidis.NewErrorResult(err)
	}
	return result
}

// refers reports whether a replica's answer is none, and the primary is to be
// asked.
func refers(ctx context.Context, r rueidis.RedisResult) bool {
	if r.NonRedisError() != nil {
		return ctx.Err() == nil
	}
	text, ok := reply(r.Error())
	if !ok {
		return false
	}
	switch outcome.Code(text) {
	case "MOVED", "ASK", "TRYAGAIN", "LOADING", "MASTERDOWN", "CLUSTERDOWN", "READONLY":
		return true
	default:
		return outcome.Away(text)
	}
}

// multiFromReplicas is fromReplica for commands that only read: those of one
// replica travel together, and what it refers goes to the primary.
func (c *Client) multiFromReplicas(ctx context.Context, multi []rueidis.Completed) []rueidis.RedisResult {
	r := c.core.follows()
	results := make([]rueidis.RedisResult, len(multi))
	copies := make([]*kept, len(multi))
	chosen := map[uint16]rueidis.Client{} // by slot
	share := map[rueidis.Client][]int{}   // nil: the primary's
	for i := range multi {
		slot := multi[i].Slot()
		client, known := chosen[slot]
		if !known {
			client = c.pick(ctx, r, slot)
			chosen[slot] = client
		}
		copies[i] = keep(&multi[i])
		share[client] = append(share[client], i)
	}
	var work sync.WaitGroup
	var mu sync.Mutex
	rest := share[nil]
	for client, items := range share {
		if client == nil {
			continue
		}
		r.reads.Add(uint64(len(items)))
		work.Go(func() {
			part := make([]rueidis.Completed, len(items))
			for j, i := range items {
				part[j] = multi[i]
			}
			for j, result := range client.DoMulti(ctx, part...) {
				if results[items[j]] = result; refers(ctx, result) {
					mu.Lock()
					rest = append(rest, items[j])
					mu.Unlock()
				}
			}
		})
	}
	work.Wait()
	if len(rest) > 0 {
		r.referred.Add(uint64(len(rest)))
		part := make([]rueidis.Completed, len(rest))
		for j, i := range rest {
			part[j] = c.rebuild(copies[i])
		}
		for j, result := range c.OnPrimary().doMulti(ctx, part) {
			results[rest[j]] = result
		}
	}
	for _, k := range copies {
		k.drop()
	}
	return results
}
