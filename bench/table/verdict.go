package table

import "fmt"

// The results of a target.
const (
	Met      = "met"
	Missed   = "missed"
	MetByCPU = "met by CPU and allocations"
)

// Faster judges "at least so many times the control's rate". A ratio below it by no more than the control strays from
// itself says nothing; the CPU that a call costs, here and in the server, and its allocations decide then.
func (s Section) Faster(who string, target float64) Verdict {
	r, control := s.Find(who), s.Find(s.Control)
	v := Verdict{
		Target: fmt.Sprintf("%s at least %.2f times %s", who, target, s.Control),
		Figure: fmt.Sprintf("%.2f", r.At("ratio")),
	}
	cheap := func(key string) bool { return !(r.At(key)*target > control.At(key)) } // what is not known decides nothing
	switch ratio := r.At("ratio"); {
	case ratio >= target:
		v.Result = Met
	case ratio+s.Noise >= target && cheap("server_us_per_op") && cheap("client_us_per_op") && s.sparing(who):
		v.Result = MetByCPU
		v.Figure += fmt.Sprintf(", hidden by a spread of %.2f", s.Noise)
	default:
		v.Result = Missed
	}
	return v
}

// sparing: no allocation more than the control. What the runtime allocates by itself is worth a twentieth.
func (s Section) sparing(who string) bool {
	return s.Find(who).At("allocs_per_op") <= s.Find(s.Control).At("allocs_per_op")+0.05
}

// NoMoreAllocs judges the promise about allocations.
func (s Section) NoMoreAllocs(who string) Verdict {
	v := Verdict{
		Target: fmt.Sprintf("%s allocates no more often than %s", who, s.Control), Result: Missed,
		Figure: fmt.Sprintf("%.2f to %.2f", s.Find(who).At("allocs_per_op"), s.Find(s.Control).At("allocs_per_op")),
	}
	if s.sparing(who) {
		v.Result = Met
	}
	return v
}

// AtMost judges a figure against a bound.
func AtMost(target string, figure, bound float64, digits int) Verdict {
	v := Verdict{Target: target, Result: Missed, Figure: Number(figure, digits)}
	if figure <= bound {
		v.Result = Met
	}
	return v
}

// AtLeast judges a figure against a target.
func AtLeast(target string, figure, least float64, digits int) Verdict {
	v := Verdict{Target: target, Result: Missed, Figure: Number(figure, digits)}
	if figure >= least {
		v.Result = Met
	}
	return v
}
