package faults

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redstart-go/redstart/faults/harness"
	"github.com/redstart-go/redstart/faults/history"
	"github.com/redstart-go/redstart/faults/naive"
)

// trafficArg describes what a member does until it is told to stop.
type trafficArg struct {
	Seed             uint64
	Keys             int
	Readers, Writers int
	Pause            time.Duration // a writer's, on average
}

// callWithin bounds a call of the traffic. No fault lasts as long.
const callWithin = 10 * time.Second

// traffic is readers that read as fast as they can, and writers that commit a
// version and then invalidate: every other time through the cache, else with a
// DEL of someone who knows nothing of it.
type traffic struct {
	p      *process
	arg    trafficArg
	clock  *harness.Clock
	log    *history.Log
	direct naive.CacheAside
	reads  atomic.Int64

	cancel context.CancelFunc
	work   sync.WaitGroup
	mu     sync.Mutex
	err    error // the first that the traffic cannot go on with
}

func startTraffic(p *process, arg trafficArg) (*traffic, error) {
	clock, err := harness.NewClock(p.arg.Clock)
	if err != nil {
		return nil, err
	}
	log, err := history.Create(p.arg.History, fmt.Sprintf("%d-%d", p.arg.Process, p.arg.Life))
	if err != nil {
		return nil, err
	}
	client, err := plain(p.arg.Direct)
	if err != nil {
		return nil, err
	}
	p.end = append(p.end, client.Close)
	t := &traffic{p: p, arg: arg, clock: clock, log: log, direct: naive.CacheAside{Client: client}}
	ctx, cancel := context.WithCancel(context.Background())
	t.cancel = cancel
	for n := range arg.Readers {
		t.work.Go(func() {
			t.loop(ctx, harness.Rand(arg.Seed, fmt.Sprint("reader", p.arg.Process, p.arg.Life), n), t.read)
		})
	}
	for n := range arg.Writers {
		t.work.Go(func() {
			t.loop(ctx, harness.Rand(arg.Seed, fmt.Sprint("writer", p.arg.Process, p.arg.Life), n), t.write)
		})
	}
	return t, nil
}

func (t *traffic) loop(ctx context.Context, rng *rand.Rand, do func(context.Context, *rand.Rand) error) {
	for ctx.Err() == nil {
		if err := do(ctx, rng); err != nil && ctx.Err() == nil {
			t.mu.Lock()
			t.err = errors.Join(t.err, err)
			t.mu.Unlock()
			return
		}
	}
}

func (t *traffic) add(kind history.Kind, key int, version, begin uint64) error {
	return t.log.Add(history.Event{
		Kind: kind, Process: uint16(t.p.arg.Process), Key: uint32(key), Version: version, Begin: begin, End: t.clock.Tick(),
	})
}

func (t *traffic) read(_ context.Context, rng *rand.Rand) error {
	key := rng.IntN(t.arg.Keys)
	ctx, cancel := context.WithTimeout(context.Background(), callWithin)
	defer cancel()
	begin := t.clock.Tick()
	version, err := t.p.reader.Get(ctx, rowName(key))
	t.reads.Add(1)
	if err != nil {
		return t.add(history.ReadFailed, key, 0, begin)
	}
	return t.add(history.Read, key, version, begin)
}

func (t *traffic) write(ctx context.Context, rng *rand.Rand) error {
	select {
	case <-time.After(time.Duration(rng.Int64N(int64(2 * t.arg.Pause)))):
	case <-ctx.Done():
		return nil
	}
	key, byDel := rng.IntN(t.arg.Keys), rng.IntN(2) == 0
	call, cancel := context.WithTimeout(context.Background(), callWithin)
	defer cancel()
	if t.p.arg.Through {
		return t.writeThrough(call, rng, key)
	}
	version, err := t.p.store.Commit(call, rowName(key))
	if err != nil {
		return err
	}
	begin := t.clock.Tick()
	if byDel {
		err = t.direct.Invalidate(call, keyOf(rowName(key)))
	} else {
		err = t.p.reader.Invalidate(call, rowName(key))
	}
	if err != nil {
		return t.add(history.InvalidateFailed, key, version, begin)
	}
	return t.add(history.Invalidated, key, version, begin)
}

// stop ends the traffic; calls under way come to their end.
func (t *traffic) stop() error {
	t.cancel()
	t.work.Wait()
	return errors.Join(t.err, t.log.Close(), t.clock.Close())
}

func rowName(key int) string { return fmt.Sprint("k", key) }

// rowNumber is the inverse of rowName.
func rowNumber(name string) uint32 {
	n, _ := strconv.ParseUint(name[1:], 10, 32)
	return uint32(n)
}

// recordCommits writes what is committed into a log of the parent's own: the
// process that commits may be killed before it could.
func recordCommits(t *testing.T, source *harness.Source, clockPath, dir string) {
	t.Helper()
	clock, err := harness.NewClock(clockPath)
	if err != nil {
		t.Fatal(err)
	}
	log, err := history.Create(dir, "commits")
	if err != nil {
		t.Fatal(err)
	}
	source.OnCommit(func(key string, version uint64) {
		e := history.Event{Kind: history.Committed, Key: rowNumber(key), Version: version, Begin: clock.Tick(), End: clock.Tick()}
		if err := log.Add(e); err != nil {
			t.Errorf("record a commit: %v", err)
		}
	})
	t.Cleanup(func() {
		source.OnCommit(nil)
		if err := errors.Join(log.Close(), clock.Close()); err != nil {
			t.Error(err)
		}
	})
}
