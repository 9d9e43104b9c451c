package lock

import (
	"context"
	"math/rand/v2"
	"time"
)

// How those who wait look by themselves, behind the messages. Each look says
// that they are still there. It comes when the lease that stands will have
// ended, one after the other in their order; at the latest after pollCap.
// Without messages the first look often, those behind them less so.
const (
	pollCap  = time.Second
	pollDeaf = 10 * time.Millisecond
	capDeaf  = 250 * time.Millisecond
	// believed is how long the server takes somebody for waiting who is not
	// heard of.
	believed = 4 * time.Second
	// apart is how much later the next in the queue looks at a lease that ended.
	apart = 20 * time.Millisecond
	// far is how many times a lease begins to last as long as it took to get it,
	// at least: its first renewal may need a new connection and the script sent.
	far = 8
)

// take asks until the claim is granted or ctx ends.
func (c *claim) take(ctx context.Context, wait bool) (grant, error) {
	var w *waiter
	if wait {
		w = c.lock.inbox.join(c.owner)
		defer c.lock.inbox.leave(c.owner)
	}
	asked, listening := false, false // something of the claim may be at the server; its message should have come
	var retry time.Duration
	for try := 1; ; try++ {
		sent := time.Now()
		a, err := c.ask(ctx, wait)
		switch took := time.Since(sent); {
		case err != nil && ctx.Err() == nil && unknown(err) && (wait || try < tries): // it knows the owner again
			asked = true
			if retry = min(2*retry+time.Millisecond, pollDeaf); !sleep(ctx, retry) {
				c.leave()
				return grant{}, err
			}
			continue
		case err != nil:
			if asked || unknown(err) {
				c.leave()
			}
			return grant{}, err
		case a.token > 0 && took > c.first()/far && c.longer == 0: // what is left may not do for a renewal
			asked, c.longer = true, min(far*took, c.lock.cfg.Lease)
			continue
		case a.token > 0:
			if listening {
				c.lock.inbox.found()
			}
			return grant{token: a.token, since: sent, lasts: c.first()}, nil
		case !wait:
			return grant{}, ErrHeld
		}
		asked, retry = true, 0
		listening = c.lock.inbox.listen()
		timer := time.NewTimer(pause(a, listening))
		select {
		case <-w.look:
			listening = false
		case <-timer.C:
		case n := <-w.news:
			timer.Stop()
			if g, ok := n.grant(moment{sent, a.now}); ok {
				return g, nil
			}
			listening = false
		case <-ctx.Done():
			timer.Stop()
			c.leave()
			return grant{}, ctx.Err()
		}
		timer.Stop()
	}
}

// pause is how long to wait for a message before the next look.
func pause(a answer, listening bool) time.Duration {
	rank := max(a.rank, 0)
	d := min(a.left+time.Millisecond+apart*time.Duration(rank), pollCap)
	if !listening {
		d = min(d, pollDeaf*time.Duration(rank+1), capDeaf)
	}
	d = max(d, time.Millisecond)
	return d + rand.N(d/4)
}

// moment is a time of the server's clock, in µs, and one of ours before it.
type moment struct {
	at  time.Time
	now int64
}

// grant reads the message of a grant. It may have been long on its way, so the
// lease is counted from before the server granted it: from a moment known of the
// server's clock, and as much later as that clock says, but for the message's
// own arrival. The clock's steps are those that the server's own expiry has.
// Where too little is left, ask.
func (n notice) grant(known moment) (grant, bool) {
	since := known.at.Add(time.Duration(n.now-known.now) * time.Microsecond)
	if since.After(n.received) {
		since = n.received
	}
	lasts := time.Duration(n.ends-n.now) * time.Microsecond
	return grant{n.token, since, lasts}, n.token > 0 && time.Until(since.Add(lasts-drift(lasts))) > lasts/2
}
