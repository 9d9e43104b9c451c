package limit

import "time"

// Source says what decided.
type Source uint8

const (
	// SourceServer: the server, just now.
	SourceServer Source = iota
	// SourceDenied: the server, a moment ago: the units cannot be there yet.
	SourceDenied
	// SourceBatch: this process, from units that it took from the server before.
	SourceBatch
	// SourceLocal: this process alone, for want of the server ([Local]).
	SourceLocal
	// SourceOutage: nobody: the server did not answer, and [Allow] or [Deny]
	// say what then.
	SourceOutage
)

// String is the source in a word.
func (s Source) String() string {
	switch s {
	case SourceDenied:
		return "denied"
	case SourceBatch:
		return "batch"
	case SourceLocal:
		return "local"
	case SourceOutage:
		return "outage"
	default:
		return "server"
	}
}

// Decision is the answer to a call. Durations count from the server's answer.
type Decision struct {
	// Allowed: go on. Granted units were taken.
	Allowed bool
	// Granted is how many units were taken, 0 when denied.
	Granted int64
	// Remaining is how many units the tightest limit has left, Limit how many
	// it has at most.
	Remaining, Limit int64
	// RetryAfter is when the units that were denied can be there at the
	// earliest, if nobody else takes them. 0 when allowed.
	RetryAfter time.Duration
	// ResetAfter is when the tightest limit is whole again if nobody takes more.
	ResetAfter time.Duration
	// NextAfter is when the tightest limit has one more unit than it has now; 0
	// when it is whole.
	NextAfter time.Duration
	// Policy is the name of the tightest limit: of those that deny the one
	// that denies for longest, else the one with the fewest units left. A
	// shadow is it only if all are shadows.
	Policy string
	// Source says what decided.
	Source Source
	// Shadowed: a shadow limit would have denied.
	Shadowed bool
	// Each is the state of every limit, in their order, where there are
	// several and the server decided.
	Each []State
	// Err is why the server could not be asked, for SourceLocal and SourceOutage.
	Err error
}

// State is that of one limit after a decision.
type State struct {
	Policy                            string
	Shadow                            bool
	Denied                            bool // it had not the units; a shadow would have denied
	Remaining, Limit                  int64
	RetryAfter, ResetAfter, NextAfter time.Duration
}

func micros(n int64) time.Duration { return time.Duration(n) * time.Microsecond }

// of reads the reply of gcra.lua.
func (p *policy) decision(n, reply int64) Decision {
	burst := p.Burst * p.num
	used := reply // µs until whole
	d := Decision{Limit: p.Burst, Policy: p.Name, Allowed: reply >= 0}
	if d.Allowed {
		d.Granted = n
	} else {
		d.RetryAfter = micros(-reply)
		used = burst - n*p.num - reply
	}
	d.Remaining = (burst - used) / p.num
	d.ResetAfter = micros(used)
	if used > 0 {
		d.NextAfter = micros((used-1)%p.num + 1)
	}
	return d
}

// perLimit is how many numbers limits.lua gives for each limit.
const perLimit = 5

// decisions reads the reply of limits.lua.
func (p plan) decision(reply []int64) Decision {
	d := Decision{Granted: reply[0], Allowed: reply[0] > 0}
	states := make([]State, len(p.policies))
	tightest := -1
	for i, l := range p.policies {
		r := reply[1+i*perLimit:]
		s := State{
			Policy: l.Name, Shadow: l.Shadow, Denied: r[0] == 0, Remaining: r[1], Limit: l.most(),
			RetryAfter: micros(max(r[2], 0)), ResetAfter: micros(r[3]), NextAfter: micros(r[4]),
		}
		states[i] = s
		if s.Shadow {
			d.Shadowed = d.Shadowed || s.Denied
		}
		if tightest < 0 || s.tighter(states[tightest]) {
			tightest = i
		}
	}
	t := states[tightest]
	d.Policy, d.Remaining, d.Limit, d.ResetAfter, d.NextAfter = t.Policy, t.Remaining, t.Limit, t.ResetAfter, t.NextAfter
	if !d.Allowed {
		d.RetryAfter = t.RetryAfter
	}
	if len(states) > 1 {
		d.Each = states
	}
	return d
}

// tighter says whether a is the one to tell of rather than b.
func (s State) tighter(b State) bool {
	switch {
	case s.Shadow != b.Shadow:
		return b.Shadow
	case s.Denied != b.Denied:
		return s.Denied
	case s.Denied && s.RetryAfter != b.RetryAfter:
		return s.RetryAfter > b.RetryAfter
	default:
		return s.Remaining < b.Remaining
	}
}
