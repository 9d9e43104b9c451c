package guarantees

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// Row is what a test writes about the promise it holds.
type Row struct {
	ID     string // "C1"
	Test   string // "faults.TestC1ColdKeyIsLoadedOnce"
	Figure string // what it printed, the date, the servers
}

// Update puts a row in its place in the page at path, which is made when it is
// not there. Everything else stays as it is: the text before the first table,
// other rows, the section after the last table. Programs that update at the
// same time wait for one another.
func Update(path string, row Row) error {
	if err := update(path, row); err != nil {
		return fmt.Errorf("write %s into %s: %w", row.ID, path, err)
	}
	return nil
}

func update(path string, row Row) error {
	if tableOf(row.ID) == "" {
		return errors.New("no table is for such promises")
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := lock(f); err != nil {
		return err
	}
	text, err := io.ReadAll(f)
	if err != nil {
		return err
	}
	page := rewrite(string(text), row)
	if _, err := f.WriteAt([]byte(page), 0); err != nil {
		return err
	}
	if err := f.Truncate(int64(len(page))); err != nil {
		return err
	}
	return f.Close() // which ends the lock
}

// rewrite gives the page with the row in it.
func rewrite(page string, row Row) string {
	head, rows, tail := take(page)
	test, figure := speed(rows[row.ID])
	rows[row.ID] = fmt.Sprintf("| %s | %s | `%s`%s | %s%s |", row.ID, text(row.ID, rows[row.ID]), row.Test, test, cell(row.Figure), figure)
	for _, a := range areas {
		for _, p := range a.promises {
			if _, ok := rows[p.id]; !ok {
				rows[p.id] = fmt.Sprintf("| %s | %s | | not yet: %s |", p.id, p.text, p.why)
			}
		}
	}
	var b strings.Builder
	b.WriteString(head)
	for _, a := range areas {
		fmt.Fprintf(&b, "\n## %s\n\n| ID | promise | test | figure, date, servers |\n|---|---|---|---|\n", a.title)
		for _, id := range sorted(rows, a) {
			b.WriteString(rows[id] + "\n")
		}
	}
	b.WriteString("\n" + tail)
	return b.String()
}

// speed gives what make bench has written into a row that it shares with the
// matrix: in each of the last two cells, a <br> and what is behind it.
func speed(row string) (test, figure string) {
	cells := strings.SplitN(strings.TrimSuffix(row, " |"), "|", 5) // "", " C6 ", its text, the test, the figure
	if len(cells) < 5 {
		return "", ""
	}
	behind := func(cell string) string {
		if at := strings.Index(cell, "<br>"); at >= 0 {
			return strings.TrimSpace(cell[at:])
		}
		return ""
	}
	return behind(cells[3]), behind(cells[4])
}

// take takes a page apart: what is before the first table's heading, the rows
// by their IDs, and the section on bugs. An empty page has those that a new
// one begins with.
func take(page string) (head string, rows map[string]string, tail string) {
	rows = map[string]string{}
	head, tail = intro, outro
	if strings.TrimSpace(page) == "" {
		return head, rows, tail
	}
	body := page
	bugs, _, _ := strings.Cut(outro, "\n")
	if before, after, ok := strings.Cut(page, "\n"+bugs); ok {
		body, tail = before, bugs+after
	}
	if at := strings.Index(body, "\n## "); at >= 0 {
		head, body = body[:at], body[at:]
	}
	for line := range strings.Lines(body) {
		cells := strings.Split(strings.TrimSpace(line), "|")
		if len(cells) > 2 && tableOf(strings.TrimSpace(cells[1])) != "" {
			rows[strings.TrimSpace(cells[1])] = strings.TrimSpace(line)
		}
	}
	return head, rows, tail
}

// text is the promise's text: the one known here, else the one that stands in
// the page.
func text(id, row string) string {
	for _, a := range areas {
		for _, p := range a.promises {
			if p.id == id {
				return p.text
			}
		}
	}
	if cells := strings.Split(row, "|"); len(cells) > 3 {
		return strings.TrimSpace(cells[2])
	}
	return ""
}

// tableOf is the title of the table for an ID: a letter that one of the
// table's promises has too, and a number.
func tableOf(id string) string {
	if _, n := split(id); n == 0 {
		return ""
	}
	for _, a := range areas {
		for _, p := range a.promises {
			if p.id[0] == id[0] {
				return a.title
			}
		}
	}
	return ""
}

// sorted are the IDs of a table's rows: letters in the table's order, then
// numbers.
func sorted(rows map[string]string, a area) []string {
	var letters string
	for _, p := range a.promises {
		if !strings.Contains(letters, p.id[:1]) {
			letters += p.id[:1]
		}
	}
	var ids []string
	for id := range rows {
		if tableOf(id) == a.title {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, func(x, y string) int {
		lx, nx := split(x)
		ly, ny := split(y)
		if lx != ly {
			return strings.Index(letters, lx) - strings.Index(letters, ly)
		}
		return nx - ny
	})
	return ids
}

// split takes an ID apart; 0 says that it is none.
func split(id string) (letter string, number int) {
	if len(id) < 2 || !unicode.IsUpper(rune(id[0])) {
		return "", 0
	}
	n, err := strconv.Atoi(id[1:])
	if err != nil {
		return "", 0
	}
	return id[:1], n
}

// cell makes text fit into a table.
func cell(s string) string {
	return strings.NewReplacer("|", "\\|", "\n", " ").Replace(s)
}
