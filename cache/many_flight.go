package cache

import (
	"context"
	"errors"
	"time"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/internal/entry"
	"github.com/redstart-go/redstart/internal/frame"
	"github.com/redstart-go/redstart/internal/lease"
	"github.com/redstart-go/redstart/internal/source"
	"github.com/redstart-go/redstart/internal/stamp"
	"github.com/redstart-go/redstart/internal/wake"
)

// background runs a part of the way of a group as work of the client.
func (c *Cache[K, V]) background(g group[K, V], run func(context.Context, group[K, V])) {
	if len(g) == 0 {
		return
	}
	err := c.client.Go(func(closing context.Context) {
		defer context.AfterFunc(closing, g.Cancel)()
		run(closing, g)
	})
	if err != nil {
		g.Cancel()
		g.Land(ending[V]{err: err})
	}
}

// leases is how a group's commands travel; they are heard to their end.
func (c *Cache[K, V]) leases() lease.Many {
	return lease.Many{Client: c.client, Time: c.cfg.Lease, Within: 2 * c.client.Config().Timeout}
}

// flyMany is fly for a group: it claims all, loads together what it got, and
// waits together for what one other load holds. The claims bear one token: who
// finds it at several keys knows that these will be filled together.
func (c *Cache[K, V]) flyMany(closing context.Context, g group[K, V]) {
	held := make([]lease.Held, len(g))
	for i, f := range g {
		held[i] = lease.Held{Key: f.Key, Seen: f.On.seen.Replace}
	}
	sent := g.Send()
	token := func() string { return frame.Make(frame.Lease, 0, 0, lease.Token()) }
	answers := c.leases().Take(context.WithoutCancel(g[0].Ctx), held, token(), token())
	var mine, again group[K, V]
	var leases, unwanted []lease.Held
	theirs := map[string]group[K, V]{}
	for i, f := range g {
		a := answers[i]
		if a.Err != nil {
			f.Land(c.stopped(f, a.Err))
			continue
		}
		if a.Held {
			f.Claimed(sent[i]) // from here on nobody gives the flight up
			if f.Ctx.Err() == nil {
				mine, leases = append(mine, f), append(leases, held[i])
			} else {
				f.Land(ending[V]{err: redstart.ErrClosed})
				unwanted = append(unwanted, held[i])
			}
			continue
		}
		if len(a.Current) == 0 && f.On.seen.Replace != nil {
			f.On.seen.Replace = nil // gone meanwhile
			again = append(again, f)
			continue
		}
		f.On.seen.Replace = nil
		switch e, verdict := c.form.Judge(a.Current, true); verdict {
		case entry.Hit, entry.Absent, entry.Failed:
			f.Land(c.found(&e, sent[i]))
		case entry.Bypass:
			f.Land(ending[V]{direct: true})
		case entry.Leased:
			c.stats.waits.Add(1)
			theirs[string(a.Current)] = append(theirs[string(a.Current)], f)
		default:
			f.On.seen.Replace = append([]byte{}, e.Replace...) // never nil
			again = append(again, f)
		}
	}
	c.background(again, c.flyMany)
	for mark, waiting := range theirs {
		c.background(waiting, func(closing context.Context, g group[K, V]) { c.awaitMany(closing, g, mark) })
	}
	c.release(unwanted)
	if len(mine) > 0 {
		c.loadMany(closing, mine, leases)
	}
}

// awaitMany waits until the first of several keys that bear one lease changes;
// then all are claimed again. Now and then it looks at all of them, lest one
// that was invalidated waits for the rest.
func (c *Cache[K, V]) awaitMany(closing context.Context, g group[K, V], mark string) {
	for len(g) > 0 {
		lead := g[0]
		if lead.Ctx.Err() != nil { // others may still want theirs
			lead.Land(ending[V]{err: redstart.ErrClosed})
			g = g[1:]
			continue
		}
		patience := wake.PollBoundTracked
		if len(g) == 1 {
			patience = time.Hour // whoever waits for it alone looks by himself
		}
		ctx, cancel := context.WithTimeout(lead.Ctx, patience)
		err := c.waker.Wait(ctx, lead.Key, func(now []byte) bool { return string(now) == mark })
		over := ctx.Err() != nil
		cancel()
		switch {
		case err == nil:
			c.flyMany(closing, g)
			return
		case over:
			var changed group[K, V]
			changed, g = c.changed(g, mark)
			c.background(changed, c.flyMany)
		default:
			for _, f := range g {
				f.Land(c.stopped(f, err))
			}
			return
		}
	}
}

// changed parts those at whose keys the mark no longer stands from the others.
func (c *Cache[K, V]) changed(g group[K, V], mark string) (changed, same group[K, V]) {
	ctx, cancel := c.parting(g[0])
	defer cancel()
	c.reader.Raw(ctx, g.Keys(), func(i int, raw []byte, err error) {
		if err == nil && string(raw) != mark {
			changed = append(changed, g[i])
		} else {
			same = append(same, g[i])
		}
	})
	return changed, same
}

// loadMany holds the leases while LoadMany runs, leaves what it gives at the
// keys and lands the flights, those of a failure first.
func (c *Cache[K, V]) loadMany(closing context.Context, g group[K, V], leases []lease.Held) {
	defer g.Cancel()
	values := context.WithoutCancel(g[0].Ctx)
	ctx, cancel := context.WithTimeoutCause(values, c.cfg.LoadTimeout, ErrLoadTimeout)
	defer cancel()
	defer context.AfterFunc(closing, cancel)()
	defer c.leases().Keep(leases, func(i int) {
		c.stats.leasesLost.Add(1)
		g[i].LeaseLost()
	})()
	samplings, err := c.sampleMany(values, g)
	if err != nil {
		for _, f := range g {
			f.Land(c.stopped(f, err))
		}
		c.release(leases)
		return
	}
	ids := make([]K, len(g))
	for i, f := range g {
		ids[i] = f.On.id
	}
	results := source.Await(ctx, c.source.StartMany(ctx, ids, nil), len(ids))
	if closing.Err() != nil {
		g.Cancel()
	}
	var put, closed []lease.Held
	var waiting group[K, V]
	ends := make([]ending[V], 0, len(g))
	for i, f := range g {
		end, ttl := c.ended(f, f.Claim(), &results[i], &samplings[i])
		if end.err != nil {
			f.Land(end)
			end.raw, ttl = []byte(frame.Make(frame.Failed, 0, 0, "")), c.cfg.ErrorTTL
		}
		if errors.Is(end.err, redstart.ErrClosed) {
			closed = append(closed, leases[i])
			continue
		}
		leases[i].Value, leases[i].TTL = string(end.raw), ttl
		put, ends, waiting = append(put, leases[i]), append(ends, end), append(waiting, f)
	}
	sent := waiting.Send()
	for i, a := range c.leases().Put(values, put) {
		if end := &ends[i]; end.err == nil {
			c.left(waiting[i].Key, end, sent[i], a.Held, a.Err)
			waiting[i].Land(*end)
		} else if a.Err != nil {
			c.notify("not stored", 0, a.Err)
		}
	}
	c.release(closed)
}

// sampleMany takes the stamps of the tags that a group's ids tell.
func (c *Cache[K, V]) sampleMany(ctx context.Context, g group[K, V]) ([]stamp.Sampling, error) {
	labels := make([][]stamp.Label, len(g))
	for i, f := range g {
		var err error
		if labels[i], err = c.terms.Known(f.On.id); err != nil {
			return nil, err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, 2*c.client.Config().Timeout)
	defer cancel()
	return c.terms.SampleMany(ctx, labels)
}

// release gives keys back of which nobody waits for a value.
func (c *Cache[K, V]) release(held []lease.Held) {
	for _, a := range c.leases().Release(context.Background(), held) {
		if a.Err != nil {
			c.notify("not stored", 0, a.Err)
		}
	}
}
