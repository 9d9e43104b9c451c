package embedded

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/alicebob/miniredis/v2/server"
)

// hello answers HELLO [proto [AUTH user password] [SETNAME name]]. There are no
// users but "default", which needs no password and so takes any.
func (s *Server) hello(c *server.Peer, ses *session, args []string) {
	proto, name, named := 2, "", false
	if c.Resp3 {
		proto = 3
	}
	if len(args) > 0 {
		n, err := strconv.Atoi(args[0])
		if err != nil {
			c.WriteError("ERR Protocol version is not an integer or out of range")
			return
		}
		if n != 2 && n != 3 {
			c.WriteError("NOPROTO unsupported protocol version")
			return
		}
		proto, args = n, args[1:]
	}
	for len(args) > 0 {
		option := strings.ToUpper(args[0])
		switch {
		case option == "AUTH" && len(args) >= 3:
			if args[1] != "default" {
				c.WriteError("WRONGPASS invalid username-password pair or user is disabled.")
				return
			}
			args = args[3:]
		case option == "SETNAME" && len(args) >= 2:
			name, named = args[1], true
			if strings.ContainsAny(name, " \n") {
				c.WriteError("ERR Client names cannot contain spaces, newlines or special characters.")
				return
			}
			args = args[2:]
		default:
			c.WriteError(fmt.Sprintf("ERR Syntax error in HELLO option '%s'", args[0]))
			return
		}
	}
	if named {
		c.ClientName = name
	}
	// Under the lock: a published message may be on its way out.
	for _, p := range []*server.Peer{ses.conn, ses.split} {
		if p != nil {
			p.Block(func(*server.Writer) { p.Resp3 = proto == 3 })
		}
	}
	c.Block(func(w *server.Writer) {
		w.WriteMapLen(7)
		w.WriteBulk("server")
		w.WriteBulk(Name)
		w.WriteBulk("version")
		w.WriteBulk(compatible)
		w.WriteBulk("proto")
		w.WriteInt(proto)
		w.WriteBulk("id")
		w.WriteInt(int(ses.id))
		w.WriteBulk("mode")
		w.WriteBulk("standalone")
		w.WriteBulk("role")
		w.WriteBulk("master")
		w.WriteBulk("modules")
		w.WriteLen(0)
	})
}
