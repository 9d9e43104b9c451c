package redstart

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/redis/rueidis"

	"github.com/redstart-go/redstart/internal/command"
	"github.com/redstart-go/redstart/internal/outcome"
	"github.com/redstart-go/redstart/internal/replicas"
	"github.com/redstart-go/redstart/internal/topology"
	"github.com/redstart-go/redstart/resilience"
)

// follows gives the client's replicas, following them from now on.
func (c *core) follows() *replicas.Set {
	if r := c.replicas.Load(); r != nil {
		return r
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if r := c.replicas.Load(); r != nil {
		return r
	}
	r := replicas.New(replicas.Config{
		Dialer: c.dialer,
		Conns:  &c.conns,
		Slots:  func(ctx context.Context) (*topology.Slots, error) { return c.askSlots(ctx, "") },
		Zone:   c.cfg.Zone,
		ZoneOf: c.cfg.ZoneOf,
	})
	if c.ctx.Err() == nil {
		c.background.Go(func() { r.Run(c.ctx) })
	}
	c.replicas.Store(r)
	return r
}

// pick gives a replica that may answer a read of the slot, nil for the primary.
func (c *Client) pick(ctx context.Context, r *replicas.Set, slot uint16) rueidis.Client {
	p := replicas.Policy{MaxLag: c.from.MaxLag, Nearest: c.from.Choose == Nearest, SameZone: c.from.Choose == SameZone}
	if t := tokenOf(ctx); t != nil {
		if at, ok := t.written(); ok {
			p.Written = at
		}
	}
	return r.Pick(slot, p)
}

// fromReplica lets a replica answer; done is false when the primary must, for
// which cmd is then made again if it was sent.
func (c *Client) fromReplica(ctx context.Context, cmd *rueidis.Completed, k *command.Kept) (_ rueidis.RedisResult, done bool) {
	r := c.core.follows()
	replica := c.pick(ctx, r, cmd.Slot())
	if replica == nil {
		r.Referred.Add(1)
		return rueidis.RedisResult{}, false
	}
	r.Reads.Add(1)
	if c.from.Hedge {
		return c.hedged(ctx, r, replica, cmd), true
	}
	result := replica.Do(ctx, *cmd)
	if !c.refers(ctx, result) {
		return result, true
	}
	r.Referred.Add(1)
	*cmd = k.Again(c.B())
	return rueidis.RedisResult{}, false
}

// hedged asks the replica, and the primary when that takes long or refers to
// it.
func (c *Client) hedged(ctx context.Context, r *replicas.Set, replica rueidis.Client, cmd *rueidis.Completed) rueidis.RedisResult {
	first := *cmd
	k := command.Copy(cmd) // the attempt that loses may outlive the call
	onPrimary := c.OnPrimary()
	var attempts atomic.Uint32
	result, err := resilience.Hedged(ctx, r.Hedge, func(ctx context.Context) (rueidis.RedisResult, error) {
		if attempts.Add(1) > 1 {
			result := onPrimary.do(ctx, k.Again(onPrimary.B()))
			return result, result.NonRedisError() // the other attempt may still answer
		}
		result := replica.Do(ctx, first)
		if c.refers(ctx, result) {
			r.Referred.Add(1)
			result = onPrimary.do(ctx, k.Again(onPrimary.B()))
		}
		return result, result.NonRedisError()
	})
	if err != nil {
		return rueidis.NewErrorResult(err)
	}
	return result
}

// replicable reports whether a replica may answer the command.
func (c *Client) replicable(cmd *rueidis.Completed) bool {
	return c.from.Replicas && command.Replicable(cmd) && (!c.core.cluster() || !command.JoinsKeys(cmd))
}

// refers reports whether a replica's answer is none, and the primary is to be
// asked. That a cluster's replica lacks a key is none: when a slot is on its
// way, replicas do not know which keys have gone ahead.
func (c *Client) refers(ctx context.Context, r rueidis.RedisResult) bool {
	if r.NonRedisError() != nil {
		return ctx.Err() == nil
	}
	if c.core.cluster() && lacking(r.ToMessage()) {
		return true
	}
	text, ok := reply(r.Error())
	if !ok {
		return false
	}
	switch outcome.Code(text) {
	case "MOVED", "ASK", "TRYAGAIN", "LOADING", "MASTERDOWN", "CLUSTERDOWN", "READONLY", "NOPERM":
		return true
	default:
		return outcome.Away(text)
	}
}

// lacking reports whether an answer may be that of a key, or one of several, that
// is not there.
func lacking(m rueidis.RedisMessage, err error) bool {
	switch {
	case err != nil: // nil, or an error such as "no such key"
		return true
	case m.IsInt64():
		n, _ := m.AsInt64()
		return n <= 0
	case m.IsString():
		s, _ := m.ToString()
		return s == "" || s == "none"
	case m.IsMap():
		fields, _ := m.AsMap()
		return len(fields) == 0
	case !m.IsArray():
		return false
	}
	list, _ := m.ToArray()
	empty := true
	for i := range list {
		if list[i].IsNil() {
			return true
		}
		empty = empty && lacking(list[i], list[i].Error())
	}
	return empty
}

// multiFromReplicas is fromReplica for commands that only read: those of one
// replica travel together, and what it refers goes to the primary.
func (c *Client) multiFromReplicas(ctx context.Context, multi []rueidis.Completed) []rueidis.RedisResult {
	r := c.core.follows()
	results := make([]rueidis.RedisResult, len(multi))
	copies := make([]*command.Kept, len(multi))
	chosen := map[uint16]rueidis.Client{} // by slot
	share := map[rueidis.Client][]int{}   // nil: the primary's
	for i := range multi {
		slot := multi[i].Slot()
		client, known := chosen[slot]
		if !known {
			client = c.pick(ctx, r, slot)
			chosen[slot] = client
		}
		copies[i] = command.Keep(&multi[i])
		share[client] = append(share[client], i)
	}
	var work sync.WaitGroup
	var mu sync.Mutex
	rest := share[nil]
	for client, items := range share {
		if client == nil {
			continue
		}
		r.Reads.Add(uint64(len(items)))
		work.Go(func() {
			part := make([]rueidis.Completed, len(items))
			for j, i := range items {
				part[j] = multi[i]
			}
			for j, result := range client.DoMulti(ctx, part...) {
				if results[items[j]] = result; c.refers(ctx, result) {
					mu.Lock()
					rest = append(rest, items[j])
					mu.Unlock()
				}
			}
		})
	}
	work.Wait()
	if len(rest) > 0 {
		r.Referred.Add(uint64(len(rest)))
		part := make([]rueidis.Completed, len(rest))
		for j, i := range rest {
			part[j] = copies[i].Again(c.B())
		}
		for j, result := range c.OnPrimary().doMulti(ctx, part) {
			results[rest[j]] = result
		}
	}
	for _, k := range copies {
		k.Drop()
	}
	return results
}
