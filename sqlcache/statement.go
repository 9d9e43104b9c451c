package sqlcache

import (
	"hash/maphash"
	"slices"
	"strings"
	"sync"
)

// verb is what a statement does to the transaction of its connection.
type verb uint8

const (
	noVerb verb = iota
	begin
	commit
	rollback
	autocommitOff
	autocommitOn
)

// session is what a statement does to what its connection sees.
type session uint8

const (
	same  session = iota
	moved         // its identity is to be asked for again
	own           // it has something of its own from now on: nothing is cached
	fresh         // as it was when it was opened
)

// statement is what is known of a text.
type statement struct {
	text  string
	note  note
	noted bool  // it has a comment to the cache
	bad   error // what is wrong with it

	read    bool     // it gives rows that may be cached, of these tables
	tables  []string // in lower case, sorted; without schemas
	blind   bool     // it reads tables that it does not name
	writes  []string // the tables that it changes
	all     bool     // it may change anything
	verb    verb
	strict  bool // the transaction's level is above read committed
	chain   bool // the end of a transaction begins another one
	set     session
	several bool // more than one statement
}

// plain statements change nothing that matters here.
func (s *statement) plain() bool {
	return len(s.writes) == 0 && !s.all && s.verb == noVerb && s.set == same && !s.strict && len(s.note.ends) == 0
}

// statements remember the texts that were analyzed, a bounded number.
type statements struct {
	dialect Dialect
	seed    maphash.Seed
	shards  [16]struct {
		mu    sync.RWMutex
		known map[string]*statement
		_     [32]byte
	}
}

const (
	knownTexts = 256      // for each shard
	longText   = 16 << 10 // longer ones are analyzed each time
)

func newStatements(d Dialect) *statements { return &statements{dialect: d, seed: maphash.MakeSeed()} }

func (k *statements) of(text string) *statement {
	if len(text) > longText {
		return analyze(text, k.dialect)
	}
	shard := &k.shards[maphash.String(k.seed, text)%16]
	shard.mu.RLock()
	s := shard.known[text]
	shard.mu.RUnlock()
	if s != nil {
		return s
	}
	s = analyze(strings.Clone(text), k.dialect)
	shard.mu.Lock()
	defer shard.mu.Unlock()
	if len(shard.known) >= knownTexts {
		shard.known = nil // texts that never come again push out all others at the worst
	}
	if shard.known == nil {
		shard.known = map[string]*statement{}
	}
	shard.known[text] = s
	return s
}

// analyze finds out what a text does. What it does not understand may change
// anything, and is not cached.
func analyze(text string, d Dialect) *statement {
	s := &statement{text: text}
	tokens, notes, broken := lex(text, d)
	spoken := 0
	for _, n := range notes {
		got, ok, err := readNote(n)
		if !ok {
			continue
		}
		if spoken++; spoken > 1 {
			s.bad = errTwoNotes
		}
		s.note, s.noted = got, true
		if err != nil {
			s.bad = err
		}
	}
	parts := split(tokens)
	s.several = len(parts) > 1
	for _, p := range parts {
		part{s, p, d}.read()
	}
	if broken {
		s.read, s.all = false, true
	}
	if s.several {
		s.read = false
		s.all = s.all || s.verb != noVerb
	}
	s.tables, s.writes = fold(s.tables), fold(s.writes)
	return s
}

// split parts a text at its semicolons. The body of a CREATE has such of its own.
func split(tokens []token) (parts [][]token) {
	from, depth := 0, 0
	for i, t := range tokens {
		switch {
		case t.mark("("):
			depth++
		case t.mark(")"):
			depth--
		case t.mark(";") && depth <= 0:
			if i > from {
				parts = append(parts, tokens[from:i])
			}
			from = i + 1
		}
	}
	if from < len(tokens) {
		parts = append(parts, tokens[from:])
	}
	if len(parts) > 0 && parts[0][0].is("CREATE") {
		return [][]token{tokens}
	}
	return parts
}

// part is one statement of a text.
type part struct {
	*statement
	tokens []token
	d      Dialect
}

func (p part) at(i int) token {
	if i >= 0 && i < len(p.tokens) {
		return p.tokens[i]
	}
	return token{kind: other}
}

func (p part) has(words ...string) bool {
	return slices.ContainsFunc(p.tokens, func(t token) bool { return t.kind == word && slices.Contains(words, t.up) })
}

func (p part) read() {
	head := 0
	for p.at(head).mark("(") {
		head++
	}
	h := p.at(head)
	if slices.ContainsFunc(p.tokens, func(t token) bool { return t.name() && strings.EqualFold(t.text, "set_config") }) {
		p.set = max(p.set, own)
	}
	switch h.up {
	case "SELECT", "VALUES", "TABLE", "WITH", "INSERT", "UPDATE", "DELETE", "REPLACE", "MERGE", "UPSERT", "TRUNCATE":
		p.data(head)
	case "COPY", "LOAD":
		p.load(head)
	case "BEGIN", "START":
		p.begins(head)
	case "COMMIT", "END":
		p.verb = commit
		p.all = p.all || p.has("PREPARED")
		p.chain = p.has("CHAIN") && !p.has("NO")
	case "ROLLBACK", "ABORT":
		switch {
		case p.has("TO") || p.has("PREPARED"):
		default:
			p.verb = rollback
			p.chain = p.has("CHAIN") && !p.has("NO")
		}
	case "SET", "RESET", "DISCARD", "USE", "PRAGMA", "ATTACH", "DETACH":
		p.setting(head)
	case "CREATE":
		if p.at(head+1).is("TEMP") || p.at(head+1).is("TEMPORARY") || p.has("TEMP", "TEMPORARY") {
			p.set = max(p.set, own)
		}
		p.all = true
	default:
		p.rest(h)
	}
}

func (p part) rest(h token) {
	switch {
	case h.is("PREPARE") && p.at(1).is("TRANSACTION"):
		p.verb = commit // others decide when: what it wrote ends now, and all when they do
		p.all = true
	case h.is("EXPLAIN") && p.has("ANALYZE", "ANALYSE"):
		p.data(0)
		p.statement.read = false
	case h.kind != word || !harmless[h.up] || p.d == MySQL && !h.is("SAVEPOINT") && !h.is("RELEASE") && !h.is("SHOW") &&
		!h.is("EXPLAIN") && !h.is("DESC") && !h.is("DESCRIBE"): // MySQL commits before many of them
		p.all = true
	}
}

// begins is BEGIN or START TRANSACTION.
func (p part) begins(head int) {
	if p.at(head).is("START") && !p.at(head+1).is("TRANSACTION") {
		p.all = true
		return
	}
	p.verb = begin
	p.strict = p.leveled()
}

// leveled reports whether a level above read committed is named.
func (p part) leveled() bool {
	return p.has("SERIALIZABLE", "REPEATABLE", "SNAPSHOT", "EXCLUSIVE", "IMMEDIATE", "CONSISTENT")
}

// setting is a statement that changes what the connection sees.
func (p part) setting(head int) {
	h, first := p.at(head), p.at(head+1)
	switch {
	case h.is("DISCARD"):
		if p.set = own; first.is("ALL") {
			p.set = fresh
		}
		return
	case h.is("RESET") && first.is("ALL"):
		p.set = max(p.set, moved)
		return
	case h.is("USE"):
		p.set = max(p.set, moved)
		return
	case h.is("PRAGMA"):
		if p.at(head + 2).mark(".") {
			first = p.at(head + 3)
		}
		if !ignored[SQLite][first.up] {
			p.set = own
		}
		return
	case h.is("ATTACH"), h.is("DETACH"):
		p.set = own
		return
	}
	if p.has("TRANSACTION") { // the level, of this transaction or of those to come
		if p.has("SESSION", "CHARACTERISTICS", "GLOBAL") {
			p.set = own
		}
		p.strict = true
		return
	}
	if p.d == MySQL && p.has("AUTOCOMMIT") {
		p.verb = autocommitOff
		if last := p.at(len(p.tokens) - 1); last.text == "1" || last.is("ON") || last.is("TRUE") || last.is("DEFAULT") {
			p.verb = autocommitOn
		}
		if slices.ContainsFunc(p.tokens, func(t token) bool { return t.mark(",") }) {
			p.set = own
		}
		return
	}
	if first.is("LOCAL") && p.d == Postgres { // it ends with the transaction
		p.strict = true
		return
	}
	for first.is("SESSION") && !p.at(head+2).is("AUTHORIZATION") || first.is("LOCAL") {
		head++
		first = p.at(head + 1)
	}
	if first.is("SESSION") || first.is("TIME") && p.at(head+2).is("ZONE") {
		first = p.at(head + 2)
	}
	next := p.at(head + 2)
	switch {
	case next.mark(".") || next.mark(",") || p.d == MySQL && slices.ContainsFunc(p.tokens, func(t token) bool { return t.mark(",") }):
		p.set = own
	case settled[p.d][first.up]:
		p.set = max(p.set, moved)
	case !ignored[p.d][first.up]:
		p.set = own
	}
}

// load is COPY or LOAD DATA.
func (p part) load(head int) {
	for i := head + 1; i < len(p.tokens); i++ {
		t := p.at(i)
		switch {
		case t.is("TO") && p.at(head).is("COPY"):
			return
		case t.is("FROM") && p.at(head).is("COPY") && p.at(head+1).name():
			name, _ := p.named(head + 1)
			p.writes = append(p.writes, name)
			return
		case t.is("INTO") && p.at(i+1).is("TABLE") && p.at(i+2).name():
			name, _ := p.named(i + 2)
			p.writes = append(p.writes, name)
			return
		}
	}
	p.all = true
}

// named gives the last part of a dotted name, and the place behind it.
func (p part) named(i int) (name string, next int) {
	name = p.at(i).text
	for i++; p.at(i).mark(".") && p.at(i+1).name(); i += 2 {
		name = p.at(i + 1).text
	}
	return strings.ToLower(name), i
}
