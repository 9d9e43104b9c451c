package resilience

import (
	"math"
	"time"
)

// BreakerConfig says when a Breaker opens and how it closes again. The zero
// value is the default: by failures in a row.
type BreakerConfig struct {
	// Name goes into errors and changes: what the breaker stands in front of.
	Name string

	// Failures in a row open it. Negative: off. Default: 5, or off where Rate
	// is given.
	Failures int

	// Rate of failures among the calls of a Window opens it, from 0 to 1, once
	// there are MinCalls of them. It may be given beside Failures. Negative:
	// off. Default: off.
	Rate float64

	// Window is what Rate looks back on, in ten steps. Default: 10 s.
	Window time.Duration

	// MinCalls is how many calls in a Window Rate needs to judge. Default: 20.
	MinCalls int

	// Cooldown is how long it stays open before it lets a probe through.
	// Default: 60 s.
	Cooldown time.Duration

	// Probes is how many calls are let through while it is half open; when so
	// many have succeeded it closes, and one failure opens it again.
	// Default: 1.
	Probes int

	// ProbeTimeout is how long a probe may take before another takes its
	// place, so that one that never reports blocks nobody for good.
	// Default: 10 s.
	ProbeTimeout time.Duration

	// Failure says which errors count as failures of the thing called. Of the
	// others, those of an ended context count as nothing and the rest as
	// successes: the thing answered. Default: every error but
	// context.Canceled, and context.DeadlineExceeded where it is the caller's
	// own context that ended.
	Failure func(error) bool

	// OnChange is told of every change of state, one after the other and in
	// order, outside of any lock: it may use the breaker. It runs within a
	// call that changed the state, so it should be quick.
	OnChange func(Change)
}

// Change is a change of a breaker's state.
type Change struct {
	Name     string // the breaker's
	From, To State
	// Err is the failure that opened it, nil for other changes.
	Err error
}

const (
	maxFailures = 1 << 15 // they are counted in 16 bits
	maxProbes   = 1000
)

// withDefaults checks every field and fills in what is zero.
func (cfg BreakerConfig) withDefaults() (BreakerConfig, error) {
	v := invalid{kind: "breaker"}
	if cfg.Rate > 1 || math.IsNaN(cfg.Rate) {
		v.add("Rate", "is %v; give a part of all calls, from 0 to 1", cfg.Rate)
	}
	if cfg.Failures == 0 && cfg.Rate > 0 {
		cfg.Failures = -1
	}
	cfg.Failures = orDefault(cfg.Failures, 5)
	if cfg.Failures > maxFailures {
		v.add("Failures", "is %d; at most %d can be counted", cfg.Failures, maxFailures)
	}
	cfg.MinCalls = orDefault(cfg.MinCalls, 20)
	if cfg.MinCalls < 0 {
		v.add("MinCalls", "is negative; give 1 to judge by the first call")
	}
	cfg.Probes = orDefault(cfg.Probes, 1)
	if cfg.Probes < 0 || cfg.Probes > maxProbes {
		v.add("Probes", "is %d; give a number from 1 to %d", cfg.Probes, maxProbes)
	}
	positive := func(field string, d *time.Duration, def time.Duration) {
		*d = orDefault(*d, def)
		if *d < 0 || *d > noLimit {
			v.add(field, "is %v; it cannot be switched off", *d)
		}
	}
	positive("Window", &cfg.Window, 10*time.Second)
	positive("Cooldown", &cfg.Cooldown, 60*time.Second)
	positive("ProbeTimeout", &cfg.ProbeTimeout, 10*time.Second)
	if cfg.Window > 0 && cfg.Window < steps*time.Millisecond {
		v.add("Window", "is %v; give at least %v", cfg.Window, steps*time.Millisecond)
	}
	return cfg, v.err()
}
