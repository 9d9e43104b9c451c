package limit

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/key"
	"github.com/redstart-go/redstart/redstarttest"
	"github.com/redstart-go/redstart/redstarttest/proxy"
)

func TestConfigReportsAllAtOnce(t *testing.T) {
	_, err := New(open(t, inProcess(t), redstart.Config{}), Config{
		Key: "limit:<a>:<b>", Limits: []Limit{{Rate: 0, Name: "a b"}, {Name: "x", Rate: 1, Per: -1}, {Name: "x", Rate: 1, Burst: -1}},
		OnOutage: 9, Timeout: -1, Processes: -1, BatchFor: -1,
	})
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{
		"Key: has 2", "limit 0: Name", "Rate: 0", "limit 1: Per", "limit 2: Burst", "limit 2: Name: is that of another",
		"OnOutage", "Timeout", "Processes", "BatchFor",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no word of %q in:\n%v", want, err)
		}
	}
}

// Denied requests cost nothing, and no fraction is lost: whatever is asked for
// and when, what was granted is what there was, to the unit.
func TestNothingIsLost(t *testing.T) {
	seed := seedOf(t)
	onServers(t, func(t *testing.T, url string) {
		b, random := newBench(t, url), rand.New(rand.NewPCG(seed, 2))
		for i, l := range []Limit{
			{Rate: 10, Per: 10 * time.Second}, {Rate: 300}, {Rate: 700_001, Burst: 1000}, {Rate: 7, Per: time.Minute}, {Rate: 1_000_000, Burst: 50},
		} {
			limits, err := checked([]Limit{l})
			if err != nil {
				t.Fatal(err)
			}
			p := planOf(limits)
			q := p.policies[0]
			b.key = "lost:" + string(rune('a'+i))
			start, sum := b.now, int64(0)
			for range 300 {
				b.now += 1 + random.Int64N(3*q.num/q.den+3)
				sum += b.run(p, q.Burst, q.Burst).Granted // nearly always denied
				sum += b.run(p, 1, 1+random.Int64N(6)).Granted
			}
			sum += b.run(p, 1, q.Burst).Granted
			for b.run(p, 1, 1).Granted > 0 {
				sum++
			}
			ideal := q.Burst + (b.now-start)*q.den/q.num // unless it was ever whole, when time passes for nothing
			if sum > ideal {
				t.Errorf("%+v: %d granted, the limit is %d", l, sum, ideal)
			}
			drained := b.now
			for sum = 0; b.now < drained+200*q.num/q.den; { // never whole from here on
				b.now += 1 + random.Int64N(q.num/q.den/2+1)
				b.run(p, q.Burst, q.Burst)
				sum += b.run(p, 1, 1+random.Int64N(5)).Granted
				for b.run(p, 1, 1).Granted > 0 {
					sum++
				}
			}
			if ideal := (b.now - drained) * q.den / q.num; sum < ideal-1 || sum > ideal+1 {
				t.Errorf("%+v: %d granted from empty, the ideal is %d", l, sum, ideal)
			}
		}
	})
}

// The server's clock steps back, or the limit is lowered: nobody is locked out for
// longer than the limit itself can deny.
func TestClockStepsBack(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		for i, l := range []Limit{
			{Rate: 10}, {Rate: 7}, {Algorithm: SlidingLog, Rate: 10}, {Algorithm: SlidingCounter, Rate: 10}, {Algorithm: FixedWindow, Rate: 10},
		} {
			limits, _ := checked([]Limit{l})
			p := planOf(limits)
			b := newBench(t, url)
			b.key = "back:" + string(rune('a'+i))
			b.run(p, 1, l.Rate)
			b.now -= time.Hour.Microseconds()
			if d := b.run(p, 1, 1); d.Allowed && l.Algorithm == SlidingLog || d.RetryAfter > 2*time.Second {
				t.Errorf("%v: after the step %+v", l.Algorithm, d)
			}
			admitted := int64(0)
			for range 30 {
				b.now += 100_000
				admitted += b.run(p, 1, 1).Granted
			}
			if admitted < 10 || admitted > 30 {
				t.Errorf("%v: %d admitted in the 3 s after the step, of 30", l.Algorithm, admitted)
			}
		}
	})
}

func TestLimitIsLowered(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		limit := PerHour(1)
		l := limiter(t, open(t, url, redstart.Config{}), Config{LimitsOf: func(string) []Limit { return []Limit{limit} }})
		if d := take(t, l, "a", 1); !d.Allowed {
			t.Fatalf("%+v", d)
		}
		if d := take(t, l, "a", 1); d.Allowed || d.RetryAfter < 50*time.Minute {
			t.Fatalf("%+v", d)
		}
		limit = Limit{Rate: 10, Burst: 2} // what was taken takes at most 200 ms to come back, where it took an hour
		if d := take(t, l, "a", 1); d.Allowed || d.RetryAfter > 100*time.Millisecond || d.Source != SourceServer {
			t.Errorf("at the new limit: %+v", d)
		}
		if err := l.Wait(t.Context(), "a", 1); err != nil {
			t.Error(err)
		}
		limit = Limit{Rate: -1}
		if _, err := l.Take(t.Context(), "a", 1); err == nil || redstart.OutcomeOf(err) != redstart.NotApplied {
			t.Errorf("a limit that is none: %v", err)
		}
	})
}

// The sliding counter errs as its documentation says: less than twice the rate in
// any period, which a burst late in a window shows to be honest, and the rate when
// units come evenly.
func TestSlidingCounterErrs(t *testing.T) {
	b := newBench(t, inProcess(t))
	const rate, per = 100, 1_000_000
	limits, _ := checked([]Limit{{Algorithm: SlidingCounter, Rate: rate}})
	p := planOf(limits)
	worst := func(name string, step int64) (most int64) {
		b.key = "counter:" + name
		b.now = (b.now/per+3)*per + per - 1 // the end of a window
		var at []int64
		for range 1500 {
			for range b.run(p, 1, rate).Granted {
				at = append(at, b.now)
			}
			b.now += step
		}
		for i, from := range at {
			n := int64(0)
			for _, a := range at[i:] {
				if a < from+per {
					n++
				}
			}
			most = max(most, n)
		}
		return most
	}
	late, even := worst("late", per/200), int64(0)
	if late >= 2*rate || late < 3*rate/2 {
		t.Errorf("%d in a period after a burst late in a window; between 150 and 200 were promised", late)
	}
	b.key, b.now = "counter:even", (b.now/per+3)*per
	var at []int64
	for range 1000 { // 1.25 times the rate, evenly
		if b.run(p, 1, 1).Allowed {
			at = append(at, b.now)
		}
		b.now += per / (rate * 5 / 4)
	}
	for i := range at[rate*2:] { // when it has settled
		n := int64(0)
		for _, a := range at[rate*2+i:] {
			if a < at[rate*2+i]+per {
				n++
			}
		}
		even = max(even, n)
	}
	t.Logf("most in any period, of %d: %d after a late burst, %d with even arrivals", rate, late, even)
	if even > rate*5/4 {
		t.Errorf("%d in a period with even arrivals", even)
	}
}

// What is sent does not hold a clock: a process whose clock is an hour off sends
// the same, to the byte.
func TestClientsClockIsNotSent(t *testing.T) {
	alone(t, func(t *testing.T, s *redstarttest.Server) {
		var sent [2]string
		for i, off := range []time.Duration{0, time.Hour} {
			command(t, s, "FLUSHALL")
			px, err := proxy.New(s.Addr())
			if err != nil {
				t.Fatal(err)
			}
			c := open(t, px.URL(), redstart.Config{})
			l := limiter(t, c, Config{Limits: []Limit{PerMinute(2), {Name: "b", Rate: 3, Algorithm: SlidingLog, Per: time.Minute}}, Denials: -1})
			own := l.clock
			l.clock = func() time.Duration { return own() + off }
			_ = take(t, l, "warm", 1) // the script's text
			rule := px.AddRule(proxy.Rule{Match: proxy.Named("EVALSHA"), On: func(cmd []string) { sent[i] += strings.Join(cmd, " ") + "\n" }})
			for range 4 {
				take(t, l, "a", 1)
			}
			if err := l.Refund(t.Context(), "a", 1); err != nil {
				t.Fatal(err)
			}
			rule.Remove()
			c.Close()
			px.Close()
		}
		if sent[0] != sent[1] || !strings.Contains(sent[0], "EVALSHA") {
			t.Errorf("sent:\n%s\nan hour off:\n%s", sent[0], sent[1])
		}
	})
}

func TestNever(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		l := limiter(t, open(t, url, redstart.Config{}), Config{Limits: []Limit{PerHour(5), {Name: "shadow", Rate: 1, Shadow: true}}})
		for _, err := range []error{
			func() error { _, err := l.Take(t.Context(), "a", 6); return err }(), l.Wait(t.Context(), "a", 6),
		} {
			if !errors.Is(err, ErrNever) || redstart.OutcomeOf(err) != redstart.NotApplied {
				t.Errorf("6 of 5: %v", err)
			}
		}
		for _, n := range []int64{0, -1} {
			if _, err := l.Take(t.Context(), "a", n); !errors.Is(err, ErrUnits) {
				t.Errorf("Take(%d): %v", n, err)
			}
			if err := l.Refund(t.Context(), "a", n); !errors.Is(err, ErrUnits) {
				t.Errorf("Refund(%d): %v", n, err)
			}
		}
		if d, err := l.TakeUpTo(t.Context(), "a", 99); err != nil || d.Granted != 5 || !d.Shadowed {
			t.Errorf("up to 99 of 5: %+v, %v", d, err)
		}
	})
}

// strange are ids as only an attacker sends them.
var strange = []string{"", "{", "}", "{}", "}x{", "a:b", "a%3Ab", "%sha256_x", "a\x00b", "ключ", strings.Repeat("x", 10<<10), strings.Repeat("{", 10<<10)}

func TestStrangeIDs(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		l := limiter(t, open(t, url, redstart.Config{Namespace: "shop"}), Config{Limits: []Limit{{Name: "a", Rate: 1, Per: time.Hour}, {Name: "b", Rate: 2, Per: time.Hour}}})
		seen := map[string]string{}
		for _, id := range strange {
			if d := take(t, l, id, 1); !d.Allowed {
				t.Errorf("%.20q shares a key", id)
			}
			if d := take(t, l, id, 1); d.Allowed || d.Policy != "a" {
				t.Errorf("%.20q: %+v", id, d)
			}
			k := l.keys.of(id)
			if other, ok := seen[k]; ok {
				t.Errorf("%.20q and %.20q share %q", id, other, k)
			}
			seen[k] = id
		}
	})
}

func FuzzKeys(f *testing.F) {
	for _, id := range strange {
		f.Add(id, id+"x")
	}
	ks, err := keysOf(key.MustParse("shop:limit:{<id>}"))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		ka, kb := ks.of(a), ks.of(b)
		if (ka == kb) != (a == b) {
			t.Fatalf("%q and %q: %q and %q", a, b, ka, kb)
		}
		const longest = ":" + "0123456789012345678901234567890123456789012345678901234567890123" + ":counter"
		if len(ka+longest) > key.MaxLen || key.Slot(ka) != key.Slot(ka+longest) {
			t.Fatalf("%q: %d bytes, or another slot with a suffix", ka, len(ka))
		}
	})
}

// A reply that was lost may have cost units; it never gives any.
func TestLostReply(t *testing.T) {
	alone(t, func(t *testing.T, s *redstarttest.Server) {
		px, err := proxy.New(s.Addr())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(px.Close)
		l := limiter(t, open(t, px.URL(), redstart.Config{Timeout: 400 * time.Millisecond}), Config{Limits: []Limit{PerHour(10)}, OnOutage: Deny})
		take(t, l, "a", 1)
		rule := px.AddRule(proxy.Rule{Match: proxy.Named("EVALSHA"), Nth: 1, Action: proxy.SwallowReply(proxy.CutConnection)})
		d, err := l.Take(t.Context(), "a", 1)
		if err != nil || d.Allowed || d.Source != SourceOutage || redstart.OutcomeOf(d.Err) != redstart.Unknown {
			t.Fatalf("%+v, %v (struck %d)", d, err, rule.Hits())
		}
		granted := int64(0)
		redstarttest.Eventually(t, 20*time.Second, "the limit used up", func() bool {
			d, _ := l.Take(context.Background(), "a", 1)
			granted += d.Granted
			return d.Source == SourceServer && !d.Allowed
		})
		if granted != 8 {
			t.Errorf("%d granted after the lost one, of 8", granted)
		}
	})
}
