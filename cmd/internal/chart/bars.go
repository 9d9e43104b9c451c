package chart

import (
	"cmp"
	"html/template"
	"strings"
	"unicode/utf8"
)

// Bar is one bar of Bars.
type Bar struct {
	Label string
	Value int
	Tone  Tone
	// Text stands for the value, if it is more than a count.
	Text string
}

func (b Bar) text() string { return cmp.Or(b.Text, Count(b.Value)) }

// Bars draws one horizontal bar per entry, the label above it and the value at its end, all on one scale from zero. A zero
// is drawn as a hairline: nothing is a result too.
func Bars(bars []Bar) template.HTML {
	const w, row, thick, char = 300, 50, 16, 8.6
	c := newCanvas(w, float64(len(bars))*row+4)
	most, room := 1, 66.0
	for _, b := range bars {
		most = max(most, b.Value)
		room = max(room, 12+char*float64(utf8.RuneCountInString(b.text())))
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
		c.text(max(length, 2)+8, y+7+thick-3, "start", "value", b.text())
		said = append(said, b.Label+" "+b.text())
	}
	return c.svg(strings.Join(said, ", "))
}
