package sqltext

import (
	"hash/maphash"
	"slices"
	"strings"
	"sync"
	"time"
)

// Verb is what a statement does to the transaction of its connection.
type Verb uint8

// The verbs.
const (
	NoVerb Verb = iota
	Begin
	Commit
	Rollback
	AutocommitOff
	AutocommitOn
)

// Session is what a statement does to what its connection sees.
type Session uint8

// The effects on a session.
const (
	Same  Session = iota
	Moved         // its identity is to be asked for again
	Own           // it has something of its own from now on: nothing is cached
	Fresh         // as it was when it was opened
)

// Statement is what is known of a text.
type Statement struct {
	Text  string
	Noted bool          // it has a comment to the cache, with a time, tags, and tags to be ended
	TTL   time.Duration // zero: not said
	Tags  []string
	Ends  []string
	Bad   error // what is wrong with it

	Read    bool     // it gives rows that may be cached, of these tables
	Tables  []string // in lower case, sorted; without schemas
	Blind   bool     // it reads tables that it does not name
	Writes  []string // the tables that it changes
	All     bool     // it may change anything
	Verb    Verb
	Strict  bool // the transaction's level is above read committed
	Chain   bool // the end of a transaction begins another one
	Set     Session
	Several bool // more than one statement
}

// Plain statements change nothing that matters to a cache.
func (s *Statement) Plain() bool {
	return len(s.Writes) == 0 && !s.All && s.Verb == NoVerb && s.Set == Same && !s.Strict && len(s.Ends) == 0
}

// Analyze gives what a text says by itself.
func Analyze(text string, d Dialect) *Statement {
	s := analyze(text, d)
	return &Statement{
		Text: text, Noted: s.noted, TTL: s.note.ttl, Tags: s.note.tags, Ends: s.note.ends, Bad: s.bad,
		Read: s.read, Tables: s.tables, Blind: s.blind, Writes: s.writes, All: s.all, Verb: s.verb,
		Strict: s.strict, Chain: s.chain, Set: s.set, Several: s.several,
	}
}

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
	verb    Verb
	strict  bool // the transaction's level is above read committed
	chain   bool // the end of a transaction begins another one
	set     Session
	several bool // more than one statement
}

// Statements remember the texts that were analyzed, a bounded number.
type Statements struct {
	dialect Dialect
	seed    maphash.Seed
	shards  [16]struct {
		mu    sync.RWMutex
		known map[string]*Statement
		_     [32]byte
	}
}

const (
	knownTexts = 256      // for each shard
	longText   = 16 << 10 // longer ones are analyzed each time
)

// NewStatements remembers nothing yet.
func NewStatements(d Dialect) *Statements { return &Statements{dialect: d, seed: maphash.MakeSeed()} }

// Of gives what is known of a text.
func (k *Statements) Of(text string) *Statement {
	if len(text) > longText {
		return Analyze(text, k.dialect)
	}
	shard := &k.shards[maphash.String(k.seed, text)%16]
	shard.mu.RLock()
	s := shard.known[text]
	shard.mu.RUnlock()
	if s != nil {
		return s
	}
	s = Analyze(strings.Clone(text), k.dialect)
	shard.mu.Lock()
	defer shard.mu.Unlock()
	if len(shard.known) >= knownTexts {
		shard.known = nil // texts that never come again push out all others at the worst
	}
	if shard.known == nil {
		shard.known = map[string]*Statement{}
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
		s.all = s.all || s.verb != NoVerb
	}
	s.tables, s.writes = Fold(s.tables), Fold(s.writes)
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
		p.set = max(p.set, Own)
	}
	switch h.up {
	case "SELECT", "VALUES", "TABLE", "WITH", "INSERT", "UPDATE", "DELETE", "REPLACE", "MERGE", "UPSERT", "TRUNCATE":
		p.data(head)
	case "COPY", "LOAD":
		p.load(head)
	case "BEGIN", "START":
		p.begins(head)
	case "COMMIT", "END":
		p.verb = Commit
		p.all = p.all || p.has("PREPARED")
		p.chain = p.has("CHAIN") && !p.has("NO")
	case "ROLLBACK", "ABORT":
		switch {
		case p.has("TO") || p.has("PREPARED"):
		default:
			p.verb = Rollback
			p.chain = p.has("CHAIN") && !p.has("NO")
		}
	case "SET", "RESET", "DISCARD", "USE", "PRAGMA", "ATTACH", "DETACH":
		p.setting(head)
	case "CREATE":
		if p.at(head+1).is("TEMP") || p.at(head+1).is("TEMPORARY") || p.has("TEMP", "TEMPORARY") {
			p.set = max(p.set, Own)
		}
		p.all = true
	default:
		p.rest(h)
	}
}

func (p part) rest(h token) {
	switch {
	case h.is("PREPARE") && p.at(1).is("TRANSACTION"):
		p.verb = Commit // others decide when: what it wrote ends now, and all when they do
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
	p.verb = Begin
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
		if p.set = Own; first.is("ALL") {
			p.set = Fresh
		}
		return
	case h.is("RESET") && first.is("ALL"):
		p.set = max(p.set, Moved)
		return
	case h.is("USE"):
		p.set = max(p.set, Moved)
		return
	case h.is("PRAGMA"):
		if p.at(head + 2).mark(".") {
			first = p.at(head + 3)
		}
		if !ignored[SQLite][first.up] {
			p.set = Own
		}
		return
	case h.is("ATTACH"), h.is("DETACH"):
		p.set = Own
		return
	}
	if p.has("TRANSACTION") { // the level, of this transaction or of those to come
		if p.has("SESSION", "CHARACTERISTICS", "GLOBAL") {
			p.set = Own
		}
		p.strict = true
		return
	}
	if p.d == MySQL && p.has("AUTOCOMMIT") {
		p.verb = AutocommitOff
		if last := p.at(len(p.tokens) - 1); last.text == "1" || last.is("ON") || last.is("TRUE") || last.is("DEFAULT") {
			p.verb = AutocommitOn
		}
		if slices.ContainsFunc(p.tokens, func(t token) bool { return t.mark(",") }) {
			p.set = Own
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
		p.set = Own
	case settled[p.d][first.up]:
		p.set = max(p.set, Moved)
	case !ignored[p.d][first.up]:
		p.set = Own
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
