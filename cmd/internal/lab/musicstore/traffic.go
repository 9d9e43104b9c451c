package musicstore

import (
	"context"
	"database/sql"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redstart-go/redstart/cmd/internal/measure"
)

// step is that of the picture.
const step = 100 * time.Millisecond

// aim makes for sure what the replay has by chance: a read between a write and its commit, a read in a transaction that is
// rolled back, and customers whose names look alike.
func (c *course) aim(ctx context.Context) error {
	for i := range aimed {
		p, track := c.aimedAt(i)
		if err := c.overtake(ctx, p, track); err != nil {
			return err
		}
		c.progress.Step()
		p, track = c.aimedAt(aimed + i)
		if err := c.undo(ctx, i, p, track); err != nil {
			return err
		}
		for range aimedReads {
			c.read(ctx, i+1, p)
		}
		c.progress.Step()
	}
	for i, p := range c.shop.shadows {
		for range aimedReads {
			c.read(ctx, i/2, p)
		}
		c.progress.Step()
	}
	return ctx.Err()
}

// aimedAt is one of 2*aimed tracks far from each other, and the page of its album.
func (c *course) aimedAt(i int) (page, int64) {
	t := c.shop.tracked[i*len(c.shop.tracked)/(2*aimed)]
	return page{byAlbum, []any{c.shop.tracks[t].album}}, t
}

// overtake lets a read come between a write and its commit.
func (c *course) overtake(ctx context.Context, p page, track int64) error {
	c.read(ctx, 0, p)
	tx, err := c.team[0].Begin(ctx)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // after Commit it only says so
	raised := c.shop.prices[track]
	raised.intend()
	if err := c.team[0].Write(ctx, tx, dearer, 0.01, track); err != nil {
		return err
	}
	c.read(ctx, 1, p)
	if err := tx.Commit(); err != nil {
		return err
	}
	raised.raise(&c.shop.order)
	c.mu.Lock()
	c.out.writes++
	c.mu.Unlock()
	for i := range aimedReads {
		if _, v := c.read(ctx, i, p); v.stale {
			c.out.raced++
		}
	}
	return nil
}

// undo makes a track much dearer, looks at it in the transaction, and rolls back.
func (c *course) undo(ctx context.Context, caller int, p page, track int64) error {
	by := c.team.Of(caller)
	tx, err := by.Begin(ctx)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // it is what this is for
	least := c.shop.prices[track].floor(c.shop.order.n.Load()) + 100
	if err := by.Write(ctx, tx, dearer, 1.00, track); err != nil {
		return err
	}
	return c.readOwn(ctx, by, tx, p, func(answer []row) bool {
		for _, r := range answer {
			if r.ID == track {
				return cents(r.N) >= least
			}
		}
		return false
	})
}

// readOwn reads in a transaction, which must show what it wrote.
func (c *course) readOwn(ctx context.Context, by contestant, tx *sql.Tx, p page, shows func([]row) bool) error {
	answer, err := by.Read(ctx, tx, p)
	if err != nil {
		return err
	}
	if !shows(answer) {
		c.mu.Lock()
		c.out.OwnMissed++
		c.mu.Unlock()
	}
	return nil
}

// raisePrice makes a track dearer by a statement of its own.
func (c *course) raisePrice(ctx context.Context, caller int, track int64) error {
	raised := c.shop.prices[track]
	raised.intend()
	if err := c.team.Of(caller).Write(ctx, nil, dearer, 0.01, track); err != nil {
		return err
	}
	raised.raise(&c.shop.order)
	return nil
}

// sell sells a few tracks to a customer, in a transaction that also looks at his invoices.
func (c *course) sell(ctx context.Context, caller int, buyer int64, tracks []int64) error {
	by, s := c.team.Of(caller), c.shop
	tx, err := by.Begin(ctx)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // after Commit it only says so
	least := s.bought[buyer].floor(s.order.n.Load()) + 1
	id := s.lastInvoice.Add(1)
	s.mu.Lock()
	s.invoices[id] = buyer
	s.mu.Unlock()
	if err := by.Write(ctx, tx, newSale, id, buyer, "2026-01-02 03:04:05", "Lab", float64(99*len(tracks))/100); err != nil {
		return err
	}
	for _, t := range tracks {
		if err := by.Write(ctx, tx, newLine, s.lastLine.Add(1), id, t, 0.99, 1); err != nil {
			return err
		}
	}
	err = c.readOwn(ctx, by, tx, page{invoices, []any{buyer}}, func(answer []row) bool { return int64(len(answer)) >= least })
	if err != nil {
		return err
	}
	s.bought[buyer].intend()
	for _, t := range tracks {
		s.sold[t].intend()
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	s.bought[buyer].raise(&s.order)
	for _, t := range tracks {
		s.sold[t].raise(&s.order)
	}
	return nil
}

// planned is one request of the replay: a read, or before it a write.
type planned struct {
	page   int
	write  int // 0: none, else which one
	track  int64
	tracks []int64
	buyer  int64
}

// plan deals out the requests, the same for the same seed and store.
func (s *shop) plan(n int, seed uint64) []planned {
	rng := rand.New(rand.NewPCG(seed, 0x7265616473)) //nolint:gosec // chance, not secrets
	zipf := rand.NewZipf(rng, skew, 4, uint64(len(s.pages)-1))
	out := make([]planned, n)
	for i := range out {
		out[i].page = int(zipf.Uint64()) //nolint:gosec // an index
		if i%writeEvery != writeEvery/2 {
			continue
		}
		out[i].write = i/writeEvery%4 + 1
		out[i].track = s.tracked[rng.IntN(len(s.tracked))]
		out[i].buyer = s.buyers[rng.IntN(len(s.buyers))]
		for range rng.IntN(3) + 1 {
			out[i].tracks = append(out[i].tracks, s.tracked[rng.IntN(len(s.tracked))])
		}
	}
	return out
}

// writeOne carries out what is planned before a read: two prices, one sale and one change of mind in turn.
func (c *course) writeOne(ctx context.Context, caller int, p planned) error {
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	switch p.write {
	case 1, 3:
		return c.raisePrice(ctx, caller, p.track)
	case 2:
		return c.sell(ctx, caller, p.buyer, p.tracks)
	default:
		return c.undo(ctx, caller, page{byAlbum, []any{c.shop.tracks[p.track].album}}, p.track)
	}
}

// replay lets the workers take one request after the other, as fast as they get their answers.
func (c *course) replay(ctx context.Context) {
	todo := c.shop.plan(c.Requests, c.Seed)
	var next atomic.Int64
	var all measure.Latency
	var workers sync.WaitGroup
	var inside atomic.Int64 // reads in transactions, which the database is asked too
	c.meter.timeline.Store(measure.NewTimeline(step))
	asked, began := c.meter.queries.Load(), time.Now()
	for w := range c.Workers {
		workers.Go(func() {
			var mine measure.Latency
			for ctx.Err() == nil {
				i := next.Add(1) - 1
				if i >= int64(len(todo)) {
					break
				}
				p := todo[i]
				if p.write > 0 {
					if p.write%2 == 0 {
						inside.Add(1)
					}
					if err := c.writeOne(ctx, w, p); err != nil {
						c.failed(err)
					}
				}
				took, _ := c.read(ctx, w, c.shop.pages[p.page])
				mine.Add(took)
				c.mu.Lock()
				if p.write > 0 {
					c.out.writes++
				}
				c.progress.Step()
				c.mu.Unlock()
			}
			c.mu.Lock()
			defer c.mu.Unlock()
			all.Merge(&mine)
		})
	}
	workers.Wait()
	c.measure(&all, all.Len()+int(inside.Load()), c.meter.queries.Load()-asked, time.Since(began))
}
