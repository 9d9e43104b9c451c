package main

import "fmt"

// The results of a target.
const (
	met      = "met"
	missed   = "missed"
	metByCPU = "met by CPU and allocations"
)

// faster judges "at least so many times the control's rate". A ratio below it by no more than the control strays from
// itself says nothing; the CPU that a call costs, here and in the server, and its allocations decide then.
func (s section) faster(who string, target float64) verdict {
	r, control := s.find(who), s.find(s.Control)
	v := verdict{
		Target: fmt.Sprintf("%s at least %.2f times %s", who, target, s.Control),
		Figure: fmt.Sprintf("%.2f", r.at("ratio")),
	}
	cheap := func(key string) bool { return !(r.at(key)*target > control.at(key)) } // what is not known decides nothing
	switch ratio := r.at("ratio"); {
	case ratio >= target:
		v.Result = met
	case ratio+s.Noise >= target && cheap("server_us_per_op") && cheap("client_us_per_op") && s.sparing(who):
		v.Result = metByCPU
		v.Figure += fmt.Sprintf(", hidden by a spread of %.2f", s.Noise)
	default:
		v.Result = missed
	}
	return v
}

// sparing: no allocation more than the control. What the runtime allocates by itself is worth a twentieth.
func (s section) sparing(who string) bool {
	return s.find(who).at("allocs_per_op") <= s.find(s.Control).at("allocs_per_op")+0.05
}

// noMoreAllocs judges the promise about allocations.
func (s section) noMoreAllocs(who string) verdict {
	v := verdict{
		Target: fmt.Sprintf("%s allocates no more often than %s", who, s.Control), Result: missed,
		Figure: fmt.Sprintf("%.2f to %.2f", s.find(who).at("allocs_per_op"), s.find(s.Control).at("allocs_per_op")),
	}
	if s.sparing(who) {
		v.Result = met
	}
	return v
}

// atMost judges a figure against a bound.
func atMost(target string, figure, bound float64, digits int) verdict {
	v := verdict{Target: target, Result: missed, Figure: number(figure, digits)}
	if figure <= bound {
		v.Result = met
	}
	return v
}

// atLeast judges a figure against a target.
func atLeast(target string, figure, least float64, digits int) verdict {
	v := verdict{Target: target, Result: missed, Figure: number(figure, digits)}
	if figure >= least {
		v.Result = met
	}
	return v
}
