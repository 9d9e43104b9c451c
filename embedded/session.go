package embedded

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"strings"

	"github.com/alicebob/miniredis/v2/server"
)

// session is what this package knows of a connection. Only the connection's own
// goroutine touches it.
type session struct {
	id   int64
	conn *server.Peer
	tx   bool // between MULTI and EXEC or DISCARD

	// split is set from the first SUBSCRIBE of a RESP3 connection on. miniredis
	// refuses other commands on a connection that is subscribed, right for RESP2
	// and wrong for RESP3. So the connection becomes two peers: conn keeps the
	// subscriptions, split has all other state and executes all other commands
	// into reply, which goes out in one piece between messages.
	split *server.Peer
	w     *bufio.Writer
	reply *bytes.Buffer
}

// session of a peer; nil for a command called from a script. A connection's peer
// has no state before its first command, a script's peer is created with one.
func (s *Server) session(c *server.Peer) *session {
	if v, ok := s.sessions.Load(c); ok {
		return v.(*session)
	}
	if c.Ctx != nil {
		return nil
	}
	ses := &session{id: s.lastID.Add(1), conn: c}
	s.sessions.Store(c, ses)
	c.OnDisconnect(func() {
		s.sessions.Delete(c)
		if ses.split != nil {
			s.sessions.Delete(ses.split)
		}
	})
	return ses
}

// before sees every command first; true means that it has been answered.
func (s *Server) before(c *server.Peer, cmd string, args ...string) bool {
	ses := s.session(c)
	if ses == nil {
		return s.answer(c, nil, cmd, args)
	}
	if ses.split == c { // already counted and routed
		return s.answer(c, ses, cmd, args)
	}
	s.clock.tick(cmd)

	switch cmd {
	case "SUBSCRIBE", "PSUBSCRIBE", "UNSUBSCRIBE", "PUNSUBSCRIBE":
		if !ses.resp3() {
			return false
		}
		if ses.tx {
			s.refuseInTx(c, ses, cmd)
			return true
		}
		if ses.split == nil && len(args) > 0 && !strings.Contains(cmd, "UNSUB") {
			s.divide(ses)
		}
		return false
	case "MULTI":
		ses.tx = ses.tx || len(args) == 0
	case "EXEC", "DISCARD":
		// Even an EXEC that aborts ends the transaction.
		ses.tx = ses.tx && len(args) != 0
	}
	if ses.split == nil {
		return s.answer(c, ses, cmd, args)
	}
	s.srv.Dispatch(ses.split, append([]string{cmd}, args...))
	ses.forward()
	return true
}

func (ses *session) resp3() bool {
	if ses.split != nil {
		return ses.split.Resp3
	}
	return ses.conn.Resp3
}

// divide gives the connection its second peer.
func (s *Server) divide(ses *session) {
	ses.reply = new(bytes.Buffer)
	ses.w = bufio.NewWriter(ses.reply)
	p := server.NewPeer(ses.w)
	p.Resp3, p.ClientName = ses.conn.Resp3, ses.conn.ClientName
	p.Ctx, ses.conn.Ctx = ses.conn.Ctx, nil
	ses.split = p
	s.sessions.Store(p, ses)
}

// forward sends what the second peer answered.
func (ses *session) forward() {
	ses.split.Flush()
	ses.conn.WriteRaw(ses.reply.String())
	ses.reply.Reset()
	if ses.split.Closed() {
		ses.conn.Close()
	}
}

// answer answers the commands that this package knows better than the engine.
// ses is nil when a script asks.
func (s *Server) answer(c *server.Peer, ses *session, cmd string, args []string) bool {
	name := cmd
	switch cmd {
	case "CLUSTER":
		// The engine claims a cluster of one node, which makes clients behave as in
		// a cluster; as everywhere else here, it is one server alone.
		c.WriteError("ERR This instance has cluster support disabled")
		return true
	case "HELLO", "COMMAND", "INFO", "CONFIG", "ROLE":
	case "CLIENT":
		if len(args) == 0 || !strings.EqualFold(args[0], "ID") {
			return false
		}
		name = "CLIENT ID"
	default:
		return false
	}
	if ses == nil && cmd != "COMMAND" && cmd != "INFO" {
		c.WriteError("ERR This Redis command is not allowed from script")
		return true
	}
	if ses != nil && ses.tx {
		s.refuseInTx(c, ses, name)
		return true
	}
	switch cmd {
	case "HELLO":
		s.hello(c, ses, args)
	case "COMMAND":
		s.command(c, args)
	case "INFO":
		return s.info(c, args)
	case "CLIENT":
		if len(args) != 1 {
			c.WriteError("ERR wrong number of arguments for 'client|id' command")
			return true
		}
		c.WriteInt(int(ses.id))
	default: // CONFIG and ROLE are registered with the engine
		return false
	}
	return true
}

// refuseInTx refuses a command that this package answers, which the engine could
// not queue, and spoils the transaction, so that EXEC aborts as it does after any
// command that was refused.
func (s *Server) refuseInTx(c *server.Peer, ses *session, name string) {
	spoil := server.NewPeer(bufio.NewWriter(io.Discard))
	spoil.Ctx = ses.conn.Ctx
	if ses.split != nil {
		spoil.Ctx = ses.split.Ctx
	}
	s.srv.Dispatch(spoil, []string{"ECHO"}) // one argument short: marks the shared state
	c.WriteError(fmt.Sprintf("ERR %s inside MULTI is not supported by the embedded server", name))
}
