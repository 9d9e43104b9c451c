package shard

import (
	"context"
	"sync"

	"github.com/redis/rueidis"

	"github.com/redstart-go/redstart"
)

// Dedicated lends fn a connection of its own, for WATCH and its kind: to the
// shard of the first key that a command on it names, and for keys of that slot
// only. Before there is a key, commands are refused.
func (c *Client) Dedicated(fn func(rueidis.DedicatedClient) error) error {
	d := &dedicated{client: c, slot: noSlot}
	defer d.release()
	return fn(d)
}

// Dedicate is Dedicated without the function: call cancel to give it back.
func (c *Client) Dedicate() (client rueidis.DedicatedClient, cancel func()) {
	d := &dedicated{client: c, slot: noSlot}
	return d, d.release
}

// dedicated is a connection that is made when the first key is known.
type dedicated struct {
	client *Client

	mu      sync.Mutex
	slot    int // noSlot until there is a connection
	conn    rueidis.DedicatedClient
	cancel  func()
	ended   bool
	waiting []*waitingHooks // set before there was a connection
}

// waitingHooks are hooks for a connection that is not there yet.
type waitingHooks struct {
	set  func(rueidis.DedicatedClient) <-chan error
	ends chan error // what the caller was given
}

func (d *dedicated) B() rueidis.Builder { return d.client.builder }

// bind gives the connection for commands, made by the first that name a key.
func (d *dedicated) bind(ctx context.Context, multi ...rueidis.Completed) (rueidis.DedicatedClient, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ended {
		return nil, &redstart.Error{Op: op, Template: "dedicated", Outcome: redstart.NotApplied, Err: rueidis.ErrDedicatedClientRecycled}
	}
	to, slot, err := d.client.together(multi, d.slot)
	if err != nil {
		return nil, err
	}
	if slot < 0 { // PING and its kind, which one shard's pool would answer, and another's the next
		return nil, refusal(lookup(multi[0].Commands()), "no command before it on this connection names a key, which would say to which shard it goes")
	}
	if d.conn != nil {
		return d.conn, nil
	}
	up, err := d.client.nodes[to].reach(ctx, d.client.life, d.client.hasty)
	if err != nil {
		return nil, err
	}
	d.slot = slot
	d.conn, d.cancel = up.Dedicate()
	for _, w := range d.waiting {
		pass(w.set(d.conn), w.ends)
	}
	d.waiting = nil
	return d.conn, nil
}

// pass hands on what ends hooks.
func pass(from <-chan error, to chan error) {
	go func() {
		defer close(to)
		if from == nil {
			return
		}
		for err := range from {
			to <- err
		}
	}()
}

func (d *dedicated) Do(ctx context.Context, cmd rueidis.Completed) rueidis.RedisResult {
	conn, err := d.bind(ctx, cmd)
	if err != nil {
		return rueidis.NewErrorResult(err)
	}
	return conn.Do(ctx, cmd)
}

func (d *dedicated) DoMulti(ctx context.Context, multi ...rueidis.Completed) []rueidis.RedisResult {
	if len(multi) == 0 {
		return nil
	}
	conn, err := d.bind(ctx, multi...)
	if err != nil {
		return failAll(len(multi), err)
	}
	return conn.DoMulti(ctx, multi...)
}

func (d *dedicated) Receive(ctx context.Context, subscribe rueidis.Completed, fn func(rueidis.PubSubMessage)) error {
	conn, err := d.bind(ctx, subscribe)
	if err != nil {
		return err
	}
	return conn.Receive(ctx, subscribe, fn)
}

// SetPubSubHooks and SetOnInvalidations take effect once there is a connection.
func (d *dedicated) SetPubSubHooks(hooks rueidis.PubSubHooks) <-chan error {
	none := hooks.OnMessage == nil && hooks.OnSubscription == nil
	return d.hook(none, func(c rueidis.DedicatedClient) <-chan error { return c.SetPubSubHooks(hooks) })
}

func (d *dedicated) SetOnInvalidations(fn func([]rueidis.RedisMessage)) <-chan error {
	return d.hook(fn == nil, func(c rueidis.DedicatedClient) <-chan error { return c.SetOnInvalidations(fn) })
}

func (d *dedicated) hook(none bool, set func(rueidis.DedicatedClient) <-chan error) <-chan error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.conn != nil && !d.ended {
		return set(d.conn)
	}
	w := &waitingHooks{set: set, ends: make(chan error, 1)}
	switch {
	case d.ended:
		w.ends <- rueidis.ErrDedicatedClientRecycled
		close(w.ends)
	case none: // nothing to take back but what waits, in order
		d.waiting = append(d.waiting, w)
		return nil
	default:
		d.waiting = append(d.waiting, w)
	}
	return w.ends
}

// Close closes the connection; it is not given back.
func (d *dedicated) Close() {
	d.mu.Lock()
	conn := d.conn
	d.mu.Unlock()
	if conn != nil {
		conn.Close()
	}
	d.release()
}

// release gives the connection back, once.
func (d *dedicated) release() {
	d.mu.Lock()
	cancel, waiting := d.cancel, d.waiting
	first := !d.ended
	d.ended, d.waiting = true, nil
	d.mu.Unlock()
	if !first {
		return
	}
	for _, w := range waiting {
		close(w.ends)
	}
	if cancel != nil {
		cancel()
	}
}
