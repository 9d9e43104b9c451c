package embedded

import (
	"bufio"
	"bytes"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/alicebob/miniredis/v2/server"
)

// names are the commands that may be registered: those of miniredis 2.40 and the
// two of this package. The engine does not list its commands, but says of a name
// whether it is registered, so a name here that is not is left out of every
// answer. A test compares this list with the engine's source.
const names = `append auth bitcount bitop bitpos blmove blpop brpop brpoplpush
bzmpop bzpopmax bzpopmin client cluster command config copy dbsize decr decrby del
delex discard dump echo eval evalsha evalsha_ro eval_ro exec exists expire expireat
expiretime flushall flushdb geoadd geodist geopos georadius georadiusbymember
georadiusbymember_ro georadius_ro geosearch get getbit getdel getex getrange getset
hdel hello hexists hexpire hget hgetall hincrby hincrbyfloat hkeys hlen hmget hmset
hpersist hpttl hrandfield hscan hset hsetex hsetnx hstrlen httl hvals incr incrby
incrbyfloat info keys lindex linsert llen lmove lmpop lpop lpos lpush lpushx lrange
lrem lset ltrim memory mget move mset msetnx multi object persist pexpire pexpireat
pexpiretime pfadd pfcount pfmerge ping psetex psubscribe pttl publish pubsub
punsubscribe quit randomkey rename renamenx restore role rpop rpoplpush rpush rpushx
sadd scan scard script sdiff sdiffstore select set setbit setex setnx setrange sinter
sintercard sinterstore sismember smembers smismember smove spop srandmember srem sscan
strlen subscribe sunion sunionstore swapdb time touch ttl type unlink unsubscribe
unwatch wait watch xack xadd xautoclaim xclaim xdel xgroup xinfo xlen xpending xrange
xread xreadgroup xrevrange xtrim zadd zcard zcount zincrby zinter zinterstore zlexcount
zmpop zmscore zpopmax zpopmin zrandmember zrange zrangebylex zrangebyscore zrank zrem
zremrangebylex zremrangebyrank zremrangebyscore zrevrange zrevrangebylex
zrevrangebyscore zrevrank zscan zscore zunion zunionstore`

// subcommands that are really there, of the commands that have any.
var subcommands = map[string]string{
	"client":  "getname id setname",
	"command": "count info list",
	"config":  "get",
	"memory":  "usage",
	"object":  "idletime",
	"pubsub":  "channels numpat numsub",
	"script":  "exists flush load",
	"xgroup":  "create createconsumer delconsumer destroy",
	"xinfo":   "consumers groups stream",
}

// entry is what COMMAND tells of a command.
type entry struct {
	arity             int // -n: at least n words
	flags             []string
	first, last, step int // positions of its keys
}

// commandTable is what COMMAND answers from.
type commandTable struct {
	names   []string // of commands, sorted, without subcommands
	entries map[string]entry
}

// readCommands asks the engine. miniredis answers COMMAND with a list recorded
// from Redis 5.0.7; from it come arity, flags and key positions of those commands
// that are registered. For younger ones the answer is "at least the name", with
// key positions not told (movablekeys).
func readCommands(srv *server.Server) *commandTable {
	t := &commandTable{entries: map[string]entry{}}
	for name := range strings.FieldsSeq(names) {
		if !srv.IsRegisteredCommand(name) {
			continue
		}
		e := entry{arity: -1, flags: []string{"movablekeys"}}
		if srv.IsReadOnlyCommand(name) {
			e.flags = []string{"readonly", "movablekeys"}
		}
		t.names = append(t.names, name)
		t.entries[name] = e
		for sub := range strings.FieldsSeq(subcommands[name]) {
			t.entries[name+"|"+sub] = entry{arity: -2}
		}
	}
	slices.Sort(t.names)

	var reply bytes.Buffer
	w := bufio.NewWriter(&reply)
	srv.Dispatch(server.NewPeer(w), []string{"COMMAND"})
	w.Flush()
	recorded, err := server.ParseReply(bufio.NewReader(&reply))
	list, ok := recorded.([]any)
	if err != nil || !ok {
		return t // names without details are still true
	}
	for _, item := range list {
		if name, e, ok := parseEntry(item); ok {
			if _, there := t.entries[name]; there {
				t.entries[name] = e
			}
		}
	}
	return t
}

func parseEntry(item any) (string, entry, bool) {
	f, ok := item.([]any)
	if !ok || len(f) < 6 {
		return "", entry{}, false
	}
	var e entry
	name, ok := f[0].(string)
	for i, to := range map[int]*int{1: &e.arity, 3: &e.first, 4: &e.last, 5: &e.step} {
		n, isInt := f[i].(int)
		*to, ok = n, ok && isInt
	}
	flags, isList := f[2].([]any)
	for _, flag := range flags {
		e.flags = append(e.flags, fmt.Sprint(flag))
	}
	return name, e, ok && isList
}

// command answers COMMAND, COMMAND COUNT, COMMAND INFO [name ...] and
// COMMAND LIST [FILTERBY PATTERN glob].
func (s *Server) command(c *server.Peer, args []string) {
	t := s.commands
	sub := "INFO"
	if len(args) > 0 {
		sub, args = strings.ToUpper(args[0]), args[1:]
	}
	switch sub {
	case "INFO":
		asked := t.names
		if len(args) > 0 {
			asked = args
		}
		c.Block(func(w *server.Writer) {
			w.WriteLen(len(asked))
			for _, name := range asked {
				name = strings.ToLower(name)
				e, ok := t.entries[name]
				if !ok {
					writeNullArray(w, c.Resp3)
					continue
				}
				e.write(w, name)
			}
		})
	case "COUNT":
		if len(args) > 0 {
			c.WriteError("ERR wrong number of arguments for 'command|count' command")
			return
		}
		c.WriteInt(len(t.names))
	case "LIST":
		found := t.names
		switch {
		case len(args) == 0:
		case len(args) == 3 && strings.EqualFold(args[0], "FILTERBY") && strings.EqualFold(args[1], "PATTERN"):
			found = nil
			for _, name := range t.names {
				if ok, _ := path.Match(strings.ToLower(args[2]), name); ok {
					found = append(found, name)
				}
			}
		default:
			c.WriteError("ERR syntax error")
			return
		}
		c.WriteStrings(found)
	default:
		c.WriteError(fmt.Sprintf("ERR unknown subcommand '%s'. The embedded server has COMMAND COUNT, INFO and LIST.", sub))
	}
}

// write writes the six fields that every Redis version has in common.
func (e entry) write(w *server.Writer, name string) {
	w.WriteLen(6)
	w.WriteBulk(name)
	w.WriteInt(e.arity)
	w.WriteSetLen(len(e.flags))
	for _, flag := range e.flags {
		w.WriteBulk(flag) // not a status: the engine's scripts cannot take one in an array
	}
	w.WriteInt(e.first)
	w.WriteInt(e.last)
	w.WriteInt(e.step)
}

// writeNullArray writes the null that Redis gives for an unknown command.
func writeNullArray(w *server.Writer, resp3 bool) {
	if resp3 {
		w.WriteNull()
		return
	}
	w.WriteLen(-1)
}
