package proxy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// dialTimeout bounds a connect to the target, and acceptPause is the wait after a failed accept.
const (
	dialTimeout = 5 * time.Second
	acceptPause = 10 * time.Millisecond
)

// A Proxy stands before a server and makes faults: it delays, holds, loses, cuts, answers in the server's place, and
// swallows replies. It understands RESP2 and RESP3, so a fault can strike one command of a pipeline, and it counts
// every fault before a client can notice it, so a test can prove that the fault took place.
//
// Each connection to the proxy gets one of its own to the target; the two end together. All methods are safe for
// concurrent use, and faults strike connections that are open already. TLS and inline commands are not understood: a
// connection that brings them is reset, counted in Faults.Malformed and told by Err. A connection of a replica (PSYNC) is
// passed on byte by byte, and rules do not strike it.
//
// A frame (a command, a reply) is passed on when it is whole; apart from that nothing is added but two more system
// calls each way.
type Proxy struct {
	listener net.Listener
	ctx      context.Context // ends with Close
	cancel   context.CancelFunc
	work     sync.WaitGroup

	weather     atomic.Pointer[weather]
	rules       atomic.Pointer[[]*Handle]
	transcripts atomic.Pointer[[]*Transcript]
	refuse      atomic.Bool
	faults      proxyFaults

	mu     sync.Mutex
	target string
	nextID uint64
	conns  map[uint64]*proxyConn
	past   map[string]int // commands of connections that have ended
	err    error
}

// New starts a proxy on a free port of 127.0.0.1. The target is "host:port", or the path (with a slash) of a
// unix socket; it is dialled for each connection anew, and need not be there yet.
func New(target string) (*Proxy, error) {
	if target == "" {
		return nil, errors.New("redstart/redstarttest/proxy: New needs a target, a host:port or the path of a unix socket")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // a loopback port is there at once
	if err != nil {
		return nil, fmt.Errorf("redstart/redstarttest/proxy: no port is free: %w", err)
	}
	p := &Proxy{listener: l, target: target, conns: map[uint64]*proxyConn{}, past: map[string]int{}}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.weather.Store(&weather{})
	p.rules.Store(&[]*Handle{})
	p.transcripts.Store(&[]*Transcript{})
	p.work.Add(1)
	go p.accept()
	return p, nil
}

// Addr is where the proxy listens, "127.0.0.1:port".
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// URL is the same as redis://127.0.0.1:port.
func (p *Proxy) URL() string { return "redis://" + p.Addr() }

// SetTarget sends connections that come from now on to another server; open ones stay where they are (see Reset).
func (p *Proxy) SetTarget(target string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.target = target
}

// Close closes every connection and the port, lets held commands go nowhere, and returns when all of the proxy's
// goroutines have ended. More calls do no harm. It must not be called from a rule's functions.
func (p *Proxy) Close() {
	p.mu.Lock() // see Take
	p.cancel()
	p.mu.Unlock()
	p.listener.Close()
	for _, c := range p.open() {
		c.cut(false)
	}
	p.work.Wait()
}

// Err is the latest reason why a connection failed other than by a fault that was asked for: the target could not be
// dialled, or one side does not speak RESP. Nil when there was none.
func (p *Proxy) Err() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

func (p *Proxy) fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.err = err
}

// Delay makes every frame wait on its way. Zero: not at all. It is a latency, not a rate: frames wait side by side.
func (p *Proxy) Delay(toServer, toClient time.Duration) {
	p.change(func(w *weather) { w.delay = [2]time.Duration{toServer, toClient} })
}

// Jitter makes every frame, both ways, wait up to max longer than Delay says; 0 ends it. For one seed, the n-th frame
// of the n-th connection always waits the same. Frames stay in order.
func (p *Proxy) Jitter(maxDelay time.Duration, seed uint64) {
	p.change(func(w *weather) { w.jitter, w.seed = maxDelay, seed })
	for _, c := range p.open() {
		c.up.reseed()
		c.down.reseed()
	}
}

// Blackhole holds all bytes of a direction, ends of file too, until Heal: the connections seem alive and say nothing.
// Nothing that the proxy reads after Blackhole has returned passes. New connections are still accepted.
func (p *Proxy) Blackhole(d Direction) {
	p.change(func(w *weather) { w.hole |= d; w.drop &^= d })
}

// Drop is Blackhole, but the bytes are lost. As no TCP stream goes on behind a gap, Heal resets the connections that
// lost any.
func (p *Proxy) Drop(d Direction) {
	p.change(func(w *weather) { w.drop |= d; w.hole &^= d })
}

// Heal ends Blackhole and Drop in both directions; what was held goes on its way.
func (p *Proxy) Heal() {
	p.change(func(w *weather) { w.hole, w.drop = 0, 0 })
	p.resetMatching(func(c *proxyConn) bool { return c.up.lostBytes() || c.down.lostBytes() })
}

// change replaces the weather and lets every link look at it.
func (p *Proxy) change(f func(*weather)) {
	p.mu.Lock()
	w := *p.weather.Load()
	f(&w)
	p.weather.Store(&w)
	p.mu.Unlock()
	for _, c := range p.open() {
		c.up.wake()
		c.down.wake()
	}
}

// Refuse resets new connections as soon as they are accepted, as long as it is on.
func (p *Proxy) Refuse(on bool) { p.refuse.Store(on) }

// Reset resets every open connection (RST, to both sides) and returns how many those were. What was on its way is lost.
func (p *Proxy) Reset() int { return p.resetMatching(func(*proxyConn) bool { return true }) }

// ResetMatching resets the open connections that match picks and returns how many those were.
func (p *Proxy) ResetMatching(match func(ConnInfo) bool) int {
	return p.resetMatching(func(c *proxyConn) bool { return match(c.info()) })
}

func (p *Proxy) resetMatching(match func(*proxyConn) bool) (n int) {
	for _, c := range p.open() {
		if match(c) && c.claim() {
			n++
			p.faults.resets.Add(1)
			c.shut(true)
		}
	}
	return n
}

// ConnInfo describes a client's connection.
type ConnInfo struct {
	ID         uint64         // 1, 2, … in the order of accept
	Addr       string         // the client's side
	Name       string         // as set by CLIENT SETNAME or HELLO … SETNAME
	Commands   int            // how many the client has sent on it
	Counts     map[string]int // the same by name, in upper case
	RESP3      bool           // HELLO 3 was accepted
	Tracking   bool           // CLIENT TRACKING ON was sent, and OFF was not sent after it
	Subscribed bool           // SUBSCRIBE, PSUBSCRIBE or SSUBSCRIBE was sent
}

// Conns describes the open connections, the oldest first.
func (p *Proxy) Conns() []ConnInfo {
	var all []ConnInfo
	for _, c := range p.open() {
		if !c.isGone() {
			all = append(all, c.info())
		}
	}
	return all
}

// open are the open connections, the oldest first.
func (p *Proxy) open() []*proxyConn {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.SortedFunc(maps.Values(p.conns), func(a, b *proxyConn) int { return cmp.Compare(a.id, b.id) })
}

// Commands counts the commands that clients have sent, by name in upper case: over all connections, those that have
// ended too, since the start or ResetCounts. Commands that never reached the server count as well.
func (p *Proxy) Commands() map[string]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := maps.Clone(p.past)
	for _, c := range p.conns {
		for name, n := range c.info().Counts {
			all[name] += n
		}
	}
	return all
}

// ResetCounts begins the counts of Commands and ConnInfo anew.
func (p *Proxy) ResetCounts() {
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.past)
	for _, c := range p.conns {
		c.resetCounts()
	}
}

func (p *Proxy) accept() {
	defer p.work.Done()
	for {
		client, err := p.listener.Accept()
		switch {
		case p.ctx.Err() != nil:
			if err == nil {
				client.Close()
			}
			return
		case err != nil: // out of file descriptors, say
			p.fail(fmt.Errorf("redstart/redstarttest/proxy: cannot accept: %w", err))
			select {
			case <-time.After(acceptPause):
			case <-p.ctx.Done():
			}
			continue
		}
		p.take(client)
	}
}

// Take carries a connection that was accepted elsewhere as if it had come to Addr: for a test that gives the
// connections to one address different faults. The proxy closes it, at once when it is closed itself.
func (p *Proxy) Take(client net.Conn) {
	p.mu.Lock()
	closed := p.ctx.Err() != nil
	if !closed {
		p.work.Add(1) // under the lock: Close waits for it, or this sees that Close has begun
	}
	p.mu.Unlock()
	if closed {
		client.Close()
		return
	}
	defer p.work.Done()
	p.take(client)
}

// take is called where the proxy's work is counted already, so Close is not past its wait.
func (p *Proxy) take(client net.Conn) {
	if p.refuse.Load() {
		p.faults.refused.Add(1)
		resetConn(client)
		return
	}
	p.work.Add(1)
	go p.serve(client)
}

// serve carries one connection from accept to its end.
func (p *Proxy) serve(client net.Conn) {
	defer p.work.Done()
	c := newProxyConn(p, client)
	p.mu.Lock()
	p.nextID++
	c.setID(p.nextID)
	p.conns[c.id] = c
	target := p.target
	p.mu.Unlock()
	p.faults.accepted.Add(1)
	defer func() {
		c.cut(false)
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.conns, c.id)
		for name, n := range c.info().Counts {
			p.past[name] += n
		}
	}()
	if p.ctx.Err() != nil {
		return
	}
	ctx, cancel := context.WithTimeout(p.ctx, dialTimeout)
	defer cancel()
	stop := context.AfterFunc(c.ctx, cancel)
	defer stop()
	network := "tcp"
	if strings.ContainsAny(target, "/@") {
		network = "unix"
	}
	server, err := (&net.Dialer{}).DialContext(ctx, network, target)
	if err != nil {
		if c.ctx.Err() == nil {
			p.faults.dialErrors.Add(1)
			p.fail(fmt.Errorf("redstart/redstarttest/proxy: cannot reach its target: %w", err))
			c.cut(true)
		}
		return
	}
	c.run(server)
}

// resetConn closes with a RST where the transport has one.
func resetConn(c net.Conn) {
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.SetLinger(0)
	}
	c.Close()
}

// Faults counts what a proxy has done to its connections.
type Faults struct {
	Accepted     int64 // connections accepted, for comparison
	Refused      int64 // connections refused
	Resets       int64 // open connections reset by Reset, ResetMatching or Heal
	DialErrors   int64 // connections reset because the target did not answer
	Malformed    int64 // connections reset because one side did not speak RESP
	Delayed      int64 // frames delayed
	HeldBytes    int64 // bytes held by Blackhole
	DroppedBytes int64 // bytes lost by Drop
	Answered     int64 // commands answered by AnswerError
	Swallowed    int64 // replies eaten by SwallowReply
	HeldRequests int64 // commands held by HoldRequest
	HeldReplies  int64 // replies held by HoldReply
}

type proxyFaults struct {
	accepted, refused, resets, dialErrors, malformed, delayed, heldBytes, droppedBytes atomic.Int64
	answered, swallowed, heldRequests, heldReplies                                     atomic.Int64
}

// Faults returns the counts since the start.
func (p *Proxy) Faults() Faults {
	f := &p.faults
	return Faults{
		Accepted: f.accepted.Load(), Refused: f.refused.Load(), Resets: f.resets.Load(),
		DialErrors: f.dialErrors.Load(), Malformed: f.malformed.Load(), Delayed: f.delayed.Load(),
		HeldBytes: f.heldBytes.Load(), DroppedBytes: f.droppedBytes.Load(), Answered: f.answered.Load(),
		Swallowed: f.swallowed.Load(), HeldRequests: f.heldRequests.Load(), HeldReplies: f.heldReplies.Load(),
	}
}
