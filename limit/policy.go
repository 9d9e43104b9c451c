package limit

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Algorithm says how a [Limit] counts.
type Algorithm uint8

const (
	// GCRA lets Burst units pass at once, and then Rate each Per, evenly: over
	// any span of time t at most Burst + Rate·t/Per. One number a key.
	GCRA Algorithm = iota
	// SlidingLog lets Rate units pass in any span of Per, exactly. It keeps the
	// time of each of them, some 10 bytes a unit; Rate is at most 10,000.
	SlidingLog
	// SlidingCounter is close to SlidingLog and keeps three numbers a key: it
	// takes the units of the last window for spread evenly. They were not
	// if they came late in it, and then a span of Per may see up to twice Rate.
	SlidingCounter
	// FixedWindow lets Rate units pass in each window of Per, counted from the
	// server's epoch, so twice Rate around the edge of two windows: for
	// compatibility with what promised just that.
	FixedWindow
)

// String is the algorithm's name in words.
func (a Algorithm) String() string {
	switch a {
	case GCRA:
		return "GCRA"
	case SlidingLog:
		return "sliding log"
	case SlidingCounter:
		return "sliding counter"
	case FixedWindow:
		return "fixed window"
	default:
		return "unknown"
	}
}

// Limit is one policy: Rate units each Per.
type Limit struct {
	// Name stands in decisions, headers and, unless it is "default", in the
	// keys: letters, digits, '-', '_' and '.', 64 at most. Unique in a Limiter.
	// Default: "default".
	Name string
	// Algorithm says how units are counted. Default: GCRA.
	Algorithm Algorithm
	// Rate is how many units there are each Per, 1 to 1,000,000,000. Needed.
	Rate int64
	// Per is the time for Rate units, from 1 ms to 366 days, in whole µs.
	// Default: 1 s.
	Per time.Duration
	// Burst is how many units GCRA has at once. Default: Rate.
	Burst int64
	// Shadow: the limit is decided and counted and never denies, so that one
	// sees what it would do ([Decision].Shadowed). Default: false.
	Shadow bool
}

const (
	defaultName = "default"
	maxName     = 64
	maxRate     = 1_000_000_000
	maxLog      = 10_000
	minPer      = time.Millisecond
	maxPer      = 366 * 24 * time.Hour
	maxCap      = 1 << 52 // Lua's numbers are exact up to twice that
)

// PerSecond is a Limit of n units a second.
func PerSecond(n int64) Limit { return Limit{Rate: n} }

// PerMinute is a Limit of n units a minute, all of them at once if they were
// not used.
func PerMinute(n int64) Limit { return Limit{Rate: n, Per: time.Minute} }

// PerHour is a Limit of n units an hour, all of them at once if they were not
// used.
func PerHour(n int64) Limit { return Limit{Rate: n, Per: time.Hour} }

// policy is a Limit as the scripts want it.
type policy struct {
	Limit

	num, den int64 // a unit costs num/den µs, in lowest terms
	suffix   string
	args     [6]string // of limits.lua
	gcra     [2]string // of gcra.lua, for one unit
}

// check gives the limit with its defaults, or what is wrong with it.
func (l Limit) check() (Limit, error) {
	var wrong []error
	bad := func(field, format string, args ...any) {
		wrong = append(wrong, fmt.Errorf("%s: %s", field, fmt.Sprintf(format, args...)))
	}
	if l.Name == "" {
		l.Name = defaultName
	}
	if len(l.Name) > maxName || strings.ContainsFunc(l.Name, func(r rune) bool { return !plain(r) }) {
		bad("Name", "must be at most %d letters, digits, '-', '_' and '.'", maxName)
	}
	if l.Algorithm > FixedWindow {
		bad("Algorithm", "%d is none of GCRA, SlidingLog, SlidingCounter and FixedWindow", l.Algorithm)
	}
	if l.Rate < 1 || l.Rate > maxRate {
		bad("Rate", "%d is not between 1 and %d", l.Rate, maxRate)
	}
	if l.Algorithm == SlidingLog && l.Rate > maxLog {
		bad("Rate", "%d is beyond the %d units that a sliding log remembers; use GCRA or SlidingCounter", l.Rate, maxLog)
	}
	if l.Per == 0 {
		l.Per = time.Second
	}
	if l.Per < minPer || l.Per > maxPer || l.Per%time.Microsecond != 0 {
		bad("Per", "%v is not between %v and %v, or not in whole microseconds", l.Per, minPer, maxPer)
	}
	switch {
	case l.Burst < 0:
		bad("Burst", "is negative")
	case l.Algorithm != GCRA && l.Burst != 0:
		bad("Burst", "is for GCRA; a window has its Rate at once")
	case l.Burst > maxRate:
		bad("Burst", "%d is beyond %d", l.Burst, maxRate)
	case l.Algorithm == GCRA && l.Burst == 0:
		l.Burst = l.Rate
	}
	if len(wrong) == 0 && l.Algorithm == GCRA {
		if num, _ := l.cost(); l.Burst > maxCap/num {
			bad("Burst", "%d units would take more than 2^52 µs to come back; lower it, or Per", l.Burst)
		}
	}
	return l, errors.Join(wrong...)
}

func plain(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '-' || r == '_' || r == '.'
}

// cost is what a unit costs in µs, as a fraction in lowest terms.
func (l Limit) cost() (num, den int64) {
	num, den = l.Per.Microseconds(), l.Rate
	a, b := num, den
	for b != 0 {
		a, b = b, a%b
	}
	return num / a, den / a
}

// most is how many units there are at once.
func (l Limit) most() int64 {
	if l.Algorithm == GCRA {
		return l.Burst
	}
	return l.Rate
}

// policy prepares a limit that was checked.
func (l Limit) policy() *policy {
	p := &policy{Limit: l}
	p.num, p.den = l.cost()
	if l.Name != defaultName || l.Algorithm != GCRA {
		p.suffix = ":" + l.Name
	}
	switch l.Algorithm {
	case SlidingLog:
		p.suffix += ":log"
	case SlidingCounter:
		p.suffix += ":counter"
	case FixedWindow:
		p.suffix += ":window"
	}
	shadow := "0"
	if l.Shadow {
		shadow = "1"
	}
	p.args = [6]string{
		strconv.Itoa(int(l.Algorithm)), shadow, decimal(l.most()), decimal(l.Per.Microseconds()),
		decimal(p.num), decimal(p.den),
	}
	p.gcra = [2]string{p.args[4], decimal(l.Burst * p.num)}
	return p
}

// simple says that gcra.lua serves the limit when it is alone.
func (p *policy) simple() bool { return p.Algorithm == GCRA && p.den == 1 && !p.Shadow }

func decimal(n int64) string { return strconv.FormatInt(n, 10) }
