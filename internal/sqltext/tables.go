package sqltext

import "strings"

// data reads a statement that reads or changes rows: which tables, and whether
// its result is for the cache.
func (p part) data(head int) {
	var writes []string
	unsure := false
	for i := range p.tokens {
		if !p.changes(i, head) {
			continue
		}
		tables, ok := p.targets(i)
		writes, unsure = append(writes, tables...), unsure || !ok
	}
	p.from(head)
	if len(writes) > 0 || unsure || p.at(head).kind == word && writing[p.at(head).up] {
		p.writes = append(p.writes, writes...)
		p.all = p.all || unsure || len(writes) == 0
		return
	}
	p.statement.read = !p.unfit()
}

// changes reports whether the word at i begins a change of rows.
func (p part) changes(i, head int) bool {
	t, before := p.at(i), p.at(i-1)
	if t.kind != word || !writing[t.up] || before.mark(".") || p.at(i+1).mark("(") || p.at(i+1).mark(".") {
		return false
	}
	if i == head {
		return true
	}
	switch {
	case t.is("REPLACE"), t.is("TRUNCATE"), t.is("UPSERT"):
		return before.is("EXPLAIN") || before.is("ANALYZE") || before.mark(")")
	case before.is("FOR"), before.is("KEY"), before.is("DO"), before.is("ON"), before.is("THEN"), before.is("OR"), before.is("AS"):
		return false // FOR UPDATE, ON DUPLICATE KEY UPDATE, ON DELETE, WHEN MATCHED THEN DELETE
	}
	return before.mark("(") || before.mark(")") || before.is("ANALYZE") || before.is("ANALYSE") || before.is("VERBOSE") || before.is("EXPLAIN")
}

// targets are the tables that the change beginning at i names. ok is false when
// there are none to be seen.
func (p part) targets(i int) (tables []string, ok bool) {
	verb := p.at(i).up
	i++
	for p.at(i).is("OR") { // INSERT OR REPLACE
		i += 2
	}
	for p.at(i).kind == word && skipped[p.at(i).up] {
		i++
	}
	// MySQL's DELETE a, b FROM a JOIN b, and UPDATE a JOIN b SET: all tables up to there.
	several := verb == "UPDATE" || verb == "DELETE" || verb == "TRUNCATE"
	for depth := 0; ; {
		t := p.at(i)
		if t.mark("(") {
			depth++
			i++
			if p.at(i).is("SELECT") || p.at(i).is("WITH") {
				break
			}
			continue
		}
		if !t.name() || t.kind == word && noTable[t.up] {
			return tables, false
		}
		var name string
		name, i = p.named(i)
		tables = append(tables, name)
		if !several {
			return tables, true
		}
		if verb == "TRUNCATE" && p.has("CASCADE") {
			return tables, false
		}
		// To the next comma, JOIN, FROM or USING.
		for ; i < len(p.tokens); i++ {
			switch t := p.at(i); {
			case t.mark("("):
				depth++
				continue
			case t.mark(")"):
				if depth--; depth < 0 {
					return tables, true
				}
				continue
			case depth > 0:
				continue
			case t.is("SET") || t.is("WHERE") || t.is("RETURNING") || t.is("ORDER") || t.is("LIMIT"):
				return tables, true
			case verb == "DELETE" && (t.is("FROM") || t.is("USING")), t.mark(","), t.is("JOIN"), t.is("STRAIGHT_JOIN"):
			default:
				continue
			}
			break
		}
		if i >= len(p.tokens) {
			return tables, true
		}
		for i++; p.at(i).kind == word && skipped[p.at(i).up]; i++ {
		}
		if p.at(i).mark("(") && (p.at(i+1).is("SELECT") || p.at(i+1).is("WITH")) { // a subquery is read, not changed
			return tables, true
		}
	}
	return tables, len(tables) > 0
}

// clause is whether a list of tables is being read, at one depth of parentheses.
type clause struct{ from, expecting bool }

// from finds the tables that a statement reads.
func (p part) from(head int) {
	stack := []clause{{}}
	for i := 0; i < len(p.tokens); i++ {
		top := &stack[len(stack)-1]
		t := p.at(i)
		switch {
		case t.mark("("):
			// A parenthesis where a table is expected holds a join, or a query.
			stack = append(stack, clause{top.expecting, top.expecting})
			top.expecting = false
			continue
		case t.mark(")"):
			if len(stack) > 1 {
				stack = stack[:len(stack)-1]
			}
			continue
		case t.mark(",") && top.from:
			top.expecting = true
			continue
		case t.kind == word && !p.at(i-1).mark("."):
			switch {
			case t.is("FROM"), t.is("JOIN"), t.is("STRAIGHT_JOIN"), t.is("TABLE") && i == head:
				*top = clause{true, true}
				continue
			case t.is("USING") && p.has("MERGE", "DELETE") && !p.at(i+1).mark("("):
				*top = clause{true, true}
				continue
			case endFrom[t.up]:
				*top = clause{}
				continue
			case top.expecting && skipped[t.up]:
				continue
			}
		}
		if top.expecting && t.name() {
			top.expecting = false
			name, next := p.named(i)
			if p.at(next).mark("(") {
				if !inert[strings.ToUpper(name)] {
					p.blind = true
				}
			} else {
				p.tables = append(p.tables, name)
			}
			i = next - 1
		}
	}
}

// unfit reports whether a result is never cached: the statement locks rows, does
// something, or gives another result each time.
func (p part) unfit() bool {
	for i, t := range p.tokens {
		next := p.at(i + 1)
		if p.at(i-1).mark(".") && !next.mark("(") {
			continue // a column
		}
		up := t.up
		if t.kind == quoted {
			up = strings.ToUpper(t.text)
		}
		switch {
		case t.kind == literal:
			if instants[strings.ToUpper(strings.TrimSpace(t.text))] {
				return true
			}
		case t.mark("@") && p.d == MySQL: // a variable of the session
			return true
		case t.kind == word && t.is("FOR") && (next.is("UPDATE") || next.is("SHARE") || next.is("NO") || next.is("KEY")),
			t.kind == word && t.is("LOCK") && next.is("IN"):
			return true
		case t.kind == word && t.is("INTO"):
			// SELECT INTO makes a table, or sets variables.
			if p.d != MySQL {
				p.all = true
			}
			if next.is("TEMP") || next.is("TEMPORARY") {
				p.set = Own
			}
			return true
		case t.kind == word && clocks[up]:
			return true
		case t.name() && next.mark("(") && (volatile[up] || p.d != Postgres && p.d != MySQL && dated[up] && p.bare(i+1)):
			return true
		}
	}
	return false
}

// bare reports whether the parenthesis at i holds nothing, or nothing but a
// format: SQLite then takes the time of now.
func (p part) bare(i int) bool {
	return p.at(i+1).mark(")") || p.at(i+1).kind == literal && p.at(i+2).mark(")")
}
