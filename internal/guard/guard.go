// Package guard knows which commands a shared connection must not run, since
// they change it for everyone on it, and makes raw clients that refuse them.
package guard

import (
	"strings"

	"github.com/redis/rueidis"
)

// Changer is a command that changes its connection: which database, user or
// protocol it has, or whether it answers at all.
type Changer struct {
	Verb, Second string // Second is its second word where it matters, "*" for any
	Why          string // it is refused, and what to do instead
}

// Name is the command as it is written.
func (c *Changer) Name() string { return strings.TrimRight(c.Verb+" "+c.Second, " *") }

// Match gives the Changer that a command is, nil for none.
func Match(cmd *rueidis.Completed) *Changer {
	words := cmd.Commands()
	verb := words[0]
	if len(verb) < len("QUIT") || len(verb) > len("MONITOR") {
		return nil
	}
	for i := range changers {
		c := &changers[i]
		if len(verb) == len(c.Verb) && strings.EqualFold(verb, c.Verb) &&
			(c.Second == "" || len(words) > 1 && (c.Second == "*" || strings.EqualFold(words[1], c.Second))) {
			return c
		}
	}
	return nil
}

var changers = []Changer{
	{"SELECT", "", "a client serves one database, its connections are shared; open another client with the number in its URL (redis://host/2)"},
	{"RESET", "", "it would take the database and the user from everyone on the connection"},
	{"AUTH", "", "connections are shared; give the credentials in the URL or in Config"},
	{"HELLO", "*", "connections are shared; the protocol is the client's"},
	{"QUIT", "", "connections are shared; use Close"},
	{"MONITOR", "", "it slows the whole server and never ends"},
	{"CLIENT", "REPLY", "everyone on the connection waits for replies"},
}
