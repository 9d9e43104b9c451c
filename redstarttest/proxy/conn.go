package proxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
)

// proxyConn is a client's connection and the one to the target that belongs to it. Two goroutines read (requests,
// replies) and two write what cannot be written at once (the links' pumps).
type proxyConn struct {
	p        *Proxy
	id       uint64
	client   net.Conn
	ctx      context.Context // ends when the connection is cut
	end      context.CancelFunc
	up, down *proxyLink // to the server, to the client

	raw atomic.Bool // a SYNC or PSYNC was sent: from its reply on, bytes are bytes

	off, skip bool // CLIENT REPLY OFF, SKIP; for the goroutine of requests alone

	mu       sync.Mutex
	gone     bool
	server   net.Conn // nil before the dial
	queue    proxyQueue
	protocol proxyProtocol
	counts   map[string]*proxyCount
	name     string
	commands int
	tracking bool
	subs     bool
}

type proxyCount struct {
	name string
	n    int
}

func newProxyConn(p *Proxy, client net.Conn) *proxyConn {
	c := &proxyConn{p: p, client: client, counts: map[string]*proxyCount{}}
	c.ctx, c.end = context.WithCancel(context.Background())
	c.up = newProxyLink(p, ToServer, c.ctx.Done(), c.endRequests)
	c.down = newProxyLink(p, ToClient, c.ctx.Done(), func() { c.cut(false) })
	c.down.dst = client
	return c
}

// setID is called once, before the connection is known to anyone.
func (c *proxyConn) setID(id uint64) { c.id, c.up.id, c.down.id = id, id, id }

// run carries the connection to its end.
func (c *proxyConn) run(server net.Conn) {
	c.mu.Lock()
	if c.gone {
		c.mu.Unlock()
		server.Close()
		return
	}
	c.server = server
	c.up.dst = server
	c.mu.Unlock()
	var all sync.WaitGroup
	for _, f := range []func(){c.requests, c.replies, c.up.pump, c.down.pump} {
		all.Go(func() { ; f() })
	}
	all.Wait()
}

// cut closes both sides at once, and loses what was on its way.
func (c *proxyConn) cut(reset bool) {
	if c.claim() {
		c.shut(reset)
	}
}

// claim decides that the connection ends, and reports whether nobody else had. Who has claimed it counts the fault, so
// that it is counted before anyone can notice it, and then must shut it.
func (c *proxyConn) claim() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	first := !c.gone
	c.gone = true
	return first
}

func (c *proxyConn) shut(reset bool) {
	c.mu.Lock()
	server := c.server
	c.mu.Unlock()
	c.end()
	for _, side := range []net.Conn{c.client, server} {
		switch {
		case side == nil:
		case reset:
			resetConn(side)
		default:
			side.Close()
		}
	}
	c.up.kill()
	c.down.kill()
}

func (c *proxyConn) isGone() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.gone
}

// endRequests passes the client's end of file on. The server answers what came before it, and closes.
func (c *proxyConn) endRequests() {
	if s, ok := c.up.dst.(interface{ CloseWrite() error }); ok {
		_ = s.CloseWrite()
	}
}

// malformed ends a connection that cannot be understood. It reports whether err says so.
func (c *proxyConn) malformed(side string, err error) bool {
	if !errors.Is(err, errWire) {
		return false
	}
	if c.claim() {
		c.p.faults.malformed.Add(1)
		c.p.fail(fmt.Errorf("redstart/redstarttest/proxy: reset a connection whose %s does not speak RESP: %w", side, err))
		c.shut(true)
	}
	return true
}

func (c *proxyConn) info() ConnInfo {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := ConnInfo{
		ID: c.id, Addr: c.client.RemoteAddr().String(), Name: c.name, Commands: c.commands, Counts: map[string]int{},
		RESP3: c.protocol.resp3, Tracking: c.tracking, Subscribed: c.subs,
	}
	for name, n := range c.counts {
		if n.n > 0 {
			i.Counts[name] = n.n
		}
	}
	return i
}

func (c *proxyConn) resetCounts() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.commands = 0
	for _, n := range c.counts {
		n.n = 0
	}
}

// requests reads what the client sends.
func (c *proxyConn) requests() {
	in := newWireReader(c.client, c.up.flush)
	for {
		if err := in.command(); err != nil {
			if !c.malformed("client", err) {
				c.up.flush()
				c.up.end()
			}
			return
		}
		if !c.request(in) {
			return
		}
		in.next()
		if c.raw.Load() {
			c.copyRaw(in, c.up)
			return
		}
	}
}

// request handles one command; false: the connection has been cut meanwhile. Every fault is counted before the client
// can notice it.
func (c *proxyConn) request(in *wireReader) bool {
	if len(in.args) == 0 {
		c.up.push(in.frame())
		return true
	}
	name := c.count(in)
	kind, frames := classify(name, in)
	e := &proxyPending{kind: kind, frames: frames}
	if rules, texts := *c.p.rules.Load(), *c.p.transcripts.Load(); len(rules)+len(texts) > 0 {
		cmd := make([]string, len(in.args))
		for i := range cmd {
			cmd[i] = string(in.arg(i))
		}
		cmd[0] = name
		if len(texts) > 0 {
			text := formatCommand(cmd)
			for _, t := range texts {
				e.notes = append(e.notes, t.add(Exchange{Conn: c.id, Command: text}))
			}
		}
		e.rule = c.p.strike(rules, c, cmd)
	}
	silent := c.silent(kind)
	switch e.action() {
	case actAnswer:
		c.answer(e, silent)
		return true
	case actHoldRequest:
		c.up.flush()
		free := make(chan struct{})
		if e.rule.hold(&c.p.faults.heldRequests, func() { close(free) }) {
			select {
			case <-free:
			case <-c.ctx.Done():
				return false
			}
		}
	case actHoldReply:
		e.held = true
	}
	if kind == cmdSync {
		c.raw.Store(true)
	}
	if !silent {
		c.mu.Lock()
		c.queue.add(e)
		c.mu.Unlock()
	}
	c.up.push(in.frame())
	return true
}

// answer answers in the server's place. It must not block: the client may not read before it has sent more.
func (c *proxyConn) answer(e *proxyPending, silent bool) {
	e.reply = []byte(e.rule.rule.Action.text)
	e.done = true
	for _, n := range e.notes {
		n.reply(formatReply("P ", e.reply))
	}
	e.rule.hit(&c.p.faults.answered)
	if !silent {
		c.mu.Lock()
		c.queue.add(e)
		c.queue.deliver(c.down.push)
		c.mu.Unlock()
		c.down.wake()
	}
}

// silent follows CLIENT REPLY and reports whether the server will not answer the command.
func (c *proxyConn) silent(kind commandKind) bool {
	skipped := c.skip
	c.skip = false
	switch kind {
	case cmdReplyOn:
		c.off = false
		return false
	case cmdReplyOff:
		c.off = true
	case cmdReplySkip:
		c.skip = !c.off
		return true
	case cmdReset:
		c.off = false
	}
	return c.off || skipped
}

// count counts a command and remembers what it says of the connection. It returns the name in upper case.
func (c *proxyConn) count(in *wireReader) string {
	var space [32]byte
	upper := space[:0]
	for _, b := range in.arg(0) {
		if 'a' <= b && b <= 'z' {
			b -= 'a' - 'A'
		}
		upper = append(upper, b)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.counts[string(upper)]
	if n == nil {
		n = &proxyCount{name: string(upper)}
		c.counts[n.name] = n
	}
	n.n++
	c.commands++
	switch n.name {
	case "SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE":
		c.subs = true
	case "RESET":
		c.subs, c.tracking, c.name = false, false, ""
	case "HELLO":
		for i := 2; i+1 < len(in.args); i++ {
			if strings.EqualFold(string(in.arg(i)), "SETNAME") {
				c.name = string(in.arg(i + 1))
			}
		}
	case "CLIENT":
		if len(in.args) < 3 {
			break
		}
		switch strings.ToUpper(string(in.arg(1))) {
		case "TRACKING":
			c.tracking = strings.EqualFold(string(in.arg(2)), "ON")
		case "SETNAME":
			c.name = string(in.arg(2))
		}
	}
	return n.name
}

// replies reads what the server sends.
func (c *proxyConn) replies() {
	in := newWireReader(c.server, c.down.flush)
	for {
		err := in.need(1)
		if err == nil && c.raw.Load() && c.rawNext() {
			c.copyRaw(in, c.down)
			break
		}
		var top byte
		if err == nil {
			top, err = in.reply()
		}
		if err != nil {
			if c.malformed("server", err) {
				return
			}
			break
		}
		c.reply(top, in.frame())
		in.next()
	}
	c.down.flush()
	c.down.end()
}

// reply handles one frame of the server's.
func (c *proxyConn) reply(top byte, frame []byte) {
	c.mu.Lock()
	e := c.protocol.attribute(&c.queue, top, frame)
	if e == nil {
		for _, t := range *c.p.transcripts.Load() {
			t.add(Exchange{Conn: c.id, Replies: []string{formatReply("S ", frame)}})
		}
		c.down.push(frame)
		c.mu.Unlock()
		return
	}
	e.frames--
	e.done = e.frames <= 0
	action := e.action()
	swallow := action == actSwallowCut || action == actSwallowHang
	if len(e.notes) > 0 {
		mark := "S "
		if swallow {
			mark = "X "
		}
		text := formatReply(mark, frame)
		for _, n := range e.notes {
			n.reply(text)
		}
	}
	if !swallow {
		c.pass(e, frame)
		c.mu.Unlock()
		return
	}
	if e.done {
		c.queue.deliver(c.down.push) // drops e, whose reply is empty
	}
	c.mu.Unlock()
	if !e.done {
		return
	}
	if action == actSwallowHang {
		c.down.mute()
	}
	e.rule.hit(&c.p.faults.swallowed)
	if action == actSwallowCut {
		c.down.end()
	}
}

// pass delivers a reply, or keeps it until its turn. The lock is held.
func (c *proxyConn) pass(e *proxyPending, frame []byte) {
	if e.held && e.done {
		e.held = e.rule.hold(&c.p.faults.heldReplies, func() {
			c.mu.Lock()
			e.held = false
			c.queue.deliver(c.down.push)
			c.mu.Unlock()
			c.down.wake()
		})
	}
	if !e.held && c.queue.items[c.queue.head] == e {
		c.down.push(e.reply)
		e.reply = nil
		c.down.push(frame)
	} else {
		e.reply = append(e.reply, frame...)
	}
	c.queue.deliver(c.down.push)
}

// rawNext reports whether the next bytes belong to a SYNC.
func (c *proxyConn) rawNext() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.queue.awaited()
	return e != nil && e.kind == cmdSync
}

// copyRaw passes bytes on as they are.
func (c *proxyConn) copyRaw(in *wireReader, to *proxyLink) {
	for {
		to.push(in.rest())
		in.next()
		if err := in.need(1); err != nil {
			to.flush()
			to.end()
			return
		}
	}
}
