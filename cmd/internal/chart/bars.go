package chart

import (
	"html/template"
	"strings"
)

// Bar is one bar of Bars.
type Bar struct {
	Label string
	Value int
	Tone  Tone
}

// Bars draws one horizontal bar per entry, the label above it and the value at its end, all on one scale from zero. A zero
// is drawn as a hairline: nothing is a result too.
func Bars(bars []Bar) template.HTML {
	const w, row, thick, room = 300, 50, 16, 66
	c := newCanvas(w, float64(len(bars))*row+4)
	most := 1
	for _, b := range bars {
		most = max(most, b.Value)
	}
	var said []string
	for i, b := range bars {
		y := float64(i)*row + 16
		class := "label"
		if b.Tone == Ours {
			class = "label strong"
		}
		c.text(0, y, "start", class, b.Label)
		length := float64(b.Value) / float64(most) * (w - room)
		c.rect(0, y+7, max(length, 2), thick, `rx="3" `+b.Tone.fill())
		c.text(max(length, 2)+8, y+7+thick-3, "start", "value", Count(b.Value))
		said = append(said, b.Label+" "+Count(b.Value))
	}
	return c.svg(strings.Join(said, ", "))
}
