package batch

import (
	"strings"
	"time"

	"github.com/redis/rueidis"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/key"
)

// Command is one command as a value: it may be kept and sent again, which a
// rueidis.Completed may not.
type Command struct {
	// Words are the command's name and arguments: {"INCR", "visits"}.
	Words []string
	// Key is one of the keys among the words. It says where in a cluster the
	// command goes, and which commands keep their order: those of one Key. A
	// command without keys leaves it empty, and is refused in a cluster, where
	// no node is its own.
	Key string
	// Idempotent says that running it twice does no harm (reads, SET, HSET,
	// SADD; not INCR, LPUSH, XADD), so that it may be repeated when it is not
	// known whether it ran.
	Idempotent bool
}

// Eval is the command that runs a script. The server's not knowing it is never
// seen, as with Script.Exec. Key is the first of keys.
func Eval(c *redstart.Client, s *redstart.Script, keys, args []string) Command {
	made := s.Command(c, keys, args)
	cmd := Command{Words: append([]string(nil), made.Commands()...)}
	if len(keys) > 0 {
		cmd.Key = keys[0]
	}
	return cmd
}

// Entry is a key with the value to set.
type Entry struct {
	Key, Value string
	// TTL is how long it lives, to the millisecond. Zero: for good. Negative,
	// or below a millisecond, is an error of the item.
	TTL time.Duration
}

// size is about how many bytes the command is on the wire.
func (cmd *Command) size() int {
	n := 16
	for _, w := range cmd.Words {
		n += len(w) + 8 // $n\r\n…\r\n
	}
	return n
}

// slot is the cluster slot of the command's key.
func (cmd *Command) slot() uint16 { return key.Slot(cmd.Key) }

// build makes what the client sends; it is good for one sending.
func (cmd *Command) build(c *redstart.Client, reads bool) rueidis.Completed {
	words := c.B().Arbitrary(cmd.Words...)
	var built rueidis.Completed
	if reads {
		built = words.ReadOnly() // so that a server which refuses writes is asked
	} else {
		built = words.Build()
	}
	if cmd.Key != "" {
		built = built.SetSlot(cmd.Key)
	}
	return built
}

// check refuses what must not travel in the midst of others.
func (cmd *Command) check(cluster bool) error {
	if len(cmd.Words) == 0 || cmd.Words[0] == "" {
		return &refusal{"the command has no name"}
	}
	if cluster && cmd.Key == "" {
		return &refusal{"a command without a Key belongs to no node of the cluster; ask each of Client.Nodes"}
	}
	verb := strings.ToUpper(cmd.Words[0])
	if why, ok := unfit[verb]; ok {
		return &refusal{verb + " " + why}
	}
	if strings.HasSuffix(verb, "SUBSCRIBE") {
		return &refusal{verb + " has no place in a batch; use Client.Receive"}
	}
	second := ""
	if len(cmd.Words) > 1 {
		second = cmd.Words[1]
	}
	switch verb {
	case "CLIENT":
		if strings.EqualFold(second, "REPLY") {
			return &refusal{"CLIENT REPLY would take the replies of everyone on the connection"}
		}
	case "XREAD", "XREADGROUP":
		for _, w := range cmd.Words[1:] {
			if strings.EqualFold(w, "STREAMS") {
				break
			}
			if strings.EqualFold(w, "BLOCK") {
				return &refusal{verb + " " + blocks}
			}
		}
	}
	return nil
}

const (
	blocks   = "with a wait would hold up everyone on the connection; use Client.Do with its own builder"
	changes  = "would change a connection that others share"
	atomical = "is for transactions; use Atomic"
)

// unfit are the commands that would hold up or change a shared connection, or
// be torn apart by batches.
var unfit = map[string]string{
	"MULTI": atomical, "EXEC": atomical, "DISCARD": atomical, "WATCH": atomical, "UNWATCH": atomical,
	"SELECT": changes, "AUTH": changes, "HELLO": changes, "RESET": changes, "QUIT": changes, "MONITOR": changes,
	"SYNC": changes, "PSYNC": changes, "ASKING": changes, "READONLY": changes, "READWRITE": changes,
	"BLPOP": blocks, "BRPOP": blocks, "BLMOVE": blocks, "BRPOPLPUSH": blocks, "BLMPOP": blocks,
	"BZPOPMIN": blocks, "BZPOPMAX": blocks, "BZMPOP": blocks, "WAIT": blocks, "WAITAOF": blocks,
}
