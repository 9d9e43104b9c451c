package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redstart-go/redstart/bench/locks"
	"github.com/redstart-go/redstart/bench/table"
	"github.com/redstart-go/redstart/bench/usage"
	"github.com/redstart-go/redstart/redstarttest"
)

// A lock that 16 workers want, each of whom holds it for a millisecond. They are those of 4 clients, as of 4 processes,
// so that no library can hand it over without the server.
const (
	contenders       = 16
	contenderClients = 4
	contendedHold    = time.Millisecond
	contendedLimit   = time.Minute // for what ought to take seconds; who waits that long has waited so long, and gives up

	contendedRate     = 0.9  // of the bare hand-over
	contendedWait     = 1.3  // times its longest waits
	contendedFair     = 0.95 // of the average, for the one who has it least often
	contendedCommands = 4
)

// contention is a contestant with its clients.
type contention struct {
	locks.Contestant
	holds   []locks.Hold // one of each client
	closing []func()
}

func (c *contention) close() {
	for _, end := range c.closing {
		end()
	}
}

func contend(ctx context.Context, server *redstarttest.Server, of locks.Contestant) (*contention, error) {
	c := &contention{Contestant: of}
	for range contenderClients {
		hold, closing, err := of.Join(ctx, placeOf(server, contenders/contenderClients))
		if err != nil {
			c.close()
			return nil, fmt.Errorf("%s: %w", of.Name, err)
		}
		c.holds, c.closing = append(c.holds, hold), append(c.closing, closing)
	}
	return c, nil
}

// turns is what one measurement of a contended lock came to.
type turns struct {
	perSecond float64
	wait      float64            // ms, of the 99th of a hundred
	fair      float64            // the turns of who had fewest, of the average
	server    float64            // µs of the server's CPU a lock
	commands  float64            // that clients sent, a lock
	givenUp   int                // waits that contendedLimit ended
	each      map[string]float64 // all that the server counted, a lock
}

func (b lockBenchmark) contended(ctx context.Context, l lab, server *redstarttest.Server) ([]table.Section, error) {
	if err := locks.Prepare(ctx, server); err != nil {
		return nil, err
	}
	warm, long := 200*time.Millisecond, 2*time.Second
	if l.quick {
		warm, long = 100*time.Millisecond, 300*time.Millisecond
	}
	all := locks.Contended()
	slots := make([]*contention, 0, len(all)+1)
	for _, of := range all {
		c, err := contend(ctx, server, of)
		if err != nil {
			return nil, err
		}
		defer c.close()
		slots = append(slots, c)
	}
	slots = append([]*contention{slots[0]}, slots...) // the control runs twice a round
	got := make([][]turns, len(slots))
	for round := range l.rounds {
		l.tell("lock, contended: round %d of %d", round+1, l.rounds)
		for _, i := range order(round, len(slots)) {
			t, err := slots[i].measure(ctx, server, warm, long)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", slots[i].Name, err)
			}
			got[i] = append(got[i], t)
		}
	}
	return []table.Section{b.contendedSection(all, got)}, nil
}

// measure lets all want the lock for a while. Who waits at its end still gets it, so that no wait is left out for being
// long: all those count that began meanwhile.
func (c *contention) measure(ctx context.Context, server *redstarttest.Server, warm, long time.Duration) (t turns, err error) {
	patience, cancel := context.WithTimeout(ctx, contendedLimit)
	defer cancel()
	var (
		counting, stop, busy atomic.Bool
		failed               atomic.Pointer[error]
		all                  sync.WaitGroup
		waits                [contenders][]time.Duration
		had                  [contenders]atomic.Int64
		givenUp              atomic.Int64
	)
	for w := range contenders {
		hold := c.holds[w%len(c.holds)]
		all.Go(func() {
			for !stop.Load() && failed.Load() == nil {
				counts, began := counting.Load(), time.Now()
				err := hold(patience, firstID, func() {
					if counts {
						waits[w] = append(waits[w], time.Since(began))
					}
					if busy.Swap(true) {
						twice := errTwo
						failed.CompareAndSwap(nil, &twice)
					}
					time.Sleep(contendedHold)
					busy.Store(false)
					had[w].Add(1)
				})
				switch {
				case err == nil:
				case errors.Is(err, context.DeadlineExceeded) && patience.Err() != nil && ctx.Err() == nil:
					waits[w] = append(waits[w], time.Since(began))
					givenUp.Add(1)
					return
				default:
					failed.CompareAndSwap(nil, &err)
				}
			}
		})
	}
	look := func() (m contendedMoment, err error) {
		m.at = time.Now()
		for w := range had {
			m.had[w] = had[w].Load()
		}
		if m.commands, err = usage.Commands(ctx, server); err == nil {
			m.cpu, err = usage.Server(ctx, server)
		}
		return m, err
	}
	var before, after contendedMoment
	if err = pause(ctx, warm); err == nil {
		before, err = look()
	}
	counting.Store(true)
	if err == nil {
		err = pause(ctx, long)
	}
	counting.Store(false)
	if err == nil {
		after, err = look()
	}
	stop.Store(true)
	all.Wait()
	if p := failed.Load(); p != nil {
		err = *p
	}
	if err != nil {
		return t, err
	}
	t, err = c.turns(before, after, slices.Concat(waits[:]...))
	t.givenUp = int(givenUp.Load())
	return t, err
}

// contendedMoment is what there is to see of a contended lock.
type contendedMoment struct {
	at       time.Time
	had      [contenders]int64
	commands map[string]int
	cpu      time.Duration
}

func (c *contention) turns(before, after contendedMoment, waits []time.Duration) (turns, error) {
	var sum float64
	fewest := math.Inf(1)
	for w := range after.had {
		n := float64(after.had[w] - before.had[w])
		sum, fewest = sum+n, min(fewest, n)
	}
	if sum == 0 || len(waits) == 0 {
		return turns{}, errNobody
	}
	slices.Sort(waits)
	t := turns{
		perSecond: sum / after.at.Sub(before.at).Seconds(),
		wait:      float64(waits[(len(waits)*99-1)/100]) / float64(time.Millisecond),
		fair:      fewest * contenders / sum,
		server:    float64((after.cpu - before.cpu).Nanoseconds()) / 1e3 / sum,
		each:      map[string]float64{},
	}
	counts := map[string]int{}
	for name, calls := range after.commands {
		if calls -= before.commands[name]; calls > 0 {
			counts[name] = calls
			t.each[name] = float64(calls) / sum
		}
	}
	t.commands = float64(c.Sent(counts)) / sum
	return t, nil
}
