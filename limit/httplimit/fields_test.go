package httplimit

import (
	"maps"
	"testing"
	"time"

	"github.com/redstart-go/redstart/limit"
)

const day = 24 * time.Hour

func TestPolicyField(t *testing.T) {
	gcra := func(name string, rate int64, per time.Duration, burst int64) limit.Limit {
		return limit.Limit{Name: name, Rate: rate, Per: per, Burst: burst}
	}
	for _, tc := range []struct {
		name   string
		limits []limit.Limit
		unit   string
		want   string
	}{
		{"one", []limit.Limit{gcra("default", 100, time.Minute, 100)}, "", `"default";q=100;w=60`},
		{"two", []limit.Limit{gcra("burst", 100, time.Minute, 100), gcra("daily", 1000, day, 1000)}, "", `"burst";q=100;w=60, "daily";q=1000;w=86400`},
		{"another unit", []limit.Limit{gcra("b", 65535, 10*time.Second, 65535)}, "content-bytes", `"b";q=65535;w=10;qu="content-bytes"`},
		{"a burst", []limit.Limit{gcra("b", 10, time.Second, 50)}, "", `"b";q=10;w=1;redstart-burst=50`},
		{"a window", []limit.Limit{{Name: "w", Algorithm: limit.FixedWindow, Rate: 5, Per: time.Hour}}, "", `"w";q=5;w=3600`},
		{"below a second", []limit.Limit{gcra("b", 5, 100*time.Millisecond, 5)}, "", `"b";q=50;w=1`},
		{"a second and a half", []limit.Limit{gcra("b", 3, 1500*time.Millisecond, 3)}, "", `"b";q=4;w=2`},
		{"rounded down", []limit.Limit{gcra("b", 1, 700*time.Millisecond, 1)}, "", `"b";q=1;w=1`},
		{"the fastest", []limit.Limit{gcra("b", 1_000_000_000, time.Millisecond, 1_000_000_000)}, "", `"b";q=1000000000000;w=1`},
		{"a shadow between", []limit.Limit{{Name: "s", Rate: 1, Per: time.Second, Burst: 1, Shadow: true}, gcra("b", 1, time.Second, 1)}, "", `"b";q=1;w=1`},
		{"a shadow alone", []limit.Limit{{Name: "s", Rate: 1, Per: time.Second, Burst: 1, Shadow: true}}, "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			unit := tc.unit
			if unit == "" {
				unit = defaultUnit
			}
			got := policyField(tc.limits, unit)
			if got != tc.want {
				t.Errorf("%s, want %s", got, tc.want)
			}
			if got != "" {
				parse(t, []string{got})
			}
		})
	}
}

// No limit is told with more than its rate, or a number that is no Integer.
func TestQuotaNeverAboveTheRate(t *testing.T) {
	rnd := random(t)
	for range 100_000 {
		l := limit.Limit{
			Rate: 1 + rnd.Int64N(1<<rnd.IntN(30)),
			Per:  time.Millisecond + time.Duration(rnd.Int64N(1<<rnd.IntN(45)))*time.Microsecond,
		}
		q, w := quota(l)
		if w < 1 || q < 1 || q > 999_999_999_999_999 || w > 999_999_999_999_999 {
			t.Fatalf("%+v: q=%d;w=%d", l, q, w)
		}
		rate, told := float64(l.Rate)/l.Per.Seconds(), float64(q)/float64(w)
		if told > rate*(1+1e-12) || told < rate-1/float64(w)-rate*1e-12 {
			t.Fatalf("%+v: q=%d;w=%d is %v a second, not %v", l, q, w, told, rate)
		}
	}
}

func TestStateField(t *testing.T) {
	second := limit.State{Policy: "second", Remaining: 0, Denied: true, RetryAfter: 3 * time.Second, NextAfter: time.Nanosecond}
	hour := limit.State{Policy: "hour", Remaining: 500, NextAfter: 36 * time.Second}
	shadow := limit.State{Policy: "shadow", Shadow: true, Denied: true, NextAfter: time.Hour, RetryAfter: time.Hour}
	whole := limit.State{Policy: "whole", Remaining: 7}
	local := limit.State{Policy: "local", Denied: true, RetryAfter: 2500 * time.Millisecond}
	for _, tc := range []struct {
		name    string
		states  []limit.State
		allowed bool
		want    string
		retry   int64
	}{
		{"allowed", []limit.State{hour, shadow, whole}, true, `"hour";r=500;t=36, "whole";r=7`, 0},
		{"denied", []limit.State{second, hour, shadow}, false, `"second";r=0;t=1, "hour";r=500`, 3},
		{"denied without the server", []limit.State{local}, false, `"local";r=0;t=3`, 3},
		{"a shadow alone", []limit.State{shadow}, true, "", 0},
		{"unknown", nil, true, "", 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := stateField(tc.states, tc.allowed); got != tc.want {
				t.Errorf("%s, want %s", got, tc.want)
			}
			if !tc.allowed {
				if got := retryAfter(limit.Decision{RetryAfter: tc.states[0].RetryAfter}, tc.states); got != tc.retry {
					t.Errorf("Retry-After %d, want %d", got, tc.retry)
				}
			}
		})
	}
}

// Retry-After is whole seconds, rounded up, at least 1, and not before any t.
func TestRetryAfter(t *testing.T) {
	for d, want := range map[time.Duration]int64{
		0: 1, time.Microsecond: 1, time.Second: 1, time.Second + time.Microsecond: 2, 90 * time.Second: 90, 366 * day: 366 * 86400,
	} {
		if got := retryAfter(limit.Decision{RetryAfter: d}, nil); got != want {
			t.Errorf("%v: %d, want %d", d, got, want)
		}
	}
	later := []limit.State{{Denied: true, NextAfter: 7 * time.Second}, {Denied: true, Shadow: true, NextAfter: time.Hour}, {NextAfter: time.Hour}}
	if got := retryAfter(limit.Decision{RetryAfter: time.Second}, later); got != 7 {
		t.Errorf("before the t of a limit that denied: %d", got)
	}
}

// The parser of the tests reads an example of the draft, and refuses what is no
// field: it can fail.
func TestParser(t *testing.T) {
	got := parse(t, []string{`"default";r=50;t=30`, `"daily";q=1000;qu="content-bytes"`})
	if len(got) != 2 || got[0].name != "default" || !maps.Equal(got[0].params, map[string]any{"r": int64(50), "t": int64(30)}) ||
		got[1].params["qu"] != "content-bytes" {
		t.Errorf("%v", got)
	}
}
