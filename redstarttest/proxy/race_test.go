package proxy

import (
	"context"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/redis/rueidis"
)

// TestProxyStorm switches every fault on and off under load. Replies may be missing, but none may be another's, and
// after the storm everything works.
func TestProxyStorm(t *testing.T) {
	p, _, _ := inFrontOf(t)
	ctx := proxyContext(t)
	var clients []rueidis.Client
	for range 3 {
		clients = append(clients, proxyRueidis(t, p, rueidis.ClientOption{AlwaysPipelining: true, DisableRetry: true, ConnWriteTimeout: time.Second}))
	}
	tr := p.Transcript()
	over := make(chan struct{})
	var work sync.WaitGroup
	var mu sync.Mutex
	good, bad := 0, 0
	for w := range 6 {
		work.Go(func() {
			c := clients[w%3]
			for i := 0; ; i++ {
				select {
				case <-over:
					return
				default:
				}
				id := strconv.Itoa(w) + "-" + strconv.Itoa(i)
				once, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
				got, err := c.Do(once, c.B().Echo().Message(id).Build()).ToString()
				cancel()
				if err == nil && got != id {
					t.Errorf("ECHO %s: %s", id, got)
				}
				mu.Lock()
				if err == nil {
					good++
				} else {
					bad++
				}
				mu.Unlock()
			}
		})
	}
	const seed = 1
	random := rand.New(rand.NewPCG(seed, seed))
	faults := []func(){
		func() { p.Delay(time.Millisecond, time.Millisecond); p.Jitter(time.Millisecond, seed) },
		func() { p.Delay(0, 0); p.Jitter(0, 0) },
		func() { p.Blackhole(Direction(1 + random.IntN(3))) },
		func() { p.Drop(Direction(1 + random.IntN(3))) },
		func() { p.Heal() },
		func() { p.Reset() },
		func() { p.ResetMatching(func(i ConnInfo) bool { return i.ID%2 == 0 }) },
		func() { p.Refuse(true); p.Conns(); p.Refuse(false) },
		func() { p.Commands(); p.ResetCounts(); p.Faults() },
	}
	actions := []Action{AnswerError("LOADING"), SwallowReply(CutConnection), SwallowReply(LeaveHanging), HoldRequest(), HoldReply(), {}}
	for range 150 {
		p.Heal()
		h := p.AddRule(Rule{Match: Named("ECHO"), Nth: 1 + random.IntN(5), Action: actions[random.IntN(len(actions))]})
		struck, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
		h.Wait(struck)
		cancel()
		faults[random.IntN(len(faults))]()
		h.Release()
		h.Remove()
	}
	close(over)
	work.Wait()
	p.Heal()
	p.Reset()
	t.Logf("seed %d: %d good, %d failed, %+v", seed, good, bad, p.Faults())
	if good == 0 || bad == 0 {
		t.Errorf("%d good, %d failed: want both", good, bad)
	}
	for _, c := range clients {
		eventually(t, "the client works again", func() bool { return c.Do(ctx, c.B().Ping().Build()).Error() == nil })
	}
	for _, x := range tr.Exchanges() {
		if len(x.Replies) > 1 {
			t.Fatalf("%s has the replies %q", x.Command, x.Replies)
		}
	}
}
