package resilience

import (
	"math"
	"time"
)

// backoff is exponential with full jitter: uniform between zero and
// min(limit, base·2^n), n counted from zero. The recipe adds up to 10 % to the
// doubled delay instead: callers that failed together then come back nearly
// together, and later than the cap. Uniform delays spread them over the whole
// interval, and the cap holds after the jitter.
type backoff struct {
	base, limit time.Duration
	random      func(n int64) int64 // uniform in [0, n)
}

// ceiling is the longest delay before retry n.
func (b backoff) ceiling(n int) time.Duration {
	if b.base <= 0 {
		return 0
	}
	if n >= 63 || b.base > b.limit>>n {
		return b.limit
	}
	return b.base << n
}

// delay is the pause before retry n when the server asks to be left alone for
// hint, which is at most limit: never before it, never beyond limit.
func (b backoff) delay(n int, hint time.Duration) time.Duration {
	spread := min(b.ceiling(n), b.limit-hint)
	return hint + time.Duration(b.random(int64(spread)+1))
}

// noLimit stands for a limit that is off. It leaves room for sums.
const noLimit = time.Duration(math.MaxInt64 / 4)
