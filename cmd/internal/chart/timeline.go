package chart

import (
	"fmt"
	"html/template"
	"strings"
	"time"

	"github.com/redstart-go/redstart/cmd/internal/measure"
)

// Lane is one recipe's row of Timeline.
type Lane struct {
	Label string
	Tone  Tone
	Steps []measure.Step
	// From and To are the beginning and the end of a fault, both zero without one.
	From, To time.Duration
	// Fault names it.
	Fault string
}

// Timeline draws the lanes one below the other on common scales: upwards what readers got in each step (fresh, stale,
// errors), downwards what the database had to answer, and the fault as a shaded band.
func Timeline(lanes []Lane, step time.Duration) template.HTML {
	const w, left, right, up, down, gap, head = 920, 46, 4, 74, 40, 22, 24
	const lane = head + up + down + gap
	c := newCanvas(w, float64(len(lanes)*lane)+8)

	n, reads, loads := 1, 1, 1
	for _, l := range lanes {
		n = max(n, len(l.Steps), int((l.To+step-1)/step))
		for _, s := range l.Steps {
			reads, loads = max(reads, s.OK+s.Errors), max(loads, s.Loads)
		}
	}
	topScale, lowScale := ceiling(float64(reads)), ceiling(float64(loads))
	dx := float64(w-left-right) / float64(n)
	at := func(d time.Duration) float64 { return left + float64(d)/float64(step)*dx }

	var said []string
	for i, l := range lanes {
		y0 := float64(i * lane)
		zero := y0 + head + up
		class := "label"
		if l.Tone == Ours {
			class = "label strong"
		}
		c.text(left, y0+14, "start", class, l.Label)
		if l.To > l.From {
			c.rect(at(l.From), y0+head-4, at(l.To)-at(l.From), up+down+8, `class="fault"`)
			c.text(at(l.From)+4, y0+14, "start", "axis", l.Fault)
		}
		c.line(left, zero-up, w-right, zero-up, "grid")
		c.line(left, zero+down, w-right, zero+down, "grid")
		c.text(left-6, zero-up+4, "end", "axis", Count(int(topScale)))
		c.text(left-6, zero+4, "end", "axis", "0")
		c.text(left-6, zero+down+4, "end", "axis", Count(int(lowScale)))
		total := measure.Step{}
		for j, s := range l.Steps {
			x, width := left+float64(j)*dx+0.5, dx-1
			y := zero
			for _, part := range []struct {
				n    int
				tone Tone
			}{{s.OK - s.Stale, l.Tone}, {s.Stale, Stale}, {s.Errors, Bad}} {
				if part.n == 0 {
					continue
				}
				// A single event must stay visible beside hundreds.
				h := max(float64(part.n)/topScale*up, 1.5)
				y -= h
				c.rect(x, y, width, h, part.tone.fill())
			}
			if s.Loads > 0 {
				c.rect(x, zero+1, width, max(float64(s.Loads)/lowScale*(down-1), 1.5), Calm.fill())
			}
			total.OK += s.OK
			total.Errors += s.Errors
			total.Stale += s.Stale
			total.Loads += s.Loads
		}
		c.line(left, zero, w-right, zero, "zero")
		said = append(said, fmt.Sprintf("%s: %s reads answered, %s of them stale, %s errors, %s loads",
			l.Label, Count(total.OK), Count(total.Stale), Count(total.Errors), Count(total.Loads)))
	}
	bottom := float64(len(lanes)*lane) - gap + 16
	every := 1
	for n/every > 12 {
		every *= 2
		if every > 5 && every%5 != 0 {
			every += 5 - every%5
		}
	}
	for j := 0; j <= n; j += every {
		d := time.Duration(j) * step
		anchor := "middle"
		if at(d) > w-30 {
			anchor = "end"
		}
		c.text(at(d), bottom, anchor, "axis", fmt.Sprintf("%.3g s", d.Seconds()))
	}
	return c.svg(strings.Join(said, "; "))
}
