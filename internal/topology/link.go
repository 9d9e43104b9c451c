package topology

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// link is a connection for questions to one server: a sentinel, or a data
// node's ROLE. It is not shared. A question that fails closes it, and the next
// one dials anew.
type link struct {
	addr string
	dial Dialer
	auth Auth
	conn net.Conn
	in   *bufio.Reader
}

// Dialer makes a connection to host:port, with TLS where that is wanted.
type Dialer func(ctx context.Context, addr string) (net.Conn, error)

// Auth gives the credentials for a server; empty ones mean that it wants none.
type Auth func(ctx context.Context) (username, password string, err error)

// ask sends one command and gives its reply: a string, an int64, nil, an
// error for an error reply, or a slice of these.
func (l *link) ask(ctx context.Context, words ...string) (any, error) {
	if err := l.connect(ctx); err != nil {
		return nil, err
	}
	answer, err := l.exchange(ctx, words)
	if err != nil {
		l.close()
		return nil, err
	}
	if refusal, ok := answer.(replyError); ok {
		return nil, refusal
	}
	return answer, nil
}

func (l *link) connect(ctx context.Context) error {
	if l.conn != nil {
		return nil
	}
	conn, err := l.dial(ctx, l.addr)
	if err != nil {
		return err
	}
	l.conn, l.in = conn, bufio.NewReader(conn)
	if err := authenticate(ctx, l); err != nil {
		l.close()
		return err
	}
	return nil
}

func authenticate(ctx context.Context, l *link) error {
	if l.auth == nil {
		return nil
	}
	username, password, err := l.auth(ctx)
	if err != nil || password == "" {
		return err
	}
	words := []string{"AUTH", password}
	if username != "" {
		words = []string{"AUTH", username, password}
	}
	answer, err := l.exchange(ctx, words)
	if refusal, ok := answer.(replyError); ok {
		return refusal
	}
	return err
}

func (l *link) close() {
	if l.conn != nil {
		_ = l.conn.Close()
		l.conn = nil
	}
}

// exchange writes a command and reads its reply before ctx ends.
func (l *link) exchange(ctx context.Context, words []string) (any, error) {
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(time.Second)
	}
	if err := l.conn.SetDeadline(deadline); err != nil {
		return nil, err
	}
	var b []byte
	b = append(b, '*')
	b = strconv.AppendInt(b, int64(len(words)), 10)
	for _, w := range words {
		b = append(b, "\r\n$"...)
		b = strconv.AppendInt(b, int64(len(w)), 10)
		b = append(append(b, "\r\n"...), w...)
	}
	if _, err := l.conn.Write(append(b, "\r\n"...)); err != nil {
		return nil, err
	}
	return readReply(l.in, 0)
}

// replyError is an error reply.
type replyError string

func (e replyError) Error() string { return string(e) }

var errReply = errors.New("redstart: topology: not a RESP2 reply")

// readReply reads one RESP2 reply. Bounds keep a stranger's bytes from asking
// for memory.
func readReply(in *bufio.Reader, depth int) (any, error) {
	head, err := in.ReadString('\n')
	if err != nil {
		return nil, err
	}
	head = strings.TrimRight(head, "\r\n")
	if head == "" || depth > 4 {
		return nil, errReply
	}
	kind, text := head[0], head[1:]
	switch kind {
	case '+':
		return text, nil
	case '-':
		return replyError(text), nil
	case ':':
		return strconv.ParseInt(text, 10, 64)
	case '$', '*':
		n, err := strconv.Atoi(text)
		if err != nil || n > 1<<20 {
			return nil, errReply
		}
		if n < 0 {
			return nil, nil
		}
		if kind == '$' {
			b := make([]byte, n+2)
			if _, err := io.ReadFull(in, b); err != nil {
				return nil, err
			}
			return string(b[:n]), nil
		}
		list := []any{}
		for range n {
			v, err := readReply(in, depth+1)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		return list, nil
	default:
		return nil, fmt.Errorf("%w: it begins with %q", errReply, kind)
	}
}

// fields is a flat list of names and values as a map.
func fields(v any) map[string]string {
	list, _ := v.([]any)
	m := make(map[string]string, len(list)/2)
	for i := 0; i+1 < len(list); i += 2 {
		name, _ := list[i].(string)
		value, _ := list[i+1].(string)
		m[name] = value
	}
	return m
}

// Ask sends one command over a connection of its own.
func Ask(ctx context.Context, dial Dialer, auth Auth, addr string, words ...string) (any, error) {
	l := &link{addr: addr, dial: dial, auth: auth}
	defer l.close()
	return l.ask(ctx, words...)
}

// errAnotherRun: the process that was asked has ended since.
var errAnotherRun = errors.New("another process answers there than the one that was asked how far it is")

// DialToRead makes a connection on which the replica at addr may be read, if it
// is still the process that calls itself run. READONLY is what a cluster's node
// wants to hear; others refuse it, which is all the same.
func DialToRead(ctx context.Context, dial Dialer, auth Auth, addr, run string) (net.Conn, error) {
	l := &link{addr: addr, dial: dial, auth: auth}
	if err := l.connect(ctx); err != nil {
		return nil, err
	}
	_, err := l.exchange(ctx, []string{"READONLY"})
	var info any
	if err == nil {
		info, err = l.exchange(ctx, []string{"INFO", "server"})
	}
	if err == nil && field(info, runID) != run {
		err = errAnotherRun
	}
	if err == nil {
		err = l.conn.SetDeadline(time.Time{})
	}
	if err != nil {
		l.close()
		return nil, err
	}
	return l.conn, nil
}

// IsPrimary reports whether the answer to ROLE is a primary's.
func IsPrimary(answer any) bool { return roleOf(answer) == primary }
