package faults

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redstart-go/redstart/faults/harness"
	"github.com/redstart-go/redstart/faults/history"
)

// bustleArg is what a refined member does until it is told to stop.
type bustleArg struct {
	Seed  uint64
	Keys  int
	Quiet int // of these the last ones, which no member writes; without Rounds the last reader reads only them

	Readers int
	Every   time.Duration // a reader's pause, on average; with Rounds between two readings of all keys
	Rounds  bool          // each reader reads all keys, one after the other
	Rate    int           // reads a second that wait for none before them; instead of Readers

	Hows  []string      // ways to write; the process writes the keys that are its own
	Pause time.Duration // between two writes, on average
}

// bustle is readers and one writer, with times of the machine's clock.
type bustle struct {
	p   *refined
	arg bustleArg
	log *history.Log

	reads, near, stale, failed, writes atomic.Int64
	asked                              sync.Mutex      // a read is counted, or the group is exchanged
	asking                             *sync.WaitGroup // reads under way

	cancel context.CancelFunc
	work   sync.WaitGroup
	mu     sync.Mutex
	err    error
}

// counts is what was read so far.
type counts struct{ Reads, Near, Stale, Failed, Writes int64 }

func (b *bustle) counts() counts {
	return counts{b.reads.Load(), b.near.Load(), b.stale.Load(), b.failed.Load(), b.writes.Load()}
}

func startBustle(p *refined, arg bustleArg) (*bustle, error) {
	log, err := history.Create(p.arg.History, fmt.Sprintf("%d-%d", p.arg.Process, p.arg.Life))
	if err != nil {
		return nil, err
	}
	b := &bustle{p: p, arg: arg, log: log, asking: &sync.WaitGroup{}}
	ctx, cancel := context.WithCancel(context.Background())
	b.cancel = cancel
	for n := range arg.Readers {
		rng := harness.Rand(arg.Seed, fmt.Sprint("reader", p.arg.Process, p.arg.Life), n)
		b.work.Go(func() { b.readOn(ctx, n, rng) })
	}
	if arg.Rate > 0 {
		b.work.Go(func() { b.readAtRate(ctx, harness.Rand(arg.Seed, "rate", p.arg.Process)) })
	}
	if len(arg.Hows) > 0 {
		rng := harness.Rand(arg.Seed, fmt.Sprint("writer", p.arg.Process), p.arg.Life)
		b.work.Go(func() {
			for ctx.Err() == nil {
				b.note(b.write(ctx, rng))
			}
		})
	}
	return b, nil
}

func (b *bustle) note(err error) {
	if err == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == nil {
		b.err = err
	}
}

func (b *bustle) add(e history.Event) error {
	e.Process = uint16(b.p.arg.Process)
	return b.log.Add(e)
}

func rest(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

func (b *bustle) readOn(ctx context.Context, me int, rng *rand.Rand) {
	for ctx.Err() == nil {
		if b.arg.Rounds {
			for _, key := range rng.Perm(b.arg.Keys) {
				b.read(key, me)
			}
		} else {
			first := 0
			if b.arg.Quiet > 0 && me == b.arg.Readers-1 {
				first = b.arg.Keys - b.arg.Quiet
			}
			b.read(first+rng.IntN(b.arg.Keys-first), me)
		}
		rest(ctx, time.Duration(rng.Int64N(int64(2*b.arg.Every))))
	}
}

// readAtRate begins reads by the clock, whatever has become of those before.
func (b *bustle) readAtRate(ctx context.Context, rng *rand.Rand) {
	var under sync.WaitGroup
	defer under.Wait()
	began := time.Now()
	for n := 0; ctx.Err() == nil; rest(ctx, time.Millisecond) {
		for due := int(time.Since(began).Seconds() * float64(b.arg.Rate)); n < due; n++ {
			key := rng.IntN(b.arg.Keys)
			under.Go(func() { b.read(key, 0) })
		}
	}
}

func (b *bustle) read(key, me int) {
	b.asked.Lock()
	asking := b.asking
	asking.Add(1)
	b.asked.Unlock()
	defer asking.Done()
	ctx, cancel := context.WithTimeout(context.Background(), callWithin)
	defer cancel()
	begin := harness.Monotonic()
	version, mark, err := b.p.read(ctx, rowName(key))
	e := history.Event{Kind: history.Read, Mark: mark, Caller: uint16(me), Key: uint32(key), Version: version, Begin: begin, End: harness.Monotonic()}
	if err != nil {
		e.Kind, e.Version = history.ReadFailed, 0
		b.failed.Add(1)
	} else if mark == history.Near {
		b.near.Add(1)
	}
	if mark&history.Old != 0 {
		b.stale.Add(1)
	}
	b.reads.Add(1)
	b.note(b.add(e))
}

// answered waits for the reads that are under way now.
func (b *bustle) answered(ctx context.Context) error {
	b.asked.Lock()
	before := b.asking
	b.asking = &sync.WaitGroup{}
	b.asked.Unlock()
	done := make(chan struct{})
	go func() { before.Wait(); close(done) }()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// own are the keys that only this process writes.
func (b *bustle) own() (keys []int) {
	for key := b.p.arg.Process; key < b.arg.Keys-b.arg.Quiet; key += b.p.arg.Processes {
		keys = append(keys, key)
	}
	return keys
}

// write commits a new version of one key, or of all that carry the tag, and
// ends what is cached of it. The changes of a key follow one another.
func (b *bustle) write(ctx context.Context, rng *rand.Rand) error {
	rest(ctx, time.Duration(rng.Int64N(int64(2*b.arg.Pause))))
	keys, how := b.own(), b.arg.Hows[rng.IntN(len(b.arg.Hows))]
	if how != byTag && how != byResultTag && how != byClear {
		at := rng.IntN(rng.IntN(len(keys)) + 1) // some often, some seldom: a later message may hide that one was lost
		keys = keys[at : at+1]
	}
	call, cancel := context.WithTimeout(context.Background(), callWithin)
	defer cancel()
	versions := make([]uint64, len(keys))
	for i, key := range keys {
		var err error
		if versions[i], err = b.p.store.Commit(call, rowName(key)); err != nil {
			return err
		}
	}
	begin := harness.Monotonic()
	after, err := b.p.write(call, how, rowName(keys[0]), versions[0])
	e := history.Event{Kind: history.Invalidated, Begin: begin, End: harness.Monotonic() + uint64(after)}
	switch how {
	case foreignDel, foreignSet, foreignTTL:
	default:
		e.Mark = history.Own
	}
	b.writes.Add(1)
	switch {
	case err != nil && (how == bySet || how == foreignSet):
		e.Kind = history.SetFailed
	case err != nil:
		e.Kind = history.InvalidateFailed
	}
	for i, key := range keys {
		e.Key, e.Version = uint32(key), versions[i]
		if err := b.add(e); err != nil {
			return err
		}
	}
	if how != byClear {
		return nil
	}
	for key := range b.arg.Keys { // of those that are not its own it sets no floor
		e.Key, e.Version = uint32(key), 0
		if err := b.add(e); err != nil {
			return err
		}
	}
	return nil
}

// stop ends the traffic; calls under way come to their end.
func (b *bustle) stop() error {
	b.cancel()
	b.work.Wait()
	return errors.Join(b.err, b.log.Close())
}
