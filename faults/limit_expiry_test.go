package faults

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/redstart-go/redstart/faults/harness"
	"github.com/redstart-go/redstart/faults/history"
	"github.com/redstart-go/redstart/limit"
	"github.com/redstart-go/redstart/redstarttest"
	"github.com/redstart-go/redstart/redstarttest/proxy"
)

// changing are limits that somebody changes all the time: the same names and
// algorithms, other sizes. mays is how long their keys may live, by the keys'
// ends.
func changing() (pots []pot, mays map[string]time.Duration) {
	const ms = time.Millisecond
	set := func(rate int64, per time.Duration) []limit.Limit {
		return []limit.Limit{
			{Rate: rate, Per: per, Burst: 2 * rate},
			{Name: "b", Algorithm: limit.SlidingLog, Rate: rate, Per: per},
			{Name: "c", Algorithm: limit.SlidingCounter, Rate: rate, Per: per},
			{Name: "d", Algorithm: limit.FixedWindow, Rate: 2 * rate, Per: per},
			{Name: "e", Rate: 3, Per: per, Shadow: true},
		}
	}
	alone := func(i int) pot { return pot{Sets: [][]limit.Limit{{set(20, 300*ms)[i]}}} }
	pots = []pot{
		{Sets: [][]limit.Limit{set(10, 200*ms), set(7, 900*ms), set(100, 50*ms)}},
		alone(0), alone(1), alone(2), alone(3),
		{Sets: [][]limit.Limit{{{Rate: 20, Per: 300 * ms, Burst: 40}}}, Batch: 5},
	}
	return pots, map[string]time.Duration{
		"}": 1800 * ms, "}:b:log": 900 * ms, "}:c:counter": 1800 * ms, "}:d:window": 900 * ms, "}:e": 900 * ms,
	}
}

// left lists every key of a server and how long it lives, at one moment.
func left(ctx context.Context, s *redstarttest.Server, mays map[string]time.Duration) ([]history.Left, error) {
	reply, err := s.Do(ctx, "EVAL", `local all = {}
		for _, k in ipairs(redis.call('KEYS', '*')) do
			all[#all + 1] = k
			all[#all + 1] = redis.call('PTTL', k)
		end
		return all`, "0")
	if err != nil {
		return nil, err
	}
	var all []history.Left
	words := reply.([]any)
	for i := 0; i < len(words); i += 2 {
		k := words[i].(string)
		end := k
		if at := strings.LastIndex(k, "}"); at >= 0 {
			end = k[at:]
		}
		left := words[i+1].(int64)
		// A TTL is in whole ms, rounded up.
		all = append(all, history.Left{Key: k, Lives: time.Duration(left) * time.Millisecond, May: mays[end] + time.Millisecond})
	}
	return all, nil
}

// TestL3EveryKeyExpires: every key is looked at again and again while limits
// change, units are taken and given back and everything fails that can; when
// the traffic is over all of them go by themselves.
func TestL3EveryKeyExpires(t *testing.T) {
	form := harness.Run(t)
	seed := harness.Seed(t)
	pots, mays := changing()
	var servers []string
	seen, scans, took := 0, 0, ""
	for _, l := range launchers(t, form, false) {
		t.Run(l.Name, func(t *testing.T) {
			s, name := besiege(t, l, seed, 3, spenderArg{Recipe: redstarts, Pots: pots, IDs: 30, Units: 4, Callers: 8, Refunds: true})
			servers = append(servers, name)
			look := func() {
				s.pause(10, 60)
				all, err := left(t.Context(), s.server, mays)
				if err != nil {
					t.Fatal(err)
				}
				first(t, history.Endless(all))
				seen, scans = seen+len(all), scans+1
			}
			faults := s.everything()
			for range 5 {
				faults = append(faults, look, look)
			}
			s.rage(harness.Choose(form, 3*time.Second, 25*time.Second), 0, faults)
			sum, _ := s.halt()
			s.stricken(sum)
			look()
			redstarttest.Eventually(t, 10*time.Second, "every key is gone", func() bool {
				all, err := left(t.Context(), s.server, mays)
				return err == nil && len(all) == 0
			})
			took = s.String()
			t.Logf("%+v, %d keys in %d looks: %s", sum, seen, scans, took)
		})
	}
	if seen < 1000 {
		t.Errorf("%d keys were seen; the run proves nothing", seen)
	}
	stay := naiveStays(t)
	keep(t, form, "L3", servers, "0 of %d keys seen in %d looks had no TTL or lived longer than their limit can need, while all algorithms ran alone, in batches and as one, under limits that changed at every call, with refunds and resets; 0 keys left afterwards; on each server as here: %s (GET, compare, INCR, then EXPIRE, a reply lost: %d of %d keys stay for ever)", seen, scans, took, stay, naiveIDs)
}

const naiveIDs = 5

// naiveStays is how many keys of the naive recipe never expire after one reply
// was lost for each.
func naiveStays(t *testing.T) (stay int) {
	t.Helper()
	t.Run(getIncr, func(t *testing.T) {
		server := redstarttest.Run(t, redstarttest.ServerConfig{})
		way := newProxy(t, server)
		rule := way.AddRule(proxy.Rule{Match: proxy.Named("INCR"), Action: proxy.SwallowReply(proxy.CutConnection)})
		arg := spenderArg{Recipe: getIncr, URL: way.URL(), History: t.TempDir(), Pots: []pot{{Sets: [][]limit.Limit{{{Rate: 20, Per: time.Second}}}}}, IDs: naiveIDs, Units: 1, Callers: naiveIDs, Seed: 1}
		child := harness.Start(t, "spender", arg)
		redstarttest.Eventually(t, 30*time.Second, "a reply is lost for each id", func() bool {
			all, err := left(t.Context(), server, nil)
			return err == nil && len(all) == naiveIDs
		})
		rule.Remove()
		child.Close()
		all, err := left(t.Context(), server, nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := range all {
			all[i].May = 2 * time.Second
		}
		stay = len(history.Endless(all))
		if stay == 0 {
			t.Error("the checker finds no fault with it")
		}
	})
	return stay
}
