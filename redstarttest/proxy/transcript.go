package proxy

import (
	"io"
	"slices"
	"strconv"
	"sync"
)

// An Exchange is a command and its replies, or something that the server sent unasked.
type Exchange struct {
	Conn    uint64   // ConnInfo.ID
	Command string   // `GET "shop:user:1"`: the name in upper case, the arguments quoted; empty: sent unasked
	Replies []string // `S "ada"`; see Transcript for the form
}

// A Transcript keeps what goes through a proxy, as text.
//
// A line is a mark and what was sent:
//
//	C GET "shop:user:1"     from a client
//	S "ada"                 the server's reply, or something it sent unasked
//	P -LOADING …            an answer that the proxy made
//	X :1                    a reply of the server that a rule swallowed
//
// Values are written as "bulk strings" (quoted as in Go), +OK, -ERR …, :1, nil, [array elements], {map: pairs},
// ~[set], >[push], ,1.5 (double), #t, (123 (big number), ="txt:verbatim", !"bulk error", |{attributes} value. Bulk
// strings of more than 64 bytes are cut to 48 and followed by their length, arrays of more than 32 elements by the number
// of the rest, so a line stays readable; what varies from run to run (client ids, times) is written as it is.
type Transcript struct {
	p *Proxy
	w io.Writer // nil: keep

	mu   sync.Mutex
	kept []*Exchange
	err  error
}

// Transcript begins to record, in memory, every connection. Whatever a client has read is already in it.
func (p *Proxy) Transcript() *Transcript { return p.record(nil) }

// Record writes every line to w as it happens, one Write each. stop ends it and returns w's first error, after which
// nothing was written. w must not use the proxy.
func (p *Proxy) Record(w io.Writer) (stop func() error) {
	t := p.record(w)
	return func() error {
		t.Stop()
		t.mu.Lock()
		defer t.mu.Unlock()
		return t.err
	}
}

func (p *Proxy) record(w io.Writer) *Transcript {
	t := &Transcript{p: p, w: w}
	p.mu.Lock()
	defer p.mu.Unlock()
	all := append(slices.Clone(*p.transcripts.Load()), t)
	p.transcripts.Store(&all)
	return t
}

// Stop ends the recording; what is recorded stays.
func (t *Transcript) Stop() {
	t.p.mu.Lock()
	defer t.p.mu.Unlock()
	all := slices.DeleteFunc(slices.Clone(*t.p.transcripts.Load()), func(o *Transcript) bool { return o == t })
	t.p.transcripts.Store(&all)
}

// Lines are all lines: commands in the order in which they came, each followed by its replies, however the two were
// interleaved on the wire, so that a pipeline reads the same in every run. What was sent unasked stands where it came.
func (t *Transcript) Lines() []string {
	var lines []string
	for _, x := range t.Exchanges() {
		if x.Command != "" {
			lines = append(lines, "C "+x.Command)
		}
		lines = append(lines, x.Replies...)
	}
	return lines
}

// Exchanges is the same as Lines, with the connections.
func (t *Transcript) Exchanges() []Exchange {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := make([]Exchange, len(t.kept))
	for i, x := range t.kept {
		out[i] = Exchange{x.Conn, x.Command, slices.Clone(x.Replies)}
	}
	return out
}

// Clear forgets what has been recorded.
func (t *Transcript) Clear() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept = nil
}

// transcriptNote is where the replies of a command go.
type transcriptNote struct {
	t *Transcript
	x *Exchange
}

// add adds an exchange, whose replies may follow.
func (t *Transcript) add(x Exchange) transcriptNote {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.w != nil {
		if x.Command != "" {
			t.line("C " + x.Command)
		}
		for _, r := range x.Replies {
			t.line(r)
		}
	} else {
		t.kept = append(t.kept, &x)
	}
	return transcriptNote{t, &x}
}

// reply adds a reply to a command.
func (n transcriptNote) reply(line string) {
	n.t.mu.Lock()
	defer n.t.mu.Unlock()
	if n.t.w != nil {
		n.t.line(line)
	} else {
		n.x.Replies = append(n.x.Replies, line)
	}
}

func (t *Transcript) line(text string) {
	if t.err == nil {
		_, t.err = io.WriteString(t.w, text+"\n")
	}
}

// Bounds of a line, see Transcript.
const (
	textMaxBulk  = 64
	textCutBulk  = 48
	textMaxArray = 32
)

// formatCommand writes a command as a line of a Transcript has it.
func formatCommand(cmd []string) string {
	line := []byte(cmd[0])
	for _, arg := range cmd[1:] {
		line = append(line, ' ')
		line = formatBulk(line, []byte(arg))
	}
	return string(line)
}

// formatReply writes a whole frame as a line of a Transcript has it.
func formatReply(mark string, frame []byte) string {
	c := wireCursor{frame}
	return string(formatValue([]byte(mark), &c))
}

func formatBulk(dst, b []byte) []byte {
	if len(b) <= textMaxBulk {
		return strconv.AppendQuote(dst, string(b))
	}
	dst = strconv.AppendQuote(dst, string(b[:textCutBulk]))
	dst = append(dst, "…("...)
	dst = strconv.AppendInt(dst, int64(len(b)), 10)
	return append(dst, " bytes)"...)
}

func formatValue(dst []byte, c *wireCursor) []byte {
	kind, text, n, null := c.next()
	if null {
		return append(dst, "nil"...)
	}
	switch kind {
	case '$':
		return formatBulk(dst, text)
	case '=', '!':
		return formatBulk(append(dst, kind), text)
	case '*', '~', '>':
		if kind != '*' {
			dst = append(dst, kind)
		}
		return formatList(dst, c, n)
	case '%':
		return formatPairs(dst, c, n/2)
	case '|':
		dst = append(formatPairs(append(dst, kind), c, n/2), ' ')
		return formatValue(dst, c)
	}
	return append(append(dst, kind), text...)
}

func formatList(dst []byte, c *wireCursor, n int) []byte {
	dst = append(dst, '[')
	for i := range n {
		switch {
		case i >= textMaxArray:
			formatValue(nil, c)
			continue
		case i > 0:
			dst = append(dst, ' ')
		}
		dst = formatValue(dst, c)
	}
	return append(formatRest(dst, n), ']')
}

func formatPairs(dst []byte, c *wireCursor, n int) []byte {
	dst = append(dst, '{')
	for i := range n {
		if i >= textMaxArray {
			formatValue(nil, c)
			formatValue(nil, c)
			continue
		}
		if i > 0 {
			dst = append(dst, ", "...)
		}
		dst = append(formatValue(dst, c), ": "...)
		dst = formatValue(dst, c)
	}
	return append(formatRest(dst, n), '}')
}

func formatRest(dst []byte, n int) []byte {
	if n <= textMaxArray {
		return dst
	}
	dst = append(dst, " … "...)
	dst = strconv.AppendInt(dst, int64(n-textMaxArray), 10)
	return append(dst, " more"...)
}
