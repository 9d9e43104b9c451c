package chart

import (
	"html/template"
	"strings"
)

// Pile is one row of Stack: parts of a sum, in an order that all rows share.
type Pile struct {
	Label string
	Tone  Tone // of the label
	Parts []Slice
	// Note stands at the end of the label's line.
	Note string
}

// Slice is one part of a Pile; What names it for those who cannot see it.
type Slice struct {
	N    int
	Tone Tone
	What string
}

// Stack draws one horizontal bar per pile, cut into its parts, the sum at its end, all on one scale from zero.
func Stack(piles []Pile) template.HTML {
	const w, row, thick, room = 920, 50, 18, 66
	c := newCanvas(w, float64(len(piles))*row+4)
	most := 1
	sums := make([]int, len(piles))
	for i, p := range piles {
		for _, s := range p.Parts {
			sums[i] += s.N
		}
		most = max(most, sums[i])
	}
	var said []string
	for i, p := range piles {
		y := float64(i)*row + 16
		class := "label"
		if p.Tone == Ours {
			class = "label strong"
		}
		c.text(0, y, "start", class, p.Label)
		c.text(w-4, y, "end", "mark", p.Note)
		x := 0.0
		var parts []string
		for _, s := range p.Parts {
			if s.N == 0 {
				continue
			}
			// A single one must stay visible beside thousands.
			length := max(float64(s.N)/float64(most)*(w-room), 2)
			c.rect(x, y+8, length-0.8, thick, s.Tone.fill())
			x += length
			parts = append(parts, Count(s.N)+" "+s.What)
		}
		c.text(x+8, y+8+thick-4, "start", "value", Count(sums[i]))
		said = append(said, p.Label+": "+strings.Join(parts, ", "))
	}
	return c.svg(strings.Join(said, "; "))
}
