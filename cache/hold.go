package cache

import (
	"context"
	"time"

	"github.com/redstart-go/redstart/internal/entry"
	"github.com/redstart-go/redstart/internal/stamp"
)

// Hold keeps tags from being served: see [Cache.HoldTags].
type Hold struct {
	held    *stamp.Held
	noted   bool
	pauses  func() *entry.Pauses
	within  time.Duration
	wrote   func(ctx context.Context, key string, err error)
	fail    func(op, key string, err error) error
	resting chan struct{} // closed when nobody goes on holding it
	rested  chan struct{} // closed when that has ended
}

// HoldTags holds tags while the source changes: until Release nothing that
// carries one of them is served from the cache (with Near: once the server's
// message has come), and what is loaded meanwhile is not cached, so that
// nobody is served, or caches, what was there before once the change can be
// seen. Hold, change the source, Release: the entries end with it; Withdraw when
// the source did not change after all: they live again.
//
// Several may hold a tag at once; it is free once the last has released it. The
// hold is kept up while the process lives; its death costs readers at most
// Config.Lease of loads of their own, and leaves nothing stale. Nor does a hold
// that was lost with the server's memory leave any, once Release has returned
// nil.
//
// One script a tag, in one round trip. It fails when the server is away: then
// nothing is held, or for Config.Lease at most.
func (c *Cache[K, V]) HoldTags(ctx context.Context, tags ...string) (*Hold, error) {
	if c.cfg.Tags == nil && !c.cfg.ResultTags {
		return nil, c.failRead("hold tags", "", errNoTags)
	}
	labels, err := c.tags.Labels(nil, tags)
	if err != nil {
		return nil, c.failRead("hold tags", "", err)
	}
	return c.hold(ctx, labels)
}

// HoldAll is HoldTags for every entry of the cache, as Clear ends all. It needs
// Config.Clearable.
func (c *Cache[K, V]) HoldAll(ctx context.Context) (*Hold, error) {
	if !c.cfg.Clearable {
		return nil, c.failRead("hold all", "", errNoClear)
	}
	return c.hold(ctx, []stamp.Label{c.tags.All()})
}

func (c *Cache[K, V]) hold(ctx context.Context, labels []stamp.Label) (*Hold, error) {
	h := &Hold{
		noted: c.cfg.ResultTags, pauses: c.pauses, within: c.terms.Within, wrote: c.wrote, fail: c.fail,
		resting: make(chan struct{}), rested: make(chan struct{}),
	}
	err := c.pauses().Insist(ctx, func() (err error) {
		h.held, err = c.tags.Hold(ctx, labels, c.cfg.Lease, 2*c.terms.StampLife(c.cfg.TTL))
		return err
	})
	for _, l := range labels {
		c.wrote(ctx, l.Key, err)
	}
	if err == nil {
		err = c.client.Go(h.keep(c.cfg.Lease))
	}
	if err != nil {
		close(h.rested)
		if h.held != nil {
			_ = h.end(ctx, "hold", false) // what is left of it ends by itself
		}
		return nil, c.failRead("hold", "", err)
	}
	return h, nil
}

// keep goes on holding until it is told to rest.
func (h *Hold) keep(lease time.Duration) func(context.Context) {
	return func(ctx context.Context) {
		defer close(h.rested)
		timer := time.NewTicker(lease / 3)
		defer timer.Stop()
		for {
			select {
			case <-timer.C:
				once, cancel := context.WithTimeout(ctx, lease/3)
				_, _ = h.held.Extend(once) // the next one may come through
				cancel()
			case <-h.resting:
				return
			case <-ctx.Done():
				return
			}
		}
	}
}

// Release ends the hold and every entry that carries one of the tags. It goes on
// when ctx ends. An error means that the tags stay held for Config.Lease at most,
// and then their entries end, too, unless the server has lost its memory of the
// hold. It may be repeated.
func (h *Hold) Release(ctx context.Context) error { return h.end(ctx, "release", true) }

// Withdraw ends the hold alone: what was cached before is served again, unless
// another's change ended it, or the hold was not whole. For when the source surely
// did not change.
func (h *Hold) Withdraw(ctx context.Context) error { return h.end(ctx, "withdraw", false) }

func (h *Hold) end(ctx context.Context, op string, changed bool) error {
	select {
	case <-h.resting:
	default:
		close(h.resting)
	}
	<-h.rested // an extension after the release would hold the tags again
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), h.within)
	defer cancel()
	err := h.pauses().Insist(ctx, func() error {
		_, err := h.held.Release(ctx, changed, h.noted)
		return err
	})
	for _, l := range h.held.Labels() {
		h.wrote(ctx, l.Key, err)
	}
	if err != nil {
		return h.fail(op, h.held.Labels()[0].Key, err)
	}
	return nil
}
