package chart

import (
	"fmt"
	"html/template"
	"strings"
	"time"
)

// Plan is one recipe's part of Holds.
type Plan struct {
	Label string
	Tone  Tone
	// Note stands at the end of the label's line.
	Note string
	Rows []Row
	// Band is a time to be marked, if it has a name.
	Band Span
}

// Row is one worker: when it held something, and what happened.
type Row struct {
	Label string
	Spans []Hold
	Dots  []Dot
}

// Hold is one span of a Row. Bad is one that should not have been, Faint one that was for nothing.
type Hold struct {
	From, To   time.Duration
	Bad, Faint bool
}

// Dot is an event with a text.
type Dot struct {
	At   time.Duration
	Text string
	Bad  bool
}

// Holds draws for each plan the rows one below the other, with a bar for each span, on one scale of time.
func Holds(plans []Plan, show Span) template.HTML {
	const w, left, right, head, line, thick, gap, foot = 920, 56, 4, 34, 15, 9, 26, 16
	high := 0.0
	for _, p := range plans {
		high += head + float64(len(p.Rows))*line + gap
	}
	c := newCanvas(w, high-gap+foot+6)
	at := func(d time.Duration) float64 {
		return left + float64(d-show.From)/float64(max(show.To-show.From, 1))*(w-left-right)
	}
	var said []string
	y0 := 0.0
	for _, p := range plans {
		class := "label"
		if p.Tone == Ours {
			class = "label strong"
		}
		c.text(0, y0+14, "start", class, p.Label)
		c.text(w-right, y0+14, "end", "mark", p.Note)
		rows := y0 + head
		bottom := rows + float64(len(p.Rows))*line
		if p.Band.Name != "" {
			from, to := at(max(p.Band.From, show.From)), at(min(p.Band.To, show.To))
			c.rect(from, rows-4, to-from, bottom-rows+6, `class="fault"`)
			c.text(from+4, rows-8, "start", "axis", p.Band.Name)
		}
		n, bad := 0, 0
		for i, r := range p.Rows {
			y := rows + float64(i)*line
			c.text(left-10, y+thick, "end", "axis", r.Label)
			c.line(left, y+line-2, w-right, y+line-2, "grid")
			for _, s := range r.Spans {
				tone := p.Tone
				switch {
				case s.Bad:
					tone = Bad
					bad++
				case s.Faint:
					tone = Faint
				}
				n++
				from, to := max(s.From, show.From), min(s.To, show.To)
				if to < from {
					continue
				}
				// The shortest must stay visible.
				c.rect(at(from), y, max(at(to)-at(from), 1.2), thick, tone.fill())
			}
		}
		for i, r := range p.Rows {
			y := rows + float64(i)*line
			for _, d := range r.Dots {
				look := `class="hollow" stroke="var(--tone-ours)"`
				if d.Bad {
					look = Bad.fill()
				}
				c.add(`<circle cx="%.1f" cy="%.1f" r="5" %s/>`, at(d.At), y+thick/2, look)
				c.text(at(d.At)+10, y+thick, "start", "mark", d.Text)
			}
		}
		said = append(said, fmt.Sprintf("%s: %s holds, %s of them overlapping; %s", p.Label, Count(n), Count(bad), p.Note))
		y0 = bottom + gap
	}
	every := 50 * time.Millisecond
	for (show.To-show.From)/every > 12 {
		every *= 2
	}
	for d := show.From.Truncate(every); d <= show.To; d += every {
		if x := at(d); x > left && x < w-24 {
			c.text(x, high-gap+foot, "middle", "axis", fmt.Sprintf("%.3g s", d.Seconds()))
		}
	}
	return c.svg(strings.Join(said, "; "))
}
