package lock

import (
	"context"
	"time"
)

const (
	pollCap = time.Second
	entry   = 4 * time.Second
)

// take asks until the claim is granted, or ctx ends.
func (c *claim) take(ctx context.Context, wait bool) (grant, error) {
	waits := time.Duration(0)
	if wait {
		waits = entry
	}
	unsure := false
	for {
		sent := time.Now()
		a, err := c.ask(ctx, waits)
		switch {
		case err == nil && a.token > 0:
			return grant{token: a.token, since: sent, lasts: c.lock.short()}, nil
		case err == nil && !wait:
			return grant{}, ErrHeld
		case err != nil && (ctx.Err() != nil || !unknown(err)):
			if unsure || unknown(err) {
				c.leave()
			}
			return grant{}, err
		}
		unsure = true
		if err != nil {
			continue
		}
		if !sleep(ctx, min(a.left+time.Millisecond, 20*time.Millisecond)) {
			c.leave()
			return grant{}, ctx.Err()
		}
	}
}
