package redstarttest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"
)

// ReplyError is an error that the server answered, such as "WRONGTYPE Operation …".
type ReplyError string

func (e ReplyError) Error() string { return string(e) }

// oneshotMost bounds what a length in a reply may claim, in bytes or elements.
const oneshotMost = 512 << 20

// Do sends one command on a connection of its own and gives the reply as RESP2 has
// it: string, int64, nil or []any (which may hold ReplyErrors). An error reply is
// a ReplyError. Without a deadline in ctx it waits for ever, as a frozen server
// makes it do. For checking a server from outside in a test, not for speed.
func (s *Server) Do(ctx context.Context, args ...string) (any, error) {
	reply, err := oneshot(ctx, s.network, s.address(), s.password, args)
	var answered ReplyError
	if err != nil && !errors.As(err, &answered) {
		return nil, fmt.Errorf("redstart/redstarttest: ask %s: %w", s.Addr(), err)
	}
	return reply, err
}

func oneshot(ctx context.Context, network, address, password string, args []string) (any, error) {
	if len(args) == 0 {
		return nil, errors.New("no command")
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	// A deadline in the past ends reads and writes that are under way.
	forget := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer forget()

	var out []byte
	if password != "" {
		out = oneshotCommand(out, []string{"AUTH", password})
	}
	out = oneshotCommand(out, args)
	reply, err := func() (any, error) {
		if _, err := conn.Write(out); err != nil {
			return nil, err
		}
		r := bufio.NewReader(conn)
		if password != "" {
			if v, err := oneshotReply(r, 0); err != nil {
				return nil, err
			} else if refused, ok := v.(ReplyError); ok {
				return nil, refused
			}
		}
		return oneshotReply(r, 0)
	}()
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, err
	}
	if refused, ok := reply.(ReplyError); ok {
		return nil, refused
	}
	return reply, nil
}

func oneshotCommand(dst []byte, args []string) []byte {
	dst = fmt.Appendf(dst, "*%d\r\n", len(args))
	for _, a := range args {
		dst = fmt.Appendf(dst, "$%d\r\n%s\r\n", len(a), a)
	}
	return dst
}

// oneshotReply reads one reply; an error of the server is a value here.
func oneshotReply(r *bufio.Reader, depth int) (any, error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return nil, err
	}
	if len(line) < 3 || line[len(line)-2] != '\r' || depth > 32 {
		return nil, fmt.Errorf("not a RESP2 reply: %.40q", line)
	}
	text := line[1 : len(line)-2]
	switch line[0] {
	case '+':
		return text, nil
	case '-':
		return ReplyError(text), nil
	case ':':
		return strconv.ParseInt(text, 10, 64)
	case '$', '*':
		n, err := strconv.Atoi(text)
		if err != nil || n < -1 || n > oneshotMost {
			return nil, fmt.Errorf("not a RESP2 length: %.40q", line)
		}
		if n == -1 {
			return nil, nil
		}
		if line[0] == '$' {
			b := make([]byte, n+2)
			if _, err := io.ReadFull(r, b); err != nil {
				return nil, err
			}
			return string(b[:n]), nil
		}
		list := make([]any, 0, min(n, 1024))
		for range n {
			v, err := oneshotReply(r, depth+1)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		return list, nil
	}
	return nil, fmt.Errorf("not a RESP2 reply: %.40q", line)
}
