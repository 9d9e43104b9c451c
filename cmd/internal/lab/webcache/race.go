package webcache

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	raceSize  = 8 // keys
	raceReads = 8 // of each, after the write
	// raceWait bounds the wait for a load that does not come.
	raceWait = 10 * time.Second
)

func raceKeys() []string {
	keys := make([]string, raceSize)
	for i := range keys {
		keys[i] = fmt.Sprintf("/lab/race/%d", i+1)
	}
	return keys
}

// race lets a write land while a load is in flight, the one schedule that cache-aside cannot survive: a load has read its
// row; the row is changed and the key invalidated; the load, slow as loads are now and then, comes home and its value is
// put into the cache. Then the key is read again. In the replay the same happens by chance; here it happens for sure.
func (c *course) race(ctx context.Context) error {
	for i, key := range raceKeys() {
		if err := c.raceOn(ctx, len(c.traffic.Keys)+burstSize+i, key); err != nil {
			return err
		}
		c.progress.Step()
	}
	return nil
}

func (c *course) raceOn(ctx context.Context, i int, key string) error {
	slow := c.source.Hold(key)
	defer slow.Drop()
	first := make(chan call, 1)
	go func() { first <- c.read(ctx, 1, i, key) }()

	giveUp := time.NewTimer(raceWait)
	defer giveUp.Stop()
	select {
	case <-slow.Read():
	case r := <-first:
		return errors.Join(errors.New("a read of a cold key ended without a load"), r.err)
	case <-giveUp.C:
		slow.Drop()
		return fmt.Errorf("no load of a cold key within %v: %w", raceWait, (<-first).err)
	case <-ctx.Done():
		slow.Drop()
		<-first
		return ctx.Err()
	}
	err := c.write(ctx, i, key)
	slow.Release()
	c.note(<-first)
	if err != nil {
		return err
	}
	for n := range raceReads {
		r := c.read(ctx, n, i, key)
		c.out.racedReads++
		if r.stale {
			c.out.raced++
		}
		c.note(r)
	}
	return nil
}
