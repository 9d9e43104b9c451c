package chart

import (
	"fmt"
	"html/template"
	"strings"
	"time"
)

// Level is one recipe's row of Levels: what one client asked for, in the order of time, and what came of it.
type Level struct {
	Label string
	Tone  Tone
	Asked []Ask
	// Note stands at the end of the label's line.
	Note string
}

// Ask is one request: granted or not, and whether it got past the limit.
type Ask struct {
	At            time.Duration
	Granted, Over bool
}

// Vessel is what the requests of a Level run into: it holds so many, and one runs out in each Every.
type Vessel struct {
	Holds int
	Every time.Duration
	// Edge names the time zero, at which there is a line.
	Edge string
}

// Levels draws for each row how full the vessel is over time, what is above the brim apart, and below it a tick for each
// request. Times outside of show are reckoned with and not drawn.
func Levels(rows []Level, v Vessel, show Span) template.HTML {
	const w, left, right, top, head, high, ticks, gap = 920, 46, 4, 18, 26, 78, 20, 18
	const row = head + high + ticks + gap
	bottom := float64(top + len(rows)*row)
	c := newCanvas(w, bottom+6)
	at := func(d time.Duration) float64 {
		return left + float64(d-show.From)/float64(max(show.To-show.From, 1))*(w-left-right)
	}
	courses := make([][]dot, len(rows))
	most := float64(v.Holds) * 1.15
	for i, r := range rows {
		courses[i] = course(r.Asked, v, show)
		for _, p := range courses[i] {
			most = max(most, p.level*1.05)
		}
	}
	brim := float64(v.Holds)
	c.line(at(0), top-4, at(0), bottom-gap, "edge")
	c.text(at(0), 11, "middle", "axis", v.Edge)
	var said []string
	for i, r := range rows {
		y0 := float64(top + i*row)
		zero := y0 + head + high
		y := func(level float64) float64 { return zero - level/most*high }
		class := "label"
		if r.Tone == Ours {
			class = "label strong"
		}
		c.text(left, y0+16, "start", class, r.Label)
		c.text(w-right, y0+16, "end", "mark", r.Note)
		c.area(courses[i], at, func(l float64) float64 { return y(min(l, brim)) }, zero, r.Tone)
		c.area(courses[i], at, func(l float64) float64 { return y(max(l, brim)) }, y(brim), Bad)
		c.line(left, y(brim), w-right, y(brim), "brim")
		c.line(left, zero, w-right, zero, "zero")
		c.text(left-6, y(brim)+4, "end", "axis", Count(v.Holds))
		c.text(left-6, zero+4, "end", "axis", "0")
		granted, over, denied := 0, 0, 0
		for _, a := range r.Asked {
			if a.At < show.From || a.At > show.To {
				continue
			}
			tone, h := Waited, 6.0
			switch {
			case !a.Granted:
				denied++
			case a.Over:
				tone, h = Bad, 12
				over++
			default:
				tone, h = r.Tone, 12
				granted++
			}
			c.rect(at(a.At)-0.9, zero+5, 1.8, h, tone.fill())
		}
		said = append(said, fmt.Sprintf("%s: %d granted, %d of them past the limit, %d denied", r.Label, granted+over, over, denied))
	}
	every := 25 * time.Millisecond
	for (show.To-show.From)/every > 12 {
		every *= 2
	}
	for d := show.From.Truncate(every); d <= show.To; d += every {
		if x := at(d); x > left+14 && x < w-24 {
			c.text(x, bottom, "middle", "axis", strings.Replace(fmt.Sprintf("%d ms", d.Milliseconds()), "-", "−", 1))
		}
	}
	return c.svg(strings.Join(said, "; "))
}

// dot is a level at a time.
type dot struct {
	at    time.Duration
	level float64
}

// course is how the level rises at each grant and falls between them.
func course(asked []Ask, v Vessel, show Span) []dot {
	every := float64(max(v.Every, 1))
	var out []dot
	level, last := 0.0, show.From
	add := func(at time.Duration, l float64) {
		if at >= show.From && at <= show.To {
			out = append(out, dot{at, l})
		}
	}
	// fall runs from the last grant to a time, and marks where the level passes the brim or the bottom.
	fall := func(to time.Duration) {
		for _, mark := range []float64{float64(v.Holds), 0} {
			if below := level - float64(to-last)/every; level > mark && below < mark {
				add(last+time.Duration((level-mark)*every), mark)
			}
		}
		level = max(level-float64(to-last)/every, 0)
		last = to
		add(to, level)
	}
	for i, a := range asked {
		if i == 0 {
			last = min(a.At, show.From)
		}
		if !a.Granted || a.At > show.To {
			continue
		}
		if last < show.From && a.At >= show.From {
			fall(show.From)
		}
		fall(a.At)
		level++
		add(a.At, min(level, max(level-1, float64(v.Holds))))
		add(a.At, level)
	}
	fall(show.To)
	return out
}

// area fills what is between a course and a base.
func (c *canvas) area(course []dot, x func(time.Duration) float64, y func(level float64) float64, base float64, tone Tone) {
	if len(course) == 0 {
		return
	}
	var b strings.Builder
	fmt.Fprintf(&b, "M%.1f %.1f", x(course[0].at), base)
	for _, p := range course {
		fmt.Fprintf(&b, "L%.1f %.1f", x(p.at), y(p.level))
	}
	fmt.Fprintf(&b, "L%.1f %.1fZ", x(course[len(course)-1].at), base)
	c.add(`<path d="%s" %s class="area"/>`, b.String(), tone.fill())
}
