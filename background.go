package redstart

import "context"

// Go runs fn in the background as work of the client: its context ends when
// Close is called, and Close waits for it to return. It is for packages that
// add a pattern and must finish what a call began. It fails with ErrClosed
// once the client is closed.
func (c *Client) Go(fn func(ctx context.Context)) error {
	c.core.mu.Lock()
	defer c.core.mu.Unlock()
	if c.core.ctx.Err() != nil {
		return &Error{Op: "redstart: start background work", Outcome: NotApplied, Err: ErrClosed}
	}
	c.core.background.Go(func() { fn(c.core.ctx) })
	return nil
}

// Attach gives the client's one value under key, made by open at the first
// call: what the patterns on a client share, such as a tracking connection.
// The key is an unexported type of the package that attaches, as with
// context.WithValue. open must not block and must not call Attach.
func (c *Client) Attach(key any, open func() any) any {
	c.core.mu.Lock()
	defer c.core.mu.Unlock()
	v, ok := c.core.attached[key]
	if !ok {
		v = open()
		c.core.attached[key] = v
	}
	return v
}

// Notify passes a pattern's event to the hook in Config.Events.
func (c *Client) Notify(info PatternInfo) { call(c.core.cfg.Events.Pattern, info) }
