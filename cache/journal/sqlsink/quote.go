package sqlsink

import (
	"errors"
	"fmt"
	"strings"
)

// table is what the statements are made of.
type table struct {
	name    string
	columns []string // the keys, the others, the version
	keys    int
}

func (t *table) version() string { return t.columns[len(t.columns)-1] }

// checkName says what is wrong with the name of a column or a part of a table's.
func checkName(name string) error {
	switch {
	case name == "":
		return errors.New("an empty name")
	case strings.ContainsRune(name, 0):
		return errors.New("a name with a NUL byte")
	case len(name) > 63:
		// PostgreSQL would cut it at 63 bytes, and mean another.
		return fmt.Errorf("%q is longer than 63 bytes", name)
	}
	return nil
}

func checkTable(name string) error {
	parts := strings.Split(name, ".")
	if len(parts) > 2 {
		return fmt.Errorf("%q: want \"table\" or \"schema.table\"", name)
	}
	for _, part := range parts {
		if err := checkName(part); err != nil {
			return err
		}
	}
	return nil
}

// ansi quotes a name as PostgreSQL and SQLite want it, backtick as MySQL does: with
// the quote's own sign doubled a name cannot end early.
func ansi(name string) string     { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }
func backtick(name string) string { return "`" + strings.ReplaceAll(name, "`", "``") + "`" }

// quoteTable quotes each part of a table's name.
func quoteTable(name string, quote func(string) string) string {
	parts := strings.Split(name, ".")
	for i, part := range parts {
		parts[i] = quote(part)
	}
	return strings.Join(parts, ".")
}

// each joins what f makes of every name.
func each(names []string, sep string, f func(i int, name string) string) string {
	var b strings.Builder
	for i, name := range names {
		if i > 0 {
			b.WriteString(sep)
		}
		b.WriteString(f(i, name))
	}
	return b.String()
}

// list quotes names, separated by commas, each behind a prefix such as "new.".
func list(names []string, prefix string, quote func(string) string) string {
	return each(names, ", ", func(_ int, name string) string { return prefix + quote(name) })
}
