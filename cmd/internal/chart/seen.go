package chart

import (
	"fmt"
	"html/template"
	"strings"
	"time"

	"github.com/redstart-go/redstart/cmd/internal/measure"
)

// Sight is one recipe's row of Seen.
type Sight struct {
	Label   string
	Tone    Tone
	Moments []measure.Moment
	// Fault is when the fault began in this row, whose moments are drawn around it.
	Fault time.Duration
}

// Span is a time with a name.
type Span struct {
	From, To time.Duration
	Name     string
}

// Seen draws a strip per recipe: of all who came within one step, which part was answered at once, waited, waited long, got
// a stale value, failed. Times in fault and show count from the beginning of the fault, which is marked in all strips; the
// figures at the end of a row are of those who came in the time that is shown. A step in which nobody came stays empty.
func Seen(rows []Sight, step time.Duration, fault Span, show Span) template.HTML {
	const w, right, head, high, gap, top = 920, 4, 26, 46, 16, 18
	const row = head + high + gap
	bottom := float64(top + len(rows)*row)
	c := newCanvas(w, bottom+14)
	scale := (w - right) / float64(max(show.To-show.From, step))
	at := func(d time.Duration) float64 { return float64(d-show.From) * scale }

	x0, x1 := at(fault.From), at(fault.To)
	c.rect(x0, top-2, x1-x0, bottom-gap-top+6, `class="fault"`)
	c.text((x0+x1)/2, 11, "middle", "axis", fault.Name)

	var said []string
	for i, r := range rows {
		y := float64(top + i*row)
		class := "label"
		if r.Tone == Ours {
			class = "label strong"
		}
		var sum measure.Moment
		for j, m := range r.Moments {
			begin := time.Duration(j)*step - r.Fault
			if begin+step <= show.From || begin >= show.To {
				continue
			}
			sum = sum.Plus(m)
			x := max(at(begin), 0)
			width := min(at(begin+step), w-right) - x - 0.6
			base := y + head + high
			for _, part := range parts(m) {
				if part.n == 0 {
					continue
				}
				h := float64(part.n) / float64(m.Total()) * high
				base -= h
				c.rect(x, base, width, h, part.tone.fill())
			}
		}
		c.text(0, y+18, "start", class, r.Label)
		said = append(said, r.Label+": "+told(sum))
		c.text(w-right, y+18, "end", "mark", told(sum))
	}
	// The axis counts from the fault.
	every := 250 * time.Millisecond
	for (show.To-show.From)/every > 14 {
		every *= 2
	}
	for d := show.From.Truncate(every); d <= show.To; d += every {
		x, anchor := at(d), "middle"
		switch {
		case x < 20:
			anchor = "start"
		case x > w-right-20:
			anchor = "end"
		}
		c.text(x, bottom+6, anchor, "axis", strings.Replace(fmt.Sprintf("%.3g s", d.Seconds()), "-", "−", 1))
	}
	return c.svg(strings.Join(said, "; "))
}

type part struct {
	n    int
	tone Tone
}

// parts are a moment's, the best at the bottom.
func parts(m measure.Moment) []part {
	return []part{{m.Quick, Quick}, {m.Waited, Waited}, {m.Long, Long}, {m.Stale, Stale}, {m.Failed, Bad}}
}

// told sums a row up, the worst first.
func told(m measure.Moment) string {
	var out []string
	for _, p := range []struct {
		n    int
		what string
	}{{m.Failed, "failed"}, {m.Stale, "stale"}, {m.Long, "waited long"}, {m.Waited, "waited"}} {
		if p.n > 0 {
			out = append(out, Count(p.n)+" "+p.what)
		}
	}
	if out == nil {
		out = []string{"all of " + Count(m.Total()) + " answered at once"}
	}
	return strings.Join(append(out, "slowest "+Duration(m.Slowest)), " · ")
}
