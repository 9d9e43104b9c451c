package proxy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

// Sizes of the wire reader, in bytes.
const (
	wireStart   = 32 << 10  // first buffer
	wireKeep    = 4 << 20   // a larger buffer is given back once it is empty
	wireMaxLine = 1 << 20   // longest simple string, error or header
	wireMaxBulk = 512 << 20 // longest bulk string: the server's own limit
)

// errWire is what every error about malformed RESP wraps.
var errWire = errors.New("malformed RESP")

// wireReader cuts a byte stream into whole RESP frames. A frame stays in one piece in the buffer; positions are
// kept relative to its start, so that a frame that arrives in many reads is still parsed once, and a long bulk string
// costs one growing buffer (linear, doubling) and no copy per read.
//
// It is for one goroutine.
type wireReader struct {
	src  io.Reader
	idle func() // called before every read, which may block

	buf  []byte
	r, w int // start of the frame, end of the data
	pos  int // how far the frame is parsed, relative to r

	args []wireSpan // of the last command
}

// wireSpan is a piece of the frame, relative to its start.
type wireSpan struct{ from, to int }

func newWireReader(src io.Reader, idle func()) *wireReader {
	return &wireReader{src: src, idle: idle, buf: make([]byte, wireStart)}
}

// fill reads once. It moves the frame to the front of the buffer, or doubles the buffer, when there is no room.
func (d *wireReader) fill() error {
	d.idle()
	if d.w == len(d.buf) {
		if d.r > 0 {
			d.w = copy(d.buf, d.buf[d.r:d.w])
			d.r = 0
		} else {
			grown := make([]byte, 2*len(d.buf))
			copy(grown, d.buf)
			d.buf = grown
		}
	}
	n, err := d.src.Read(d.buf[d.w:])
	d.w += n
	if n > 0 {
		return nil
	}
	if err == io.EOF && d.w > d.r {
		return io.ErrUnexpectedEOF
	}
	if err == nil {
		return io.ErrNoProgress
	}
	return err
}

// need reads until n unparsed bytes are there.
func (d *wireReader) need(n int) error {
	for d.w-d.r-d.pos < n {
		if err := d.fill(); err != nil {
			return err
		}
	}
	return nil
}

// line parses up to and including CRLF and returns the line without it.
func (d *wireReader) line() (wireSpan, error) {
	start, from := d.pos, d.pos
	for {
		if i := bytes.IndexByte(d.buf[d.r+from:d.w], '\n'); i >= 0 {
			end := from + i
			if end == start || d.buf[d.r+end-1] != '\r' {
				return wireSpan{}, fmt.Errorf("%w: a line does not end in CRLF", errWire)
			}
			d.pos = end + 1
			return wireSpan{start, end - 1}, nil
		}
		from = d.w - d.r
		if from-start > wireMaxLine {
			return wireSpan{}, fmt.Errorf("%w: a line is longer than %d bytes", errWire, wireMaxLine)
		}
		if err := d.fill(); err != nil {
			return wireSpan{}, err
		}
	}
}

// bytes is a piece of the frame. It is good until the next read.
func (d *wireReader) bytes(s wireSpan) []byte { return d.buf[d.r+s.from : d.r+s.to] }

// header parses a line that is a type and a length.
func (d *wireReader) header() (kind byte, n int, err error) {
	s, err := d.line()
	if err != nil {
		return 0, 0, err
	}
	line := d.bytes(s)
	if len(line) == 0 {
		return 0, 0, fmt.Errorf("%w: empty line", errWire)
	}
	kind = line[0]
	switch kind {
	case '+', '-', ':', '_', '#', ',', '(':
		return kind, 0, nil
	case '$', '=', '!', '*', '~', '>', '%', '|':
		n, ok := wireInt(line[1:])
		if !ok || n > wireMaxBulk {
			return 0, 0, fmt.Errorf("%w: bad length in %q", errWire, clip(line))
		}
		return kind, n, nil
	}
	return 0, 0, fmt.Errorf("%w: no frame begins with %q", errWire, clip(line))
}

// body parses a bulk string's n bytes and its CRLF.
func (d *wireReader) body(n int) (wireSpan, error) {
	if err := d.need(n + 2); err != nil {
		return wireSpan{}, err
	}
	s := wireSpan{d.pos, d.pos + n}
	d.pos += n + 2
	if tail := d.bytes(wireSpan{s.to, s.to + 2}); tail[0] != '\r' || tail[1] != '\n' {
		return wireSpan{}, fmt.Errorf("%w: a bulk string does not end in CRLF", errWire)
	}
	return s, nil
}

// command reads a client's command (an array of bulk strings). Afterwards frame, len(args) and arg are good until
// next. An empty array is a command of no arguments: the server ignores it and so does not answer.
func (d *wireReader) command() error {
	d.args = d.args[:0]
	kind, n, err := d.header()
	if err != nil {
		return err
	}
	if kind != '*' {
		return fmt.Errorf("%w: a command must be an array, not %q (inline commands and TLS are not understood)", errWire, kind)
	}
	for range max(n, 0) {
		kind, n, err := d.header()
		if err != nil {
			return err
		}
		if kind != '$' || n < 0 {
			return fmt.Errorf("%w: an argument of a command must be a bulk string, not %q", errWire, kind)
		}
		s, err := d.body(n)
		if err != nil {
			return err
		}
		d.args = append(d.args, s)
	}
	return nil
}

// reply reads a server's frame, attributes in front of it included, and returns the type of the value itself.
// Afterwards frame is good until next.
func (d *wireReader) reply() (byte, error) {
	for {
		kind, n, err := d.value()
		if err != nil {
			return 0, err
		}
		if kind != '|' {
			return kind, d.skip(n)
		}
		if err := d.skip(n); err != nil { // the attribute's pairs; the value follows
			return 0, err
		}
	}
}

// value parses a value, or the header of an aggregate: then n values follow it.
func (d *wireReader) value() (kind byte, n int, err error) {
	kind, n, err = d.header()
	if err != nil || n < 0 {
		return kind, 0, err
	}
	switch kind {
	case '$', '=', '!':
		_, err = d.body(n)
		return kind, 0, err
	case '%', '|':
		return kind, 2 * n, nil
	}
	return kind, n, nil
}

// skip parses n values with all that is in them.
func (d *wireReader) skip(n int) error {
	for n > 0 {
		kind, more, err := d.value()
		if err != nil {
			return err
		}
		n += more - 1
		if kind == '|' {
			n++ // an attribute stands before a value, not for one
		}
	}
	return nil
}

// frame is the whole frame just read, good until next.
func (d *wireReader) frame() []byte { return d.buf[d.r : d.r+d.pos] }

func (d *wireReader) arg(i int) []byte { return d.bytes(d.args[i]) }

// next is called when the frame is done with.
func (d *wireReader) next() {
	d.r += d.pos
	d.pos = 0
	if d.r == d.w {
		d.r, d.w = 0, 0
		if len(d.buf) > wireKeep {
			d.buf = make([]byte, wireStart)
		}
	}
}

// rest takes everything that has been read and not yet been parsed, as it is.
func (d *wireReader) rest() []byte {
	d.pos = d.w - d.r
	return d.frame()
}

func clip(line []byte) []byte { return line[:min(len(line), 32)] }

// wireInt is strconv.Atoi on bytes, for lengths: no allocation, nine digits at most.
func wireInt(b []byte) (n int, ok bool) {
	negative := len(b) > 1 && b[0] == '-'
	if negative {
		b = b[1:]
	}
	if len(b) == 0 || len(b) > 9 {
		return 0, false
	}
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = 10*n + int(c-'0')
	}
	if negative {
		n = -n
	}
	return n, true
}

// wireCursor walks through a whole frame, which a wireReader has checked.
type wireCursor struct{ rest []byte }

// next returns a value: text is what a scalar says; n is how many values an aggregate has (a map two for each pair);
// null is set for the null of any type.
func (c *wireCursor) next() (kind byte, text []byte, n int, null bool) {
	end := bytes.IndexByte(c.rest, '\n')
	if end < 1 {
		c.rest = nil
		return 0, nil, 0, true
	}
	kind, text = c.rest[0], c.rest[1:end-1]
	c.rest = c.rest[end+1:]
	switch kind {
	case '_':
		return kind, nil, 0, true
	case '$', '=', '!', '*', '~', '>', '%', '|':
		n, _ = wireInt(text)
		text = nil
		if n < 0 {
			return kind, nil, 0, true
		}
	}
	switch kind {
	case '$', '=', '!':
		text, c.rest = c.rest[:n], c.rest[n+2:]
		n = 0
	case '%', '|':
		n *= 2
	}
	return kind, text, n, false
}
