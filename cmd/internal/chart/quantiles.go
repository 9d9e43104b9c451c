package chart

import (
	"fmt"
	"html/template"
	"math"
	"strings"
	"time"
	"unicode/utf8"
)

// Spread is one row of Quantiles: the median, the 99th and the 99.9th percentile.
type Spread struct {
	Label          string
	P50, P99, P999 time.Duration
	Tone           Tone
}

// Quantiles draws for each row a line from the median to the 99.9th percentile with a mark at each, on one logarithmic
// scale in whole decades.
func Quantiles(rows []Spread) template.HTML {
	const w, right, row, top = 920, 64, 50, 10
	left := 180.0
	for _, r := range rows {
		// The label, and behind it that of a median which stands at the beginning of the scale.
		left = max(left, 7.8*float64(utf8.RuneCountInString(r.Label))+72)
	}
	bottom := float64(top + len(rows)*row)
	c := newCanvas(w, bottom+26)

	lo, hi := math.Inf(1), math.Inf(-1)
	for _, r := range rows {
		for _, d := range []time.Duration{r.P50, r.P99, r.P999} {
			v := math.Log10(float64(max(d, time.Microsecond)))
			lo, hi = min(lo, v), max(hi, v)
		}
	}
	if len(rows) == 0 {
		lo, hi = 3, 4
	}
	lo, hi = math.Floor(lo), math.Ceil(hi)
	if hi == lo {
		hi++
	}
	x := func(d time.Duration) float64 {
		v := math.Log10(float64(max(d, time.Microsecond)))
		return left + (v-lo)/(hi-lo)*(w-left-right)
	}
	for e := lo; e <= hi; e++ {
		d := time.Duration(math.Pow(10, e))
		c.line(x(d), top, x(d), bottom, "grid")
		c.text(x(d), bottom+18, "middle", "axis", Duration(d))
	}

	var said []string
	for i, r := range rows {
		y := float64(top+i*row) + row/2
		class := "label"
		if r.Tone == Ours {
			class = "label strong"
		}
		c.text(0, y+4, "start", class, r.Label)
		c.add(`<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="var(--tone-%s)" class="spread"/>`, x(r.P50), y, x(r.P999), y, r.Tone)
		c.add(`<circle cx="%.1f" cy="%.1f" r="6" %s/>`, x(r.P50), y, r.Tone.fill())
		c.add(`<circle cx="%.1f" cy="%.1f" r="5" %s/>`, x(r.P99), y, r.Tone.fill())
		c.add(`<circle cx="%.1f" cy="%.1f" r="4" class="hollow" stroke="var(--tone-%s)"/>`, x(r.P999), y, r.Tone)
		// The median's label stands left of its mark, the last one right of it: however close they are, none covers another.
		c.text(x(r.P50)-12, y+4, "end", "mark", Duration(r.P50))
		c.text(x(r.P99), y-11, "middle", "mark", Duration(r.P99))
		c.text(x(r.P999)+10, y+4, "start", "mark", Duration(r.P999))
		said = append(said, fmt.Sprintf("%s: median %s, 99%% %s, 99.9%% %s", r.Label, Duration(r.P50), Duration(r.P99), Duration(r.P999)))
	}
	return c.svg(strings.Join(said, "; "))
}

// Duration writes d with three significant digits at most: 87 µs, 1.24 ms, 103 ms, 5 s.
func Duration(d time.Duration) string {
	switch us := float64(d) / float64(time.Microsecond); {
	case us < 1:
		return fmt.Sprintf("%d ns", d.Nanoseconds())
	case us < 999.5:
		return fmt.Sprintf("%.0f µs", us)
	case us < 999.5e3:
		return fmt.Sprintf("%.3g ms", us/1e3)
	case us < 99.95e6:
		return fmt.Sprintf("%.3g s", us/1e6)
	default:
		return fmt.Sprintf("%.0f s", us/1e6)
	}
}
