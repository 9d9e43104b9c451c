// Package lease is a lease on a key: its value is a mark that only this
// attempt knows. Whoever deletes or overwrites the key, by whatever means,
// ends the lease, and everything the holder does afterwards is refused. A
// holder that dies costs the lease's time.
//
// Times are the server's; no clock of a client is in it. What is done under a
// lease is sent again after a lost reply: it finds the mark, or what it wrote.
package lease

import (
	"context"
	"crypto/rand"
	_ "embed"
	"strconv"
	"time"

	"github.com/redis/rueidis"

	"github.com/redstart-go/redstart"
)

var (
	//go:embed lua/swap.lua
	swapText string
	//go:embed lua/extend.lua
	extendText string
	//go:embed lua/put.lua
	putText string
	//go:embed lua/release.lua
	releaseText string

	swap    = redstart.NewScript("lease/swap", swapText)
	extend  = redstart.NewScript("lease/extend", extendText)
	put     = redstart.NewScript("lease/put", putText)
	release = redstart.NewScript("lease/release", releaseText)
)

// Token is what makes a mark unlike any other: 16 random bytes an attempt.
func Token() string {
	var t [16]byte
	_, _ = rand.Read(t[:]) // never fails (crypto/rand)
	return string(t[:])
}

// Lease is one attempt's claim on a key.
type Lease struct {
	Client *redstart.Client
	Key    string
	Mark   string        // the whole value of the key while held
	Time   time.Duration // how long it lasts unless extended
}

// attempts bounds how often a call under a lease whose reply was lost is sent.
const attempts = 2

// Take claims the key if it is empty. Else it gives what stands there. One
// command (SET NX GET PX), one round trip.
//
// A claim is never sent twice: a copy of it that the network held back could
// bring the mark back after somebody's DEL. After an Outcome of Unknown claim
// with another Mark; if the first turns out to stand there, it is yours.
func (l Lease) Take(ctx context.Context) (taken bool, current []byte, err error) {
	b := l.Client.B()
	return l.claimed(l.Client.Do(ctx, b.Set().Key(l.Key).Value(l.Mark).Nx().Get().PxMilliseconds(ms(l.Time)).Build()))
}

// Replace claims the key if exactly seen stands there. Else it gives what
// does, empty for nothing. It is not sent twice either.
func (l Lease) Replace(ctx context.Context, seen []byte) (taken bool, current []byte, err error) {
	return l.claimed(swap.Exec(ctx, l.Client, []string{l.Key}, []string{string(seen), l.Mark, millis(l.Time)}))
}

// claimed reads the answer to a claim: nil means taken.
func (l Lease) claimed(r rueidis.RedisResult) (bool, []byte, error) {
	current, err := r.AsBytes()
	if rueidis.IsRedisNil(err) {
		return true, nil, nil
	}
	return false, current, err
}

// Extend makes the lease last its whole time again, from now on. False means
// that it is lost.
func (l Lease) Extend(ctx context.Context) (bool, error) {
	return run(ctx, l.Client, extend, l.Key, l.Mark, millis(l.Time))
}

// Put ends the lease by leaving value at the key for ttl (zero: for good).
// False means that the lease was lost and nothing was written.
func (l Lease) Put(ctx context.Context, value string, ttl time.Duration) (bool, error) {
	return run(ctx, l.Client, put, l.Key, l.Mark, value, millis(ttl))
}

// Release ends the lease by deleting the key. False means that it was lost.
func (l Lease) Release(ctx context.Context) (bool, error) {
	return run(ctx, l.Client, release, l.Key, l.Mark)
}

// run runs a script that does no harm by running twice.
func run(ctx context.Context, c *redstart.Client, s *redstart.Script, key string, args ...string) (bool, error) {
	var err error
	for range attempts {
		var n int64
		if n, err = s.Exec(ctx, c, []string{key}, args).AsInt64(); err == nil {
			return n == 1, nil
		}
		if ctx.Err() != nil || redstart.OutcomeOf(err) != redstart.Unknown {
			return false, err
		}
	}
	return false, err
}

// ms is a duration in whole milliseconds, at least one unless it is zero.
func ms(d time.Duration) int64 {
	if d > 0 && d < time.Millisecond {
		return 1
	}
	return d.Milliseconds()
}

func millis(d time.Duration) string { return strconv.FormatInt(ms(d), 10) }
