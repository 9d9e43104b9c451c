package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// report is what a run came to.
type report struct {
	Server   string    `json:"server"`
	Go       string    `json:"go"`
	CPUs     int       `json:"cpus"`
	Date     string    `json:"date"`
	Rounds   int       `json:"rounds"`
	Quick    bool      `json:"quick"`
	Sections []section `json:"sections"`
}

// section is one table and what it says about the targets.
type section struct {
	Name     string    `json:"name"` // of the benchmark
	Title    string    `json:"title"`
	How      string    `json:"how"` // what was done, in a sentence
	Control  string    `json:"control"`
	Noise    float64   `json:"noise"` // how far the control's ratio to itself strays from 1
	Rows     []row     `json:"rows"`
	Verdicts []verdict `json:"verdicts"`

	columns []column
}

// column is one figure of every row.
type column struct {
	key    string // in JSON
	title  string // over the column
	digits int    // after the point
	spread bool   // with its quartiles
}

// row is a contestant's figures, in the order of the columns.
type row struct {
	name    string
	about   string // how it is configured, where that is not its default
	figures []spread
	columns []column
}

// verdict is a target and whether it was met.
type verdict struct {
	Target string `json:"target"`
	Result string `json:"result"` // "met", "missed" or "met by CPU and allocations"
	Figure string `json:"figure"`
}

// at is the figure of a column.
func (r row) at(key string) float64 {
	for i, c := range r.columns {
		if c.key == key {
			return r.figures[i].median
		}
	}
	return math.NaN()
}

// find is the row of a contestant.
func (s section) find(name string) row {
	for _, r := range s.Rows {
		if r.name == name {
			return r
		}
	}
	return row{}
}

func (r row) MarshalJSON() ([]byte, error) {
	number := func(v float64, digits int) any {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return nil
		}
		return json.Number(strconv.FormatFloat(v, 'f', digits, 64))
	}
	fields := map[string]any{"name": r.name}
	if r.about != "" {
		fields["about"] = r.about
	}
	for i, c := range r.columns {
		f := r.figures[i]
		fields[c.key] = number(f.median, c.digits+1)
		if c.spread {
			fields[c.key+"_quartiles"] = []any{number(f.low, c.digits+1), number(f.high, c.digits+1)}
		}
	}
	return json.Marshal(fields)
}

func (rep report) writeJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(rep)
}

func (rep report) writeText(out io.Writer) error {
	w := bufio.NewWriter(out)
	fmt.Fprintf(w, "%s\n%s, %d CPUs, %s, %d rounds\n", rep.Server, rep.Go, rep.CPUs, rep.Date, rep.Rounds)
	if rep.Quick {
		fmt.Fprintln(w, "quick: too short to say anything about speed")
	}
	for _, s := range rep.Sections {
		s.writeText(w)
	}
	return w.Flush()
}

func (s section) writeText(w io.Writer) {
	fmt.Fprintf(w, "\n%s\n%s\n\n", strings.ToUpper(s.Title), s.How)
	table := make([][]string, 0, len(s.Rows)+1)
	head := []string{""}
	for _, c := range s.columns {
		head = append(head, c.title)
		if c.spread {
			head = append(head, "quartiles")
		}
	}
	table = append(table, head)
	for _, r := range s.Rows {
		line := []string{r.name}
		for i, c := range s.columns {
			f := r.figures[i]
			line = append(line, number(f.median, c.digits))
			if c.spread {
				line = append(line, f.quartiles(c.digits))
			}
		}
		table = append(table, line)
	}
	writeTable(w, table)
	fmt.Fprintln(w)
	for _, r := range s.Rows {
		if r.about != "" {
			fmt.Fprintf(w, "%s: %s\n", r.name, r.about)
		}
	}
	fmt.Fprintf(w, "The control, %s, beside itself: within %.1f %% in half of the rounds.\n", s.Control, 100*s.Noise)
	for _, v := range s.Verdicts {
		fmt.Fprintf(w, "%s: %s (%s)\n", v.Result, v.Target, v.Figure)
	}
}

func (s spread) quartiles(digits int) string {
	if math.IsNaN(s.low) {
		return ""
	}
	return number(s.low, digits) + "–" + number(s.high, digits)
}

// writeTable aligns the first column to the left, the others to the right.
func writeTable(w io.Writer, table [][]string) {
	widths := make([]int, len(table[0]))
	for _, line := range table {
		for i, cell := range line {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for _, line := range table {
		var b strings.Builder
		for i, cell := range line {
			fill := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if i == 0 {
				b.WriteString(cell + fill)
			} else {
				b.WriteString("  " + fill + cell)
			}
		}
		fmt.Fprintln(w, strings.TrimRight(b.String(), " "))
	}
}

// number writes a figure for people: commas in thousands, a dash for what is not known.
func number(v float64, digits int) string {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return "-"
	}
	text := strconv.FormatFloat(v, 'f', digits, 64)
	whole, rest, _ := strings.Cut(text, ".")
	for i := len(whole) - 3; i > 0 && whole[i-1] != '-'; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	if rest != "" {
		return whole + "." + rest
	}
	return whole
}
