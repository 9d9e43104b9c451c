package harness

import (
	"cmp"
	"fmt"
	"slices"
	"testing"
	"time"
)

// Bound is a promise in time. It is made for a machine that is otherwise idle,
// so it is judged beside a control of the same run: a bare round trip, a bare
// hand-over.
type Bound struct {
	What    string
	Figure  time.Duration // measured
	Bound   time.Duration // promised
	Control time.Duration // measured, without the library
	Twin    time.Duration // measured, of the naive recipe; zero: there is none
	Typical time.Duration // what is compared with Twin; zero: Figure
}

// verdict says what is wrong with the figure, or nothing: it is worse than
// both the bound and three times the control, or less than twice as good as
// the naive twin.
func (b Bound) verdict() string {
	if b.Figure > b.Bound && b.Figure > 3*b.Control {
		return fmt.Sprintf("%s: %v is worse than the bound %v and three times the control %v", b.What, b.Figure, b.Bound, b.Control)
	}
	typical := cmp.Or(b.Typical, b.Figure)
	if b.Twin > 0 && 2*typical > b.Twin {
		return fmt.Sprintf("%s: %v is less than twice as good as the naive recipe's %v", b.What, typical, b.Twin)
	}
	return ""
}

// Judge fails the test when the figure is not good enough.
func (b Bound) Judge(t testing.TB) {
	t.Helper()
	t.Logf("%s: %s (bound %s, control %s, naive recipe %s)", b.What, Short3(b.Figure), Short3(b.Bound), Short3(b.Control), Short3(b.Twin))
	if wrong := b.verdict(); wrong != "" {
		t.Error(wrong)
	}
}

// Quantile is the value that a fraction q of all does not exceed.
func Quantile(all []time.Duration, q float64) time.Duration {
	if len(all) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(all))
	at := int(q*float64(len(sorted))+0.999999) - 1
	return sorted[min(max(at, 0), len(sorted)-1)]
}

// Short3 writes a duration with three digits.
func Short3(d time.Duration) string {
	switch {
	case d == 0:
		return "none"
	case d < time.Millisecond:
		return d.Round(time.Microsecond).String()
	case d < time.Second:
		return fmt.Sprintf("%.3g ms", float64(d)/float64(time.Millisecond))
	default:
		return fmt.Sprintf("%.3g s", d.Seconds())
	}
}
