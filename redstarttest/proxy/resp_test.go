package proxy

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// TestWireFrames cuts a stream of every type into its frames, read whole and read byte by byte.
func TestWireFrames(t *testing.T) {
	frames := []struct {
		wire, text string
		top        byte
	}{
		{"+OK\r\n", "+OK", '+'},
		{"-ERR no\r\n", "-ERR no", '-'},
		{":-42\r\n", ":-42", ':'},
		{"$5\r\nhe\r\no\r\n", `"he\r\no"`, '$'},
		{"$0\r\n\r\n", `""`, '$'},
		{"$-1\r\n", "nil", '$'},
		{"*-1\r\n", "nil", '*'},
		{"_\r\n", "nil", '_'},
		{"*0\r\n", "[]", '*'},
		{"*3\r\n:1\r\n*2\r\n+a\r\n$1\r\nb\r\n_\r\n", `[:1 [+a "b"] nil]`, '*'},
		{"%2\r\n+a\r\n:1\r\n+b\r\n*1\r\n:2\r\n", "{+a: :1, +b: [:2]}", '%'},
		{"~2\r\n:1\r\n:2\r\n", "~[:1 :2]", '~'},
		{",3.14\r\n", ",3.14", ','},
		{"#t\r\n", "#t", '#'},
		{"(123456789012345678901234567890\r\n", "(123456789012345678901234567890", '('},
		{"=8\r\ntxt:some\r\n", `="txt:some"`, '='},
		{"!6\r\nERR no\r\n", `!"ERR no"`, '!'},
		{">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n", `>["invalidate" ["k"]]`, '>'},
		{"|1\r\n+ttl\r\n:3600\r\n*2\r\n:1\r\n|1\r\n+x\r\n+y\r\n:2\r\n", "|{+ttl: :3600} [:1 |{+x: +y} :2]", '*'},
		{"|1\r\n+a\r\n:1\r\n>1\r\n+p\r\n", "|{+a: :1} >[+p]", '>'},
		{"$70\r\n" + strings.Repeat("x", 70) + "\r\n", `"` + strings.Repeat("x", 48) + `"…(70 bytes)`, '$'},
		{"*34\r\n" + strings.Repeat(":7\r\n", 34), "[" + strings.Repeat(":7 ", 31) + ":7 … 2 more]", '*'},
	}
	var all []byte
	for _, f := range frames {
		all = append(all, f.wire...)
	}
	for name, src := range map[string]io.Reader{
		"whole": bytes.NewReader(all), "bytes": iotest.OneByteReader(bytes.NewReader(all)), "halves": iotest.HalfReader(bytes.NewReader(all)),
	} {
		in := newWireReader(src, func() {})
		for _, f := range frames {
			top, err := in.reply()
			if err != nil || top != f.top || string(in.frame()) != f.wire {
				t.Fatalf("%s: got %q %q, %v; want %q", name, top, in.frame(), err, f.wire)
			}
			if got := formatReply("", in.frame()); got != f.text {
				t.Errorf("%s: %q is written %s, want %s", name, f.wire, got, f.text)
			}
			in.next()
		}
		if _, err := in.reply(); !errors.Is(err, io.EOF) {
			t.Errorf("%s: at the end: %v, want EOF", name, err)
		}
	}
}

// TestWireLong parses commands far larger than the buffer, and gives the buffer back.
func TestWireLong(t *testing.T) {
	big := strings.Repeat("v", wireKeep+17)
	var all []byte
	for range 2 {
		all = append(all, encodeCommand("SET", "k", big)...)
		all = append(all, encodeCommand("GET", "k")...)
	}
	in := newWireReader(iotest.HalfReader(bytes.NewReader(all)), func() {})
	for i := range 4 {
		if err := in.command(); err != nil {
			t.Fatal(err)
		}
		if i%2 == 0 && (len(in.args) != 3 || string(in.arg(2)) != big) {
			t.Fatalf("command %d has %d arguments, or its value is wrong", i, len(in.args))
		}
		if i%2 == 1 && (len(in.args) != 2 || string(in.arg(0)) != "GET") {
			t.Fatalf("command %d is %q", i, in.frame())
		}
		in.next()
	}
	if len(in.buf) != wireStart {
		t.Errorf("an empty reader keeps %d bytes, want %d", len(in.buf), wireStart)
	}
}

func TestWireMalformed(t *testing.T) {
	for _, bad := range []string{"GET / HTTP/1.1\r\n", "*1\n", "*1\r\n:1\r\n", "*1\r\n$-1\r\n", "*x\r\n", "*1\r\n$1\r\nabc", "\x16\x03\x01\r\n", "*9999999999\r\n"} {
		in := newWireReader(strings.NewReader(bad), func() {})
		if err := in.command(); !errors.Is(err, errWire) {
			t.Errorf("%q as a command: %v, want malformed", bad, err)
		}
	}
	for _, cut := range []string{"*", "*2\r\n$1\r\na\r\n", "$5\r\nab", "%1\r\n+a\r\n"} {
		in := newWireReader(strings.NewReader(cut), func() {})
		if _, err := in.reply(); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%q: %v, want an unexpected end", cut, err)
		}
	}
}
