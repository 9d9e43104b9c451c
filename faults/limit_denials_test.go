package faults

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/faults/harness"
	"github.com/redstart-go/redstart/faults/naive"
	"github.com/redstart-go/redstart/limit"
	"github.com/redstart-go/redstart/redstarttest"
)

// greedy takes all units there are of a limit for a while, with denials of every
// kind in between, and gives what was granted and what should have been: the
// burst and what came back from just after the first grant to just before the
// last denial, and as seen from the outer sides of both.
func greedy(t *testing.T, limiters []*limit.Limiter, l limit.Limit, within time.Duration) (granted, denied int64, least, most float64) {
	t.Helper()
	var sum, none atomic.Int64
	note := func(d limit.Decision, err error) limit.Decision {
		if err != nil || d.Err != nil {
			t.Errorf("%+v, %v", d, err)
		}
		sum.Add(d.Granted)
		if !d.Allowed {
			none.Add(1)
		}
		return d
	}
	began := harness.Monotonic()
	note(limiters[0].Take(t.Context(), "a", 1))
	whole := harness.Monotonic()
	ctx, stop := context.WithTimeout(t.Context(), within)
	defer stop()
	var work sync.WaitGroup
	for i, from := range limiters {
		for c := range 6 {
			work.Go(func() {
				rng := harness.Rand(uint64(i), "greedy", c)
				for ctx.Err() == nil && !t.Failed() {
					switch c {
					case 0: // asks for more than there is
						note(from.Take(t.Context(), "a", l.Burst/2+rng.Int64N(l.Burst/2)))
					case 1:
						note(from.TakeUpTo(t.Context(), "a", 1+rng.Int64N(10)))
					case 2:
						if _, err := from.Peek(t.Context(), "a"); err != nil {
							t.Error(err)
						}
					default:
						note(from.Take(t.Context(), "a", 1+rng.Int64N(3)))
					}
					rest(ctx, time.Duration(rng.IntN(500))*time.Microsecond)
				}
			})
		}
	}
	work.Wait()
	var asked, answered uint64
	for last := (limit.Decision{Allowed: true}); last.Allowed && !t.Failed(); { // until nothing is left
		asked = harness.Monotonic()
		last = note(limiters[0].Take(t.Context(), "a", 1))
		answered = harness.Monotonic()
	}
	ideal := func(span uint64) float64 {
		return float64(l.Burst) + float64(l.Rate)*float64(span)/float64(l.Per)
	}
	return sum.Load(), none.Load(), ideal(asked - whole), ideal(answered - began)
}

// TestL2DenialsCostNothing: the grants are what the limit says, to the unit,
// however many denials are mixed in; and a denial changes no byte of a key.
func TestL2DenialsCostNothing(t *testing.T) {
	form := harness.Run(t)
	harness.Seed(t)
	within := harness.Choose(form, 1200*time.Millisecond, 12*time.Second)
	var servers []string
	var granted, denied, untouched int64
	off, blur := 0.0, 0.0
	for _, l := range launchers(t, form, false) {
		t.Run(l.Name, func(t *testing.T) {
			server, name := start(t, l, redstarttest.ServerConfig{})
			servers = append(servers, name)
			// Bursts that are never whole again, however slow the machine.
			for i, one := range []limit.Limit{{Rate: 200, Per: time.Second, Burst: 400}, {Rate: 300, Per: time.Second, Burst: 600}} {
				var limiters []*limit.Limiter
				for _, denials := range []int{-1, 100} {
					made, err := limit.New(openHere(t, server.URL(), redstart.Config{}), limit.Config{
						Key: fmt.Sprintf("l2-%d:{<id>}", i), Limits: []limit.Limit{one}, Denials: denials, Timeout: 10 * time.Second,
					})
					if err != nil {
						t.Fatal(err)
					}
					limiters = append(limiters, made)
				}
				sum, none, least, most := greedy(t, limiters, one, within)
				if float64(sum) > most || float64(sum) < least-1 {
					t.Errorf("%d units of %d a second granted; the ideal is %.2f to %.2f", sum, one.Rate, least, most)
				}
				if none < sum/2 {
					t.Errorf("%d denials beside %d units; the run proves nothing", none, sum)
				}
				t.Logf("%d units, ideal %.2f to %.2f, %d denials", sum, least, most, none)
				granted, denied = granted+sum, denied+none
				off, blur = max(off, least-float64(sum), float64(sum)-most), max(blur, most-least)
			}
			untouched += denialsTouchNothing(t, server)
		})
	}
	share := naiveShare(t)
	keep(t, form, "L2", servers, "%d units granted beside %d denials, at most %.2f units off the ideal, which is known to %.2f units (GCRA, whole and fractional cost, of two clients); %d denials of each algorithm and of all as one left their keys and TTLs as they were, to the byte (a sliding log in a sorted set, which adds what it denies: %d %% of its limit granted)",
		granted, denied, off, blur, untouched, share)
}

// denialsTouchNothing denies on keys that do not change by themselves, and
// gives how often.
func denialsTouchNothing(t *testing.T, server *redstarttest.Server) (n int64) {
	t.Helper()
	c := openHere(t, server.URL(), redstart.Config{})
	year := 366 * 24 * time.Hour
	sets := [][]limit.Limit{
		{{Rate: 10, Per: year}},
		{{Rate: 7, Per: year}},
		{{Algorithm: limit.SlidingLog, Rate: 10, Per: year}},
		{{Algorithm: limit.SlidingCounter, Rate: 10, Per: year}},
		{{Algorithm: limit.FixedWindow, Rate: 10, Per: year}},
	}
	var both []limit.Limit
	for i, s := range sets {
		s[0].Name = fmt.Sprint("limit", i)
		both = append(both, s[0])
	}
	roomy := limit.Limit{Name: "roomy", Rate: 10_000, Per: year}
	sets = append(sets, append(both, roomy), []limit.Limit{roomy, {Name: "shadow", Rate: 10, Per: year, Shadow: true}, both[2]})
	state := func() []string {
		reply, err := server.Do(t.Context(), "EVAL", `local all = {}
			for _, k in ipairs(redis.call('KEYS', 'zero*')) do
				all[#all + 1] = k .. ' ' .. redis.call('DUMP', k) .. ' ' .. redis.call('PEXPIRETIME', k)
			end
			return all`, "0")
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, r := range reply.([]any) {
			out = append(out, r.(string))
		}
		return slices.Sorted(slices.Values(out))
	}
	for i, limits := range sets {
		l, err := limit.New(c, limit.Config{Key: fmt.Sprintf("zero%d:{<id>}", i), Limits: limits, Denials: -1, Timeout: 10 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		if d, err := l.TakeUpTo(t.Context(), "a", 6); err != nil || !d.Allowed {
			t.Fatalf("%+v, %v", d, err)
		}
		before := state()
		for k := range int64(500) {
			if d, err := l.Take(t.Context(), "a", 5+k%3); err != nil || d.Allowed {
				t.Fatalf("%+v, %v; want a denial", d, err)
			}
			n++
		}
		if after := state(); !slices.Equal(before, after) {
			t.Errorf("denials of %+v changed %q to %q", limits, before, after)
		}
	}
	return n
}

// naiveShare is how much of its limit a naive sliding log grants to those who
// do not stop asking, in per cent.
func naiveShare(t *testing.T) (share int) {
	t.Helper()
	t.Run("ZADD", func(t *testing.T) {
		server := redstarttest.Run(t, redstarttest.ServerConfig{})
		client, err := plain(server.URL())
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		const rate, within = 30, 2500 * time.Millisecond
		log := naive.SortedLog{ClientWindow: naive.ClientWindow{Counter: naive.Counter{Client: client, Limit: rate, Window: time.Second}, Now: time.Now}}
		granted := 0
		for end := time.Now().Add(within); time.Now().Before(end); {
			ok, err := log.Take(t.Context(), "a")
			if err != nil {
				t.Fatal(err)
			}
			if ok {
				granted++
			}
		}
		ideal := rate * int(1+within/time.Second)
		if granted >= ideal-1 {
			t.Errorf("the count finds no fault with it: %d of %d", granted, ideal)
		}
		share = 100 * granted / ideal
	})
	return share
}
