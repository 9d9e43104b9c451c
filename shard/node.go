package shard

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redstart-go/redstart"
)

// node is one shard's client. One that was away when the sharded client was
// opened is tried again by the calls that need it.
type node struct {
	name  string
	url   string
	cfg   redstart.Config
	pause time.Duration
	owned bool // client is ours to close

	client atomic.Pointer[redstart.Client] // set once, after fast
	fast   atomic.Pointer[redstart.Client] // the same, failing fast

	mu      sync.Mutex
	attempt *attempt // the one under way, or the last one
}

type attempt struct {
	done chan struct{} // closed when it has ended
	err  error         // then
	next time.Time     // then: no attempt before
}

func (n *node) set(c *redstart.Client) {
	n.fast.Store(c.FailFast())
	n.client.Store(c)
}

// reach gives the shard's client, or with hasty the one that fails fast. While the shard is away it fails as fast as
// the attempt to connect does, and at once between attempts; nothing was sent.
func (n *node) reach(ctx context.Context, life *life, hasty bool) (*redstart.Client, error) {
	if life.ended.Load() {
		return nil, errClosed
	}
	if c := n.ready(hasty); c != nil {
		return c, nil
	}
	a, err := n.try(life)
	if err != nil {
		return nil, err
	}
	select {
	case <-a.done:
	case <-ctx.Done():
		return nil, &redstart.Error{Op: op, Template: n.name, Outcome: redstart.NotApplied, Err: ctx.Err()}
	}
	if c := n.ready(hasty); c != nil {
		return c, nil
	}
	return nil, a.err
}

func (n *node) ready(hasty bool) *redstart.Client {
	c := n.client.Load()
	if c != nil && hasty {
		return n.fast.Load()
	}
	return c
}

// try joins the attempt under way, or the last one if it was a moment ago, else
// begins one. It outlives the caller: the next one finds what it has reached.
func (n *node) try(life *life) (*attempt, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if a := n.attempt; a != nil {
		select {
		case <-a.done:
			if time.Now().Before(a.next) {
				return a, nil
			}
		default:
			return a, nil
		}
	}
	a := &attempt{done: make(chan struct{})}
	err := life.run(func(ctx context.Context) {
		defer close(a.done)
		c, err := redstart.Open(ctx, n.url, n.cfg)
		if err != nil {
			a.err, a.next = redstart.NewError("redstart/shard: open", n.name, "", err), time.Now().Add(n.pause)
			return
		}
		n.set(c)
	})
	if err != nil {
		return nil, err
	}
	n.attempt = a
	return a, nil
}

// close closes the client if it is ours. No attempt is under way.
func (n *node) close() {
	if c := n.client.Load(); c != nil && n.owned {
		c.Close()
	}
}

// life is how long a sharded client lasts: it counts what runs in the background.
type life struct {
	ctx     context.Context
	cancel  context.CancelFunc
	mu      sync.Mutex // guards running against end
	running sync.WaitGroup
	ended   atomic.Bool
}

func newLife() *life {
	l := &life{}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	return l
}

func (l *life) run(fn func(ctx context.Context)) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended.Load() {
		return errClosed
	}
	l.running.Go(func() { fn(l.ctx) })
	return nil
}

// end tells what runs to stop and awaits it. It reports whether it was the first.
func (l *life) end() bool {
	l.mu.Lock()
	first := !l.ended.Swap(true)
	l.cancel()
	l.mu.Unlock()
	l.running.Wait()
	return first
}
