package chart

import (
	"fmt"
	"html/template"
	"strings"
)

// Strip is one recipe's row of Strips: what became of one thing after the other, by the index of its fate.
type Strip struct {
	Label string
	Tone  Tone // of the label
	Fates []int
	// Note stands at the end of the label's line.
	Note string
}

// Fate is one of what may become of a thing; What names it for those who cannot see it.
type Fate struct {
	Tone Tone
	What string
}

// Strips draws a tick for each thing, in its order from left to right, the last at the right edge; edge names what came then.
func Strips(rows []Strip, fates []Fate, edge string) template.HTML {
	const w, head, high, gap, foot = 920, 26, 30, 16, 18
	const row = head + high + gap
	c := newCanvas(w, float64(len(rows)*row+foot))
	most := 1
	for _, r := range rows {
		most = max(most, len(r.Fates))
	}
	dx := float64(w-6) / float64(most)
	var said []string
	for i, r := range rows {
		y := float64(i * row)
		class := "label"
		if r.Tone == Ours {
			class = "label strong"
		}
		c.text(0, y+16, "start", class, r.Label)
		c.text(w, y+16, "end", "mark", r.Note)
		counts := make([]int, len(fates))
		left := float64(w-6) - dx*float64(len(r.Fates))
		for k, f := range r.Fates {
			counts[f]++
			c.rect(left+float64(k)*dx, y+head, max(dx-0.8, 0.8), high, fates[f].Tone.fill())
		}
		c.line(w-3, y+head-4, w-3, y+head+high+4, "edge")
		parts := make([]string, len(fates))
		for k, f := range fates {
			parts[k] = fmt.Sprintf("%d %s", counts[k], f.What)
		}
		said = append(said, r.Label+": "+strings.Join(parts, ", "))
	}
	c.text(w, float64(len(rows)*row)+8, "end", "axis", edge)
	return c.svg(strings.Join(said, "; "))
}
