package conn

import (
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Set is the open connections of one client, and how many there have been. The
// zero value is empty.
type Set struct {
	open       sync.Map // *tracked -> nil
	made, lost atomic.Uint64
}

// Made is how many connections there have been.
func (s *Set) Made() uint64 { return s.made.Load() }

// Lost is how many of them have ended.
func (s *Set) Lost() uint64 { return s.lost.Load() }

// Addrs calls visit with where each open connection leads.
func (s *Set) Addrs(visit func(addr string)) {
	s.open.Range(func(c, _ any) bool {
		visit(c.(*tracked).addr)
		return true
	})
}

// Cut ends the connections on which commands for addr travel, "" for every
// address, so that the next ones lead to whoever is the primary now. Those on
// which a replica is read stay.
func (s *Set) Cut(addr string) {
	s.cut(func(c *tracked) bool { return !c.reads && (addr == "" || c.addr == addr) })
}

// CutReads ends the connections on which the replica at addr is read.
func (s *Set) CutReads(addr string) {
	s.cut(func(c *tracked) bool { return c.reads && c.addr == addr })
}

// Close ends all of them.
func (s *Set) Close() { s.cut(func(*tracked) bool { return true }) }

func (s *Set) cut(which func(*tracked) bool) {
	s.open.Range(func(c, _ any) bool {
		if t := c.(*tracked); which(t) {
			_ = t.Close()
		}
		return true
	})
}

func (s *Set) add(c *tracked) {
	s.made.Add(1)
	s.open.Store(c, nil)
}

func (s *Set) remove(c *tracked) {
	s.lost.Add(1)
	s.open.Delete(c)
}

// tracked is a connection that the client knows of.
type tracked struct {
	net.Conn
	dialer *Dialer
	addr   string // where it leads
	asked  string // what was to be reached: a name under Sentinel
	reads  bool   // it leads to a replica that is read
	who    login
	born   time.Time
	grace  time.Duration // for the handshake, whatever its caller's deadline
	ready  atomic.Bool   // the handshake is over
	once   sync.Once
}

// login is who a connection is to be; it travels to the handshake as the
// connection's address, the only thing of it that is asked for there.
type login struct{ username, password string }

type loginAddr struct {
	net.Addr
	login
}

func (c *tracked) RemoteAddr() net.Addr { return loginAddr{c.Conn.RemoteAddr(), c.who} }

// SetDeadline gives the handshake its whole time. The inner client takes the
// deadline off when it is over.
func (c *tracked) SetDeadline(t time.Time) error {
	if t.IsZero() {
		c.ready.Store(true)
	} else if whole := c.born.Add(c.grace); !c.ready.Load() && t.Before(whole) {
		t = whole
	}
	return c.Conn.SetDeadline(t)
}

func (c *tracked) Close() error {
	err := c.Conn.Close()
	c.once.Do(func() {
		c.dialer.cfg.Conns.remove(c)
		c.dialer.cfg.Ended(c.addr)
	})
	return err
}
