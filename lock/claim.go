package lock

import (
	"context"
	_ "embed"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"github.com/redstart-go/redstart"
)

var (
	//go:embed lua/read.lua
	readText string
	//go:embed lua/acquire_free.lua
	acquireFreeText string
	//go:embed lua/release_free.lua
	releaseFreeText string
	//go:embed lua/state.lua
	stateText string
	//go:embed lua/acquire.lua
	acquireText string
	//go:embed lua/renew.lua
	renewText string
	//go:embed lua/release.lua
	releaseText string

	acquireScript = redstart.NewScript("lock/acquire", readText+acquireFreeText+stateText+acquireText)
	renewScript   = redstart.NewScript("lock/renew", readText+stateText+renewText)
	releaseScript = redstart.NewScript("lock/release", readText+releaseFreeText+stateText+releaseText)
)

const (
	// atFirst bounds a lease that was not renewed yet.
	atFirst = time.Second
	// kept is how long, at least, a lock's counter outlives its last lease. Without it the
	// clock alone makes tokens grow, so it has to outlive what clocks are wrong
	// by, of one server that is set back or of another after a failover.
	kept = time.Hour
)

// mode is how a lock is held.
type mode string

const (
	single mode = "x"
	shared mode = "s"
)

// claim is one attempt to hold a lock: it waits, holds, or has done both. Its
// owner is new for each, so that whatever it sends twice is known again.
type claim struct {
	lock  *Lock
	key   string
	keys  []string
	owner string

	longer time.Duration // what its lease begins with, where terms.short is too short; zero: it is not
}

// first is how long the lease lasts before it is renewed.
func (c *claim) first() time.Duration {
	if c.longer > 0 {
		return c.longer
	}
	return c.lock.terms.short
}

// keysOf are the keys of a lock, all in the slot of the first. No id gives such
// names: it would have its percent sign escaped.
func keysOf(k string) []string {
	const s, q, a = ":%shared", ":%queue", ":%about"
	all := make([]byte, 0, 4*(len(k)+len(s)+2)) // one piece of memory
	keys := []string{k, "", "", ""}
	tagged := strings.IndexByte(k, '{') >= 0
	for i, suffix := range []string{s, q, a} {
		begin := len(all)
		if tagged {
			all = append(all, k...)
		} else {
			all = append(append(append(all, '{'), k...), '}')
		}
		all = append(all, suffix...)
		keys[i+1] = unsafe.String(&all[begin], len(all)-begin)
	}
	return keys
}

// terms are what scripts are told of a family of locks.
type terms struct {
	short    time.Duration // how long a lease lasts that nobody renewed yet
	grant    string        // the same
	lease    string
	life     string // how long the keys stay after a change
	limit    string // how many may share the lock; 0: any number, beside those who want it alone
	believed string
}

func termsOf(cfg Config) terms {
	t := terms{
		short: min(atFirst, cfg.Lease), lease: millis(cfg.Lease), life: millis(2*kept + cfg.Lease), limit: "0",
		believed: millis(believed),
	}
	t.grant = millis(t.short)
	if cfg.Permits > 1 {
		t.limit = strconv.Itoa(cfg.Permits)
	}
	return t
}

func millis(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

// answer is what the server says to a claim.
type answer struct {
	token int64 // zero: not granted

	now  int64         // µs of the server's clock
	left time.Duration // until a lease ends
	rank int64         // how many wait before; -1: not in the queue
}

// ask sends the claim. It may be sent any number of times.
func (c *claim) ask(ctx context.Context, wait bool) (answer, error) {
	l, t := c.lock, &c.lock.terms
	waits := "0"
	if wait {
		waits = t.believed
	}
	first := t.grant
	if c.longer > 0 {
		first = millis(c.longer)
	}
	m, err := acquireScript.Exec(ctx, l.client, c.keys, []string{c.owner, t.life, first, waits, t.limit}).ToMessage()
	if err != nil {
		return answer{}, answered(err)
	}
	if m.IsInt64() {
		token, err := m.AsInt64()
		return answer{token: token}, err
	}
	n, err := m.AsIntSlice()
	if err != nil || len(n) != 3 {
		return answer{}, errReply
	}
	return answer{now: n[0], left: time.Duration(n[1]) * time.Microsecond, rank: n[2]}, nil
}

// renew makes the lease last; false means that it is gone.
func (c *claim) renew(ctx context.Context) (bool, error) { return c.renewAbove(ctx, 0) }

// renewAbove is renew, and makes the next token greater than this one.
func (c *claim) renewAbove(ctx context.Context, token int64) (bool, error) {
	l := c.lock
	n, err := renewScript.Exec(ctx, l.client, c.keys, []string{c.owner, l.terms.life, l.terms.lease, strconv.FormatInt(token, 10)}).AsInt64()
	return n == 1, answered(err)
}

// release gives the lease back, or the place in the queue; false means that
// there was no lease.
func (c *claim) release(ctx context.Context) (bool, error) {
	l := c.lock
	n, err := releaseScript.Exec(ctx, l.client, c.keys, []string{c.owner, l.terms.life, l.terms.grant, l.terms.limit}).AsInt64()
	return n == 1, answered(err)
}

func (c *claim) fail(op string, err error) error { return c.lock.fail(op, c.key, err) }

// leave gives up a claim of which nobody knows what became of it, in the
// background: whoever gave up does not wait for that, and Close does.
func (c *claim) leave() {
	client := c.lock.client
	_ = client.Go(func(context.Context) { // closed: it ends by itself
		ctx, cancel := context.WithTimeout(context.Background(), client.Config().Timeout)
		defer cancel()
		for pause := time.Millisecond; ; pause *= 2 {
			if _, err := c.release(ctx); err == nil || !sleep(ctx, pause) {
				return
			}
		}
	})
}

// sleep reports whether ctx lasted so long.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
