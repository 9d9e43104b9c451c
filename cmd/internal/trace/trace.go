// Package trace reads recorded traffic as a sequence of keys: a web server's access log, a column of a CSV file, or one
// key per line; or it makes a seeded Zipf load when there is no record.
package trace

import (
	"bufio"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

const (
	// MaxRequests bounds what Open reads when the caller sets no limit: memory, not correctness, is what runs out.
	MaxRequests = 1_000_000
	// MaxKey is the longest key kept, in bytes. Longer ones are counted as skipped: they are nearly always attacks or
	// noise in a log, and no sane service makes such keys.
	MaxKey = 1024

	maxLine = 1 << 20
)

// Trace is a sequence of requests, each for one of Keys.
type Trace struct {
	// Source says for people where the trace comes from: the file's name without its folder, for reports travel.
	Source string
	// Keys are the distinct keys in the order of their first request.
	Keys []string
	// Requests are indexes into Keys, in the order of the record.
	Requests []int32
	// Skipped counts lines that hold no request: malformed, without a key, or with one longer than MaxKey.
	Skipped int
}

// ErrFormat is wrapped by errors about a file that cannot be read as a trace: the caller's to correct.
var ErrFormat = errors.New("not a usable trace")

// By says what an access log is a record of.
type By int

const (
	Paths   By = iota // what was asked for: the key is the path, without its query
	Clients           // who asked: the key is the address
)

func (b By) key() func(line string) (string, bool) {
	if b == Clients {
		return requestClient
	}
	return requestPath
}

// Options chooses how a file is read.
type Options struct {
	// By chooses the key of an access log.
	By By
	// Column is the name of the CSV column that holds the key. Set, it makes the file a CSV with a header.
	Column string
	// Limit stops the reading after so many requests; 0 reads all, at most MaxRequests.
	Limit int
}

// Open reads the trace in the file at path. A gzipped file (a rotated log) is unpacked on the way. Without a column the
// format is recognised by the first line: an access log in common or combined format, else one key per line.
func Open(path string, o Options) (*Trace, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("trace: %w", err)
	}
	defer f.Close()
	t, err := Read(f, path, o)
	if err != nil {
		return nil, fmt.Errorf("trace: %s: %w", path, err)
	}
	return t, nil
}

// Read reads a trace from r; name is the file's name, for Source and to recognise a CSV.
func Read(r io.Reader, name string, o Options) (*Trace, error) {
	if o.Limit <= 0 || o.Limit > MaxRequests {
		o.Limit = MaxRequests
	}
	in := bufio.NewReaderSize(r, 64<<10)
	if magic, _ := in.Peek(2); string(magic) == "\x1f\x8b" {
		z, err := gzip.NewReader(in)
		if err != nil {
			return nil, fmt.Errorf("unpack: %w", err)
		}
		defer z.Close()
		in = bufio.NewReaderSize(z, 64<<10)
	}
	b := newBuilder(o.Limit)
	format, err := read(b, in, name, o)
	if err != nil {
		return nil, err
	}
	if len(b.Requests) == 0 {
		return nil, fmt.Errorf("%w: no request in it (%d lines skipped); give an access log, a CSV with --key-column, or one key per line",
			ErrFormat, b.Skipped)
	}
	b.Source = fmt.Sprintf("%s (%s)", filepath.Base(name), format)
	return &b.Trace, nil
}

func read(b *builder, in *bufio.Reader, name string, o Options) (format string, err error) {
	if o.Column != "" {
		return "CSV by " + o.Column, readCSV(b, in, o.Column)
	}
	first, err := firstLine(in)
	if err != nil {
		return "", err
	}
	if _, ok := requestPath(first); ok {
		return "access log", readLines(b, in, o.By.key())
	}
	if plain := strings.TrimSuffix(strings.ToLower(name), ".gz"); strings.HasSuffix(plain, ".csv") {
		return "", fmt.Errorf("%w: a CSV file needs --key-column NAME, one of: %s", ErrFormat, strings.TrimSpace(first))
	}
	return "one key per line", readLines(b, in, wholeLine)
}

// firstLine returns the first line that is not empty without consuming it.
func firstLine(in *bufio.Reader) (string, error) {
	head, err := in.Peek(in.Size())
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, bufio.ErrBufferFull) {
		return "", fmt.Errorf("read: %w", err)
	}
	for line := range strings.Lines(string(head)) {
		if strings.TrimSpace(line) != "" {
			return strings.TrimRight(line, "\r\n"), nil
		}
	}
	return "", nil
}

func readLines(b *builder, in *bufio.Reader, key func(line string) (string, bool)) error {
	sc := bufio.NewScanner(in)
	sc.Buffer(make([]byte, 64<<10), maxLine)
	for !b.full() && sc.Scan() {
		if sc.Text() == "" {
			continue
		}
		k, ok := key(sc.Text())
		b.add(k, ok)
	}
	if err := sc.Err(); err != nil {
		return fmt.Errorf("read: %w", err)
	}
	return nil
}

func wholeLine(line string) (string, bool) { return line, true }

// builder numbers the distinct keys as they come.
type builder struct {
	Trace
	limit int
	index map[string]int32
}

func newBuilder(limit int) *builder { return &builder{limit: limit, index: make(map[string]int32)} }

func (b *builder) full() bool { return len(b.Requests) >= b.limit }

func (b *builder) add(key string, ok bool) {
	if !ok || key == "" || len(key) > MaxKey {
		b.Skipped++
		return
	}
	i, seen := b.index[key]
	if !seen {
		i = int32(len(b.Keys))
		key = strings.Clone(key) // not to keep the whole line alive
		b.Keys = append(b.Keys, key)
		b.index[key] = i
	}
	b.Requests = append(b.Requests, i)
}

// Resize returns the trace with exactly n requests: its beginning, or repeated from the start as often as it takes.
// Keys that are never asked for fall away.
func (t *Trace) Resize(n int) *Trace {
	if n <= 0 || n == len(t.Requests) {
		return t
	}
	b := newBuilder(n)
	for i := 0; !b.full(); i++ {
		b.add(t.Keys[t.Requests[i%len(t.Requests)]], true)
	}
	b.Source, b.Skipped = t.Source, t.Skipped
	return &b.Trace
}
