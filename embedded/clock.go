package embedded

import (
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/alicebob/miniredis/v2/server"
)

const (
	fineStep   = time.Millisecond      // the clock's step before a command that needs it exact
	coarseStep = 50 * time.Millisecond // the longest step before a plain read
)

// clock moves the engine's time. Left to itself with TTLs on, miniredis walks
// and sorts all keys on every access to a database, several times a command.
// Here the time it sees is set in steps, so it walks once a step: expiry costs
// one walk per millisecond at most, and time stands still inside a script.
//
// A key set long after the last step would lose the difference, so each command
// that may set a TTL or look at the time gets a step of 1 ms before it. Reads of
// values may see an expired key for a longer step, sized so that walking takes
// at most a tenth of the time.
type clock struct {
	mini   *miniredis.Miniredis
	srv    *server.Server
	start  time.Time
	last   atomic.Int64 // of the last step, as nanoseconds since start
	coarse atomic.Int64 // step before a plain read, in nanoseconds

	mu sync.Mutex // one step at a time, so that time never goes back
}

func startClock(m *miniredis.Miniredis, srv *server.Server) *clock {
	now := time.Now()
	c := &clock{mini: m, srv: srv, start: now}
	c.coarse.Store(int64(fineStep))
	m.SetTime(now.UTC())
	m.ClockTTL(true)
	return c
}

// tick is called before each command of a connection, never from a script (the
// engine's lock is held there).
func (c *clock) tick(cmd string) {
	step := int64(fineStep)
	if c.srv.IsReadOnlyCommand(cmd) && !strings.HasSuffix(cmd, "TTL") {
		step = c.coarse.Load()
	}
	if int64(time.Since(c.start))-c.last.Load() < step {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	since := now.Sub(c.start)
	if int64(since)-c.last.Load() < step {
		return
	}
	c.mini.SetTime(now.UTC()) // UTC keeps the monotonic reading
	c.last.Store(int64(since))
	c.mini.DB(0) // walks the keys
	walk := time.Since(now)
	c.coarse.Store(int64(min(max(10*walk, fineStep), coarseStep)))
}
