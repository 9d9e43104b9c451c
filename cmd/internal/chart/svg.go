// Package chart draws the lab's pictures as inline SVG. Colours are the page's CSS variables, so one picture reads well in
// light and dark, and there is no script and nothing to fetch. Every picture carries its title and, for those who cannot see
// it, what it shows.
package chart

import (
	"fmt"
	"html"
	"html/template"
	"math"
	"strconv"
	"strings"
)

// Tone is the meaning of a mark, which the page's style sheet turns into a colour: its CSS variable is --tone-<Tone>.
type Tone string

// The tones. Ours is for Redstart, First and Second for the recipes it is compared with; Bad is an error, Stale a value
// that was wrong, Calm something that only counts. Quick, Waited and Long are how long an answer took, Faint what only sets off
// the rest.
const (
	Ours   Tone = "ours"
	First  Tone = "first"
	Second Tone = "second"
	Bad    Tone = "bad"
	Stale  Tone = "stale"
	Calm   Tone = "calm"
	Quick  Tone = "quick"
	Waited Tone = "waited"
	Long   Tone = "long"
	Faint  Tone = "faint"
)

func (t Tone) fill() string { return fmt.Sprintf(`fill="var(--tone-%s)"`, t) }

// canvas collects the elements of one picture.
type canvas struct {
	strings.Builder
	w, h float64
}

func newCanvas(w, h float64) *canvas { return &canvas{w: w, h: h} }

func (c *canvas) add(format string, args ...any) { fmt.Fprintf(c, format+"\n", args...) }

// text sets s at (x, y), anchored start, middle or end; class chooses its look.
func (c *canvas) text(x, y float64, anchor, class, s string) {
	c.add(`<text x="%.1f" y="%.1f" text-anchor="%s" class="%s">%s</text>`, x, y, anchor, class, html.EscapeString(s))
}

func (c *canvas) rect(x, y, w, h float64, attrs string) {
	c.add(`<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" %s/>`, x, y, max(w, 0), max(h, 0), attrs)
}

func (c *canvas) line(x1, y1, x2, y2 float64, class string) {
	c.add(`<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" class="%s"/>`, x1, y1, x2, y2, class)
}

// svg closes the picture; label is read out in its place.
func (c *canvas) svg(label string) template.HTML {
	//nolint:gosec // every text in it went through html.EscapeString, the rest are our own numbers and names
	return template.HTML(fmt.Sprintf("<svg viewBox=\"0 0 %.0f %.0f\" role=\"img\" aria-label=\"%s\">\n%s</svg>",
		c.w, c.h, html.EscapeString(label), c.String()))
}

// ceiling rounds v up to a scale's end that people can read and that wastes little.
func ceiling(v float64) float64 {
	if v <= 0 {
		return 1
	}
	p := math.Pow(10, math.Floor(math.Log10(v)))
	for _, m := range []float64{1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10} {
		if v <= m*p*(1+1e-9) {
			return m * p
		}
	}
	return 10 * p
}

// Count writes n with thin groups of three: 12,345.
func Count(n int) string {
	s := strconv.Itoa(n)
	sign := ""
	if n < 0 {
		sign, s = "-", s[1:]
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return sign + s
}
