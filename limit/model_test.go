package limit

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/redstart-go/redstart"
)

// model is a limit in plain Go, on a clock that the test moves. Each keeps all
// that happened and counts it afresh at every question, with fractions as exact
// integers, so that it shares no arithmetic with the scripts.
type model struct {
	*policy

	level int64   // GCRA: used, in µs times the denominator, at time seen
	seen  int64   // µs
	taken []int64 // windows: when each unit was taken, in µs
}

// room is how many units there are at a time.
func (m *model) room(now int64) int64 {
	per := m.Per.Microseconds()
	switch m.Algorithm {
	case SlidingLog:
		return m.Rate - m.between(now-per, now)
	case SlidingCounter:
		start := now / per * per
		used := m.between(start-1, now)*per + m.between(start-per-1, start-1)*(start+per-now)
		return max((m.Rate*per-used)/per, 0)
	case FixedWindow:
		return m.Rate - m.between(now/per*per-1, now)
	default:
		m.settle(now)
		return (m.Burst*m.num - m.level) / m.num
	}
}

// between counts the units after one time, up to another.
func (m *model) between(after, upTo int64) (n int64) {
	for _, at := range m.taken {
		if at > after && at <= upTo {
			n++
		}
	}
	return n
}

// settle lets what was used come back.
func (m *model) settle(now int64) {
	m.level = max(m.level-(now-m.seen)*m.den, 0)
	m.seen = now
}

func (m *model) take(now, n int64) {
	m.settle(now)
	m.level += n * m.num
	for range n {
		m.taken = append(m.taken, now)
	}
}

func (m *model) refund(now, n int64) {
	m.settle(now)
	m.level = max(m.level-n*m.num, 0)
	per := m.Per.Microseconds()
	from := now - per // what is still counted
	if m.Algorithm != SlidingLog {
		from = now/per*per - 1
	}
	for ; n > 0 && len(m.taken) > 0 && m.taken[len(m.taken)-1] > from; n-- {
		m.taken = m.taken[:len(m.taken)-1]
	}
}

// onClock is a script's text, unchanged, behind a redis.call of the test's: the
// time is the last argument, and what the script lets expire lives an hour longer,
// since the test's clock may stand still while the server's does not.
func onClock(text string) string {
	return `local server = redis
local redis = { error_reply = server.error_reply, call = function(name, ...)
	local args = { ... }
	if name == 'TIME' then
		local now = ARGV[#ARGV]
		return { string.sub(now, 1, -7), tonumber(string.sub(now, -6), 10) }
	elseif name == 'SET' then
		args[4] = string.format('%.0f', args[4] + 3600000)
	elseif name == 'PEXPIRE' then
		args[2] = string.format('%.0f', args[2] + 3600000)
	end
	return server.call(name, unpack(args))
end }
` + text
}

// bench runs the scripts' own text on a clock that the test moves.
type bench struct {
	t            *testing.T
	c            *redstart.Client
	gcra, limits *redstart.Script
	now          int64 // µs
	key          string
	ran          time.Time
	ends         map[string]int64 // when the keys end, by the test's clock
}

func newBench(t *testing.T, url string) *bench {
	return &bench{
		t: t, c: open(t, url, redstart.Config{}), now: 1_795_514_400_123_456,
		gcra: redstart.NewScript("gcra", onClock(gcraText)), limits: redstart.NewScript("limits", onClock(limitsText)), ends: map[string]int64{},
	}
}

func (b *bench) numbers(r rueidis.RedisResult) []int64 {
	b.t.Helper()
	out, err := r.AsIntSlice()
	if err != nil {
		b.t.Fatal(err)
	}
	return out
}

// run asks for units as the limiter does.
func (b *bench) run(p plan, least, most int64) Decision {
	b.t.Helper()
	for k, end := range b.ends {
		if b.now >= end {
			delete(b.ends, k)
			if err := b.c.Do(b.t.Context(), b.c.B().Del().Key(k).Build()).Error(); err != nil {
				b.t.Fatal(err)
			}
		}
	}
	clock := strconv.FormatInt(b.now, 10)
	b.ran = time.Now()
	if p.simple && least == most && least > 0 {
		one := p.policies[0]
		n, err := b.gcra.Exec(b.t.Context(), b.c, []string{b.key + one.suffix}, []string{decimal(most * one.num), one.gcra[1], clock}).AsInt64()
		if err != nil {
			b.t.Fatal(err)
		}
		return one.decision(most, n)
	}
	return p.decision(b.numbers(b.limits.Exec(b.t.Context(), b.c, p.keys(b.key), append(p.args(least, most), clock))))
}

// seedOf gives a run's seed, printed so that it can be run again.
func seedOf(t *testing.T) uint64 {
	t.Helper()
	seed := rand.Uint64()
	if s := os.Getenv("REDSTART_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("seed %d (REDSTART_SEED)", seed)
	return seed
}

// Any trace of takes, takes of what there is, refunds and looks at any limits,
// one or several together, shadows among them, is answered as the model answers
// it: what passes, what is left, and when what was denied is there, to the
// microsecond. And nothing is ever kept for longer than it can matter.
func TestModel(t *testing.T) {
	seed := seedOf(t)
	onServers(t, func(t *testing.T, url string) {
		b := newBench(t, url)
		random := rand.New(rand.NewPCG(seed, 1))
		traces := 60
		if testing.Short() {
			traces = 15
		}
		for trace := range traces {
			b.key = fmt.Sprintf("limit:{%d}", trace)
			b.now += random.Int64N(1e10)
			oneTrace(b, random)
			if t.Failed() {
				return
			}
		}
	})
}

// someLimits gives one to three limits.
func someLimits(random *rand.Rand) []Limit {
	out := make([]Limit, 1+random.IntN(3)/2*(1+random.IntN(2)))
	for i := range out {
		l := Limit{
			Name: string(rune('a' + i)), Algorithm: Algorithm(random.IntN(4)), Rate: 1 + random.Int64N(20),
			Per: time.Duration(1+random.Int64N(5_000)) * time.Millisecond, Shadow: random.IntN(5) == 0,
		}
		if len(out) == 1 && random.IntN(2) == 0 {
			l.Algorithm, l.Shadow, l.Rate = GCRA, false, []int64{1, 2, 5, 10, 1000}[random.IntN(5)]
			l.Per = time.Second
		}
		if l.Algorithm == GCRA && random.IntN(2) == 0 {
			l.Burst = 1 + random.Int64N(30)
		}
		out[i] = l
	}
	return out
}

func oneTrace(b *bench, random *rand.Rand) {
	limits, err := checked(someLimits(random))
	if err != nil {
		b.t.Fatal(err)
	}
	p := planOf(limits)
	models := make([]*model, len(p.policies))
	shortest := int64(1 << 62)
	for i, q := range p.policies {
		models[i] = &model{policy: q, seen: b.now}
		shortest = min(shortest, q.Per.Microseconds())
	}
	fail := func(format string, args ...any) {
		b.t.Errorf("%+v at %d: %s", limits, b.now, fmt.Sprintf(format, args...))
	}
	for range 60 {
		switch random.IntN(4) {
		case 0: // at the same microsecond
		case 1:
			b.now += random.Int64N(shortest + 1)
		case 2:
			b.now += random.Int64N(shortest/5 + 1)
		default:
			b.now += shortest / max(limits[0].Rate, 1)
		}
		n := 1 + random.Int64N(3)
		switch random.IntN(12) {
		case 0:
			got := b.run(p, 0, 0)
			checkStates(b, models, got, fail)
		case 1:
			got := b.run(p, -n, -n)
			for _, m := range models {
				m.refund(b.now, n)
			}
			checkStates(b, models, got, fail)
		case 2:
			checkTake(b, p, models, 1, n*4, fail)
		default:
			if p.ever(n) == nil {
				checkTake(b, p, models, n, n, fail)
			}
		}
		if b.t.Failed() {
			return
		}
	}
}

// checkTake takes, and compares with the models.
func checkTake(b *bench, p plan, models []*model, least, most int64, fail func(string, ...any)) {
	want, room := most, make([]int64, len(models))
	for i, m := range models {
		room[i] = m.room(b.now)
		if !m.Shadow {
			want = min(want, room[i])
		}
	}
	if want < least {
		want = 0
	}
	got := b.run(p, least, most)
	if got.Granted != want || got.Allowed != (want > 0) {
		fail("take %d to %d: %+v, the model grants %d", least, most, got, want)
		return
	}
	shadowed := false
	asked := max(want, least)
	for i, m := range models {
		if m.Shadow && room[i] < asked {
			shadowed = true
		} else if want > 0 {
			m.take(b.now, want)
		}
	}
	if got.Shadowed != shadowed {
		fail("shadowed %v, the model says %v", got.Shadowed, shadowed)
	}
	checkStates(b, models, got, fail)
	if want == 0 {
		checkRetry(b, models, got, least, fail)
	}
}

// checkStates compares what is left, and looks at the TTLs.
func checkStates(b *bench, models []*model, got Decision, fail func(string, ...any)) {
	states := got.Each
	if states == nil {
		states = []State{{Remaining: got.Remaining, ResetAfter: got.ResetAfter, NextAfter: got.NextAfter, Limit: got.Limit}}
	}
	for i, m := range models {
		s := states[i]
		room := m.room(b.now)
		if s.Remaining != room || s.Limit != m.most() {
			fail("%d left of %d, the model has %d of %d", s.Remaining, s.Limit, room, m.most())
		}
		if room == m.most() != (s.NextAfter == 0) {
			fail("next after %v with %d of %d left", s.NextAfter, room, m.most())
		}
		if s.NextAfter > 0 {
			at := b.now + s.NextAfter.Microseconds()
			if before, then := copyOf(m).room(at-1), copyOf(m).room(at); then <= room || before > room {
				fail("%s: one more after %v: %d just before, %d then, %d now", m.Algorithm, s.NextAfter, before, then, room)
			}
		}
		if whole := copyOf(m).room(b.now + s.ResetAfter.Microseconds()); whole != m.most() {
			fail("%s: whole after %v: %d of %d", m.Algorithm, s.ResetAfter, whole, m.most())
		}
		checkTTL(b, m, fail)
	}
}

func copyOf(m *model) *model {
	other := *m
	return &other
}

// checkRetry: what was denied is there after RetryAfter, and not a microsecond
// before.
func checkRetry(b *bench, models []*model, got Decision, n int64, fail func(string, ...any)) {
	there := func(at int64) bool {
		for _, m := range models {
			if !m.Shadow && copyOf(m).room(at) < n {
				return false
			}
		}
		return true
	}
	at := b.now + got.RetryAfter.Microseconds()
	if got.RetryAfter <= 0 || there(at-1) {
		fail("retry after %v: the units are there before", got.RetryAfter)
	}
	if len(models) == 1 && !there(at) { // several may each become free and busy again
		fail("retry after %v: the units are not there", got.RetryAfter)
	}
}

// longest is for how long a limit's key can matter.
func longest(q *policy) time.Duration {
	switch q.Algorithm {
	case GCRA:
		return micros(q.Burst*q.num/q.den) + 2*time.Millisecond
	case SlidingCounter:
		return 2*q.Per + time.Millisecond
	default:
		return q.Per + time.Millisecond
	}
}

// checkTTL: every key ends, and not much later than it can matter. (That it does
// not end before shows later, when what it said is missing.)
func checkTTL(b *bench, m *model, fail func(string, ...any)) {
	k := b.key + m.suffix
	asked := time.Now()
	ms, err := b.c.Do(b.t.Context(), b.c.B().Pttl().Key(k).Build()).AsInt64()
	if err != nil {
		b.t.Fatal(err)
	}
	const more = 3_600_000 // see onClock
	switch {
	case ms == -2: // there is none
	case ms < 0, time.Duration(ms-more)*time.Millisecond > longest(m.policy):
		fail("%s: the key lives for %d ms, %v at most is of use", m.Algorithm, ms-more, longest(m.policy))
	default:
		ran := time.Since(asked) + time.Since(b.ran)
		b.ends[k] = max(b.ends[k], b.now+(ms-more+2)*1000+ran.Microseconds()) // it may have been written long before
	}
}
