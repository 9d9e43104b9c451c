// Package table is what a run prints: contestants, their figures over all rounds, and whether these meet the targets.
package table

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

// Report is what a run came to.
type Report struct {
	Server   string    `json:"server"`
	Go       string    `json:"go"`
	CPUs     int       `json:"cpus"`
	Date     string    `json:"date"`
	Rounds   int       `json:"rounds"`
	Quick    bool      `json:"quick"`
	Sections []Section `json:"sections"`
}

// Section is one table and what it says about the targets.
type Section struct {
	Name     string    `json:"name"` // of the benchmark
	Title    string    `json:"title"`
	How      string    `json:"how"` // what was done, in a sentence
	Control  string    `json:"control"`
	Noise    float64   `json:"noise"` // how far the control's ratio to itself strays from 1
	Rows     []Row     `json:"rows"`
	Verdicts []Verdict `json:"verdicts"`

	Columns []Column `json:"-"`
}

// Column is one figure of every row.
type Column struct {
	Key    string // in JSON
	Title  string // over the column
	Digits int    // after the point
	Spread bool   // with its quartiles
}

// Row is a contestant's figures, in the order of the columns.
type Row struct {
	Name    string
	About   string // how it is configured, where that is not its default
	Figures []Spread
	Columns []Column
}

// Verdict is a target and whether it was met.
type Verdict struct {
	Target string `json:"target"`
	Result string `json:"result"` // "met", "missed" or "met by CPU and allocations"
	Figure string `json:"figure"`
}

// Again marks the control's second run.
const Again = ", again"

// At is the figure of a column.
func (r Row) At(key string) float64 {
	for i, c := range r.Columns {
		if c.Key == key {
			return r.Figures[i].median
		}
	}
	return math.NaN()
}

// Find is the row of a contestant.
func (s Section) Find(name string) Row {
	for _, r := range s.Rows {
		if r.Name == name {
			return r
		}
	}
	return Row{}
}

// MarshalJSON gives an object with a field for each column; what is not known is null.
func (r Row) MarshalJSON() ([]byte, error) {
	number := func(v float64, digits int) any {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return nil
		}
		return json.Number(strconv.FormatFloat(v, 'f', digits, 64))
	}
	fields := map[string]any{"name": r.Name}
	if r.About != "" {
		fields["about"] = r.About
	}
	for i, c := range r.Columns {
		f := r.Figures[i]
		fields[c.Key] = number(f.median, c.Digits+1)
		if c.Spread {
			fields[c.Key+"_quartiles"] = []any{number(f.low, c.Digits+1), number(f.high, c.Digits+1)}
		}
	}
	return json.Marshal(fields)
}

// WriteJSON prints the report as one object, for programs.
func (rep Report) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(rep)
}

// WriteText prints the tables, for people.
func (rep Report) WriteText(out io.Writer) error {
	w := bufio.NewWriter(out)
	fmt.Fprintf(w, "%s\n%s, %d CPUs, %s, %d rounds\n", rep.Server, rep.Go, rep.CPUs, rep.Date, rep.Rounds)
	if rep.Quick {
		fmt.Fprintln(w, "quick: too short to say anything about speed")
	}
	for _, s := range rep.Sections {
		s.WriteText(w)
	}
	return w.Flush()
}

// WriteText prints the table and its verdicts.
func (s Section) WriteText(w io.Writer) {
	fmt.Fprintf(w, "\n%s\n%s\n\n", strings.ToUpper(s.Title), s.How)
	table := make([][]string, 0, len(s.Rows)+1)
	head := []string{""}
	for _, c := range s.Columns {
		head = append(head, c.Title)
		if c.Spread {
			head = append(head, "quartiles")
		}
	}
	table = append(table, head)
	for _, r := range s.Rows {
		line := []string{r.Name}
		for i, c := range s.Columns {
			f := r.Figures[i]
			line = append(line, Number(f.median, c.Digits))
			if c.Spread {
				line = append(line, f.quartiles(c.Digits))
			}
		}
		table = append(table, line)
	}
	writeTable(w, table)
	fmt.Fprintln(w)
	for _, r := range s.Rows {
		if r.About != "" {
			fmt.Fprintf(w, "%s: %s\n", r.Name, r.About)
		}
	}
	fmt.Fprintf(w, "The control, %s, beside itself: within %.1f %% in half of the rounds.\n", s.Control, 100*s.Noise)
	for _, v := range s.Verdicts {
		fmt.Fprintf(w, "%s: %s (%s)\n", v.Result, v.Target, v.Figure)
	}
}

func (s Spread) quartiles(digits int) string {
	if math.IsNaN(s.low) {
		return ""
	}
	return Number(s.low, digits) + "–" + Number(s.high, digits)
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

// Number writes a figure for people: commas in thousands, a dash for what is not known.
func Number(v float64, digits int) string {
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
