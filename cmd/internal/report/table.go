package report

import (
	"io"
	"strings"
	"unicode/utf8"
)

// Mood says how a cell should be taken.
type Mood string

// The moods.
const (
	Plain Mood = ""
	Good  Mood = "good"
	Bad   Mood = "bad"
)

// Cell is one cell of a Table.
type Cell struct {
	Text string
	Mood Mood
}

// Table has a head and rows; the first column names the row, the others hold figures.
type Table struct {
	Head []string
	Rows [][]Cell
}

// Text writes the report for a terminal: what was run, the table, the headline. Colour is for terminals that show it.
func (r *Report) Text(w io.Writer, colour bool) error {
	var b strings.Builder
	b.WriteString(r.Scenario + ": " + r.Title + "\n")
	b.WriteString("traffic " + r.Input.String() + "\n" + "server  " + r.Server + "\n")
	b.WriteString("fault   " + r.Fault + "\n\n")
	r.Table.write(&b, colour)
	for _, s := range append([]string{r.Headline}, r.Findings...) {
		b.WriteString("\n" + wrap(s, 96) + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (t Table) write(b *strings.Builder, colour bool) {
	widths := make([]int, len(t.Head))
	for i, h := range t.Head {
		widths[i] = utf8.RuneCountInString(h)
		for _, row := range t.Rows {
			widths[i] = max(widths[i], utf8.RuneCountInString(row[i].Text))
		}
	}
	line := func(cells []Cell) {
		for i, c := range cells {
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(c.Text))
			text := paint(c, colour)
			switch {
			case i == 0 && len(cells) == 1:
				b.WriteString(text)
			case i == 0:
				b.WriteString(text + pad)
			default:
				b.WriteString("  " + pad + text)
			}
		}
		b.WriteString("\n")
	}
	head := make([]Cell, len(t.Head))
	for i, h := range t.Head {
		head[i].Text = h
	}
	line(head)
	for _, row := range t.Rows {
		line(row)
	}
}

// paint wraps a cell in the terminal's red or green.
func paint(c Cell, colour bool) string {
	switch {
	case !colour || c.Mood == Plain:
		return c.Text
	case c.Mood == Good:
		return "\x1b[32m" + c.Text + "\x1b[0m"
	default:
		return "\x1b[31m" + c.Text + "\x1b[0m"
	}
}

// wrap breaks s at blanks into lines of at most width runes where words allow it.
func wrap(s string, width int) string {
	var b strings.Builder
	n := 0
	for word := range strings.FieldsSeq(s) {
		l := utf8.RuneCountInString(word)
		switch {
		case n == 0:
		case n+1+l > width:
			b.WriteByte('\n')
			n = 0
		default:
			b.WriteByte(' ')
			n++
		}
		b.WriteString(word)
		n += l
	}
	return b.String()
}
