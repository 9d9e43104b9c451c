package proxy

import (
	"context"
	"errors"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/redstart-go/redstart/redstarttest"
)

const patience = 20 * time.Second

// eventually waits for a condition.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	redstarttest.Eventually(t, patience, what, cond)
}

// proxyClient is a bare RESP client: send and recv apart, so a test sees pipelines, pushes and silence.
type proxyClient struct {
	t    *testing.T
	conn net.Conn
	in   *wireReader
}

func proxyDial(t *testing.T, addr string) *proxyClient {
	t.Helper()
	network := "tcp"
	if strings.Contains(addr, "/") {
		network = "unix"
	}
	conn, err := net.Dial(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &proxyClient{t, conn, newWireReader(conn, func() {})}
}

func encodeCommand(cmd ...string) []byte {
	b := []byte("*" + strconv.Itoa(len(cmd)) + "\r\n")
	for _, a := range cmd {
		b = append(append(append(b, "$"+strconv.Itoa(len(a))+"\r\n"...), a...), "\r\n"...)
	}
	return b
}

// send writes commands, one a string, words split at blanks, in one Write.
func (c *proxyClient) send(cmds ...string) {
	c.t.Helper()
	var b []byte
	for _, cmd := range cmds {
		b = append(b, encodeCommand(strings.Fields(cmd)...)...)
	}
	if _, err := c.conn.Write(b); err != nil {
		c.t.Fatal(err)
	}
}

// recv reads a frame, as text.
func (c *proxyClient) recv() (string, error) {
	c.conn.SetReadDeadline(time.Now().Add(patience))
	if _, err := c.in.reply(); err != nil {
		return "", err
	}
	text := formatReply("", c.in.frame())
	c.in.next()
	return text, nil
}

// want reads frames and compares them.
func (c *proxyClient) want(frames ...string) {
	c.t.Helper()
	for _, w := range frames {
		got, err := c.recv()
		if err != nil || got != w {
			c.t.Fatalf("got %s, %v; want %s", got, err, w)
		}
	}
}

func (c *proxyClient) do(cmd, want string) {
	c.t.Helper()
	c.send(cmd)
	c.want(want)
}

// silent checks that nothing comes (it waits a moment: too short a moment could only hide a failure).
func (c *proxyClient) silent() {
	c.t.Helper()
	c.conn.SetReadDeadline(time.Now().Add(30 * time.Millisecond))
	var b [1]byte
	if n, err := c.conn.Read(b[:]); n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		c.t.Fatalf("read %q, %v; want silence", b[:n], err)
	}
}

// broken checks that the connection ends without another frame.
func (c *proxyClient) broken() {
	c.t.Helper()
	if got, err := c.recv(); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		c.t.Fatalf("got %s, %v; want a broken connection", got, err)
	}
}

// proxyRefused checks that a connection is reset at once: in the dial already, or in the first read.
func proxyRefused(t *testing.T, addr string) {
	t.Helper()
	if conn, err := net.Dial("tcp", addr); err == nil {
		defer conn.Close()
		(&proxyClient{t, conn, newWireReader(conn, func() {})}).broken()
	}
}

// proxyServer starts a private redis-server and returns where it is; extra are its arguments.
func proxyServer(t *testing.T, extra ...string) string {
	t.Helper()
	return redstarttest.Run(t, redstarttest.ServerConfig{Args: extra}).Addr()
}

// inFrontOf starts a server with a proxy before it, and a client of each.
func inFrontOf(t *testing.T) (p *Proxy, client, direct *proxyClient) {
	t.Helper()
	addr := proxyServer(t)
	p = proxyBefore(t, addr)
	return p, proxyDial(t, p.Addr()), proxyDial(t, addr)
}

// proxyBefore starts a proxy, and checks in the end that it leaves no goroutine.
func proxyBefore(t *testing.T, target string) *Proxy {
	t.Helper()
	ignore := goleak.IgnoreCurrent()
	p, err := New(target)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Close()
		p.Close()
		if err := goleak.Find(ignore); err != nil {
			t.Errorf("the proxy has left goroutines: %v", err)
		}
	})
	return p
}

func proxyContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

func proxyWait(t *testing.T, h *Handle, n int) {
	t.Helper()
	if err := h.WaitN(proxyContext(t), n); err != nil {
		t.Fatalf("the rule has struck %d times, want %d: %v", h.Hits(), n, err)
	}
	if h.Hits() != n {
		t.Fatalf("the rule has struck %d times, want %d", h.Hits(), n)
	}
}
