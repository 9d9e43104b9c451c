package near

import (
	"context"
	"math"
	"sync"
	"time"

	"github.com/redis/rueidis"

	"github.com/redstart-go/redstart"
)

// channel is what stands in for tracking where the server has none: those who
// write through the cache tell of the key. It makes changes seen sooner; that
// they are seen at all is by the items' age, which MaxStale bounds, so foreign
// writes and lost messages cost no more than that.
type channel struct {
	client *redstart.Client
	name   string
	told   func(keys []string, all bool)

	mu      sync.Mutex
	hearing bool
	always  *life
}

// resubscribe is the pause before a lost subscription is made again,
// refusedPause that before one that the server refused.
const (
	resubscribe  = time.Second
	refusedPause = time.Minute
)

// life subscribes, unless that was done, and gives the life of items that
// nobody but their age ends.
func (c *channel) life() *life {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.always == nil {
		c.always = &life{}
		c.always.until.Store(math.MaxInt64)
	}
	if !c.hearing && c.client.Go(c.hear) == nil {
		c.hearing = true
	}
	return c.always
}

// hear listens until the client ends. What was told while there was no
// subscription nobody knows: all is given up when one is lost.
func (c *channel) hear(ctx context.Context) {
	for ctx.Err() == nil {
		err := c.client.Receive(ctx, c.client.B().Subscribe().Channel(c.name).Build(), func(m rueidis.PubSubMessage) {
			c.told([]string{m.Message}, false)
		})
		pause := resubscribe
		if _, refused := rueidis.IsRedisErr(err); refused { // by an ACL: there was none to lose
			pause = refusedPause
		} else {
			c.told(nil, true)
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
	}
}

// Tell tells other processes that a key has changed, where no server is known to
// do it: one PUBLISH for each key. Should it fail, they see the change by
// MaxStale.
func (t *Tier[K, V]) Tell(ctx context.Context, keys ...string) {
	var tell []rueidis.Completed
	for _, key := range keys {
		if t.sessions.Of(key) == nil { // refused, or not known yet: a process may write and never read
			tell = append(tell, t.cfg.Client.B().Publish().Channel(t.cfg.Channel).Message(key).Build())
		}
	}
	if len(tell) > 0 {
		t.cfg.Client.DoMulti(ctx, tell...)
	}
}
