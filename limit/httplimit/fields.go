package httplimit

import (
	"math/bits"
	"strconv"
	"time"

	"github.com/redstart-go/redstart/limit"
)

// The names of the fields as net/http spells them; they have no case.
const (
	policyName = "Ratelimit-Policy"
	stateName  = "Ratelimit"
)

// The fields are Structured Field Lists (RFC 9651) of Strings with Integers as
// parameters. The limiter allows no character in a name that a String would
// have to escape, and no number beyond the 15 digits of an Integer.

// policyField gives RateLimit-Policy, "" where there is nothing to tell. A
// shadow is none of a client's business.
func policyField(limits []limit.Limit, unit string) string {
	var b []byte
	for _, l := range limits {
		if l.Shadow {
			continue
		}
		q, w := quota(l)
		b = item(b, l.Name)
		b = param(b, "q", q)
		b = param(b, "w", w)
		if unit != defaultUnit {
			b = append(b, `;qu="`...)
			b = append(b, unit...)
			b = append(b, '"')
		}
		if l.Algorithm == limit.GCRA && l.Burst != l.Rate {
			b = param(b, "redstart-burst", l.Burst)
		}
	}
	return string(b)
}

// quota gives the units and the window in whole seconds. A time that has
// fractions is rounded up and the units grow with it, rounded down: the rate
// told is never above the limit's.
func quota(l limit.Limit) (units, window int64) {
	window = seconds(l.Per)
	if l.Per%time.Second == 0 {
		return l.Rate, window
	}
	// Rate is at most 10⁹, and window/Per at most 1,000: the product has up to
	// 84 bits, the quotient 40.
	high, low := bits.Mul64(uint64(l.Rate), uint64(window)*uint64(time.Second))
	n, _ := bits.Div64(high, low, uint64(l.Per))
	return int64(n), window
}

// stateField gives RateLimit, "" where there is nothing to tell. In a denial
// only the limits that denied say when they have more: the others have what was
// asked for, and Retry-After must not be earlier than any of these times.
func stateField(states []limit.State, allowed bool) string {
	var b []byte
	for _, s := range states {
		if s.Shadow {
			continue
		}
		b = item(b, s.Policy)
		b = param(b, "r", max(s.Remaining, 0))
		if next := more(s); next > 0 && (allowed || s.Denied) {
			b = param(b, "t", seconds(next))
		}
	}
	return string(b)
}

// more is when the limit has more units than now, 0 when it is whole or it is
// not known.
func more(s limit.State) time.Duration {
	if s.NextAfter == 0 && s.Denied {
		return s.RetryAfter
	}
	return s.NextAfter
}

// retryAfter is what a denied client must wait, in seconds: 1 at least.
func retryAfter(d limit.Decision, states []limit.State) int64 {
	wait := max(seconds(d.RetryAfter), 1)
	for _, s := range states {
		if s.Denied && !s.Shadow {
			wait = max(wait, seconds(more(s)))
		}
	}
	return wait
}

// states are the states that a decision tells of, nil where nobody knows them.
// Without the server it tells of one limit alone.
func states(d limit.Decision, limits []limit.Limit) []limit.State {
	if d.Source == limit.SourceOutage {
		return nil
	}
	if d.Each != nil {
		return d.Each
	}
	s := limit.State{
		Policy: d.Policy, Denied: !d.Allowed, Remaining: d.Remaining, Limit: d.Limit,
		RetryAfter: d.RetryAfter, ResetAfter: d.ResetAfter, NextAfter: d.NextAfter,
	}
	for _, l := range limits {
		if l.Name == d.Policy && l.Shadow {
			s.Shadow, s.Denied = true, d.Shadowed
		}
	}
	return []limit.State{s}
}

// denying are the names of the limits that denied; with shadow, of the shadows
// that would have.
func denying(states []limit.State, shadow bool) []string {
	var names []string
	for _, s := range states {
		if s.Denied && s.Shadow == shadow {
			names = append(names, s.Policy)
		}
	}
	return names
}

// beyond are the names of the limits that never have n units at once.
func beyond(limits []limit.Limit, n int64) []string {
	var names []string
	for _, l := range limits {
		most := l.Rate
		if l.Algorithm == limit.GCRA {
			most = l.Burst
		}
		if n > most && !l.Shadow {
			names = append(names, l.Name)
		}
	}
	return names
}

// seconds rounds up.
func seconds(d time.Duration) int64 {
	return int64((d + time.Second - 1) / time.Second)
}

func item(b []byte, name string) []byte {
	if len(b) > 0 {
		b = append(b, ", "...)
	}
	b = append(b, '"')
	b = append(b, name...)
	return append(b, '"')
}

func param(b []byte, name string, n int64) []byte {
	b = append(b, ';')
	b = append(b, name...)
	b = append(b, '=')
	return strconv.AppendInt(b, n, 10)
}
