package shard

import (
	"strconv"
	"strings"
)

// kind is what a command's keys mean for where it goes.
type kind uint8

const (
	keyed   kind = iota // to the shard of its keys, which must be in one slot
	split               // a read whose keys may lie on several shards; the answers are merged
	channel             // as keyed; what it names are channels
	all                 // to every shard; the answers are merged
	anyone              // to the first shard that answers: all answer alike
	follow              // where the commands around it go: of a transaction, or WAIT
	bound               // only on a dedicated connection: it changes that connection
	refuse              // never; the spec says why
)

// spec is what the table knows of a command.
type spec struct {
	name string
	kind kind
	// Where the keys are, as COMMAND INFO says it: the words first to last, every
	// step-th; a negative last counts from the end (-1 the last word).
	first, last, step int
	// find finds them where the words decide. It gives nil for words that the
	// server would refuse.
	find  func(words []string) []string
	merge merge
	why   string // of a refusal, or of one for want of keys
}

// merge says how the answers of several shards become one.
type merge uint8

const (
	none     merge = iota
	inOrder        // an array, an element a key
	sum            // numbers, added
	minimum        // arrays of numbers, the least of each
	sameSaid       // the same answer by all; a shard that is away does not count
	allSaid        // the same answer by all
)

// table is what is known of the servers' commands, by upper-case name; those
// with subcommands that differ are there as "NAME SUB". A test holds it against
// COMMAND INFO and COMMAND GETKEYS of every server at hand, both ways. It is
// never written after the package is loaded.
var table = newTable()

// atFixedWords are the commands whose keys stand at fixed words.
var atFixedWords = []struct {
	first, last, step int
	names             string
}{
	{1, 1, 1, `APPEND BITCOUNT BITFIELD BITFIELD_RO BITPOS DECR DECRBY DELIFEQ DUMP EXPIRE EXPIREAT EXPIRETIME GEOADD GEODIST
		GEOHASH GEOPOS GEORADIUSBYMEMBER_RO GEORADIUS_RO GEOSEARCH GET GETBIT GETDEL GETEX GETRANGE GETSET HDEL HEXISTS
		HEXPIRE HEXPIREAT HEXPIRETIME HGET HGETALL HGETDEL HGETEX HINCRBY HINCRBYFLOAT HKEYS HLEN HMGET HMSET HPERSIST
		HPEXPIRE HPEXPIREAT HPEXPIRETIME HPTTL HRANDFIELD HSCAN HSET HSETEX HSETNX HSTRLEN HTTL HVALS INCR INCRBY
		INCRBYFLOAT LINDEX LINSERT LLEN LPOP LPOS LPUSH LPUSHX LRANGE LREM LSET LTRIM MOVE PERSIST PEXPIRE PEXPIREAT
		PEXPIRETIME PFADD PSETEX PTTL RESTORE RPOP RPUSH RPUSHX SADD SCARD SET SETBIT SETEX SETNX SETRANGE SISMEMBER
		SMEMBERS SMISMEMBER SPOP SRANDMEMBER SREM SSCAN STRLEN SUBSTR TTL TYPE VADD VCARD VDIM VEMB VGETATTR VINFO
		VISMEMBER VLINKS VRANDMEMBER VREM VSETATTR VSIM XACK XADD XAUTOCLAIM XCLAIM XDEL XLEN XPENDING XRANGE XREVRANGE
		XSETID XTRIM ZADD ZCARD ZCOUNT ZINCRBY ZLEXCOUNT ZMSCORE ZPOPMAX ZPOPMIN ZRANDMEMBER ZRANGE ZRANGEBYLEX
		ZRANGEBYSCORE ZRANK ZREM ZREMRANGEBYLEX ZREMRANGEBYRANK ZREMRANGEBYSCORE ZREVRANGE ZREVRANGEBYLEX
		ZREVRANGEBYSCORE ZREVRANK ZSCAN ZSCORE
		JSON.ARRAPPEND JSON.ARRINDEX JSON.ARRINSERT JSON.ARRLEN JSON.ARRPOP JSON.ARRTRIM JSON.CLEAR JSON.DEL JSON.FORGET
		JSON.GET JSON.MERGE JSON.NUMINCRBY JSON.NUMMULTBY JSON.OBJKEYS JSON.OBJLEN JSON.RESP JSON.SET JSON.STRAPPEND
		JSON.STRLEN JSON.TOGGLE JSON.TYPE TS.ADD TS.ALTER TS.CREATE TS.DECRBY TS.DEL TS.GET TS.INCRBY TS.INFO TS.RANGE
		TS.REVRANGE`},
	{1, 2, 1, `BLMOVE BRPOPLPUSH COPY GEOSEARCHSTORE LCS LMOVE RENAME RENAMENX RPOPLPUSH SMOVE ZRANGESTORE
		TS.CREATERULE TS.DELETERULE`},
	{1, -1, 1, `DEL PFCOUNT PFMERGE SDIFF SDIFFSTORE SINTER SINTERSTORE SUNION SUNIONSTORE UNLINK WATCH`},
	{1, -1, 2, `MSET MSETNX`},
	{1, -1, 3, `JSON.MSET TS.MADD`},
	{1, -2, 1, `BLPOP BRPOP BZPOPMAX BZPOPMIN`},
	{2, -1, 1, `BITOP`},
	{2, 2, 1, `MEMORY|USAGE OBJECT|ENCODING OBJECT|FREQ OBJECT|IDLETIME OBJECT|REFCOUNT XGROUP|CREATE
		XGROUP|CREATECONSUMER XGROUP|DELCONSUMER XGROUP|DESTROY XGROUP|SETID XINFO|CONSUMERS XINFO|GROUPS XINFO|STREAM`},
}

// others are the rest: their words decide, their answers are merged, or they
// name no keys.
var others = []spec{
	{name: "MGET", kind: split, first: 1, last: -1, step: 1, merge: inOrder},
	{name: "JSON.MGET", kind: split, first: 1, last: -2, step: 1, merge: inOrder},
	{name: "EXISTS", kind: split, first: 1, last: -1, step: 1, merge: sum},
	{name: "TOUCH", kind: split, first: 1, last: -1, step: 1, merge: sum},

	{name: "EVAL", find: counted(2, 0), why: undeclared},
	{name: "EVALSHA", find: counted(2, 0), why: undeclared},
	{name: "EVAL_RO", find: counted(2, 0), why: undeclared},
	{name: "EVALSHA_RO", find: counted(2, 0), why: undeclared},
	{name: "FCALL", find: counted(2, 0), why: undeclared},
	{name: "FCALL_RO", find: counted(2, 0), why: undeclared},
	{name: "ZDIFF", find: counted(1, 0)},
	{name: "ZINTER", find: counted(1, 0)},
	{name: "ZUNION", find: counted(1, 0)},
	{name: "ZINTERCARD", find: counted(1, 0)},
	{name: "SINTERCARD", find: counted(1, 0)},
	{name: "LMPOP", find: counted(1, 0)},
	{name: "ZMPOP", find: counted(1, 0)},
	{name: "BLMPOP", find: counted(2, 0)},
	{name: "BZMPOP", find: counted(2, 0)},
	{name: "ZDIFFSTORE", find: counted(2, 1)},
	{name: "ZINTERSTORE", find: counted(2, 1)},
	{name: "ZUNIONSTORE", find: counted(2, 1)},
	{name: "MSETEX", find: pairs},
	{name: "XREAD", find: streams},
	{name: "XREADGROUP", find: streams},
	{name: "SORT", find: sorted, why: external},
	{name: "SORT_RO", find: sorted, why: external},
	{name: "GEORADIUS", find: radius(6)},
	{name: "GEORADIUSBYMEMBER", find: radius(5)},

	{name: "PUBLISH", kind: channel, first: 1, last: 1, step: 1},
	{name: "SPUBLISH", kind: channel, first: 1, last: 1, step: 1},
	{name: "SUBSCRIBE", kind: channel, first: 1, last: -1, step: 1},
	{name: "SSUBSCRIBE", kind: channel, first: 1, last: -1, step: 1},

	{name: "PING", kind: all, merge: allSaid},
	{name: "DBSIZE", kind: all, merge: sum},
	{name: "SCRIPT|LOAD", kind: all, merge: sameSaid},
	{name: "SCRIPT|EXISTS", kind: all, merge: minimum},
	{name: "SCRIPT|FLUSH", kind: all, merge: allSaid},

	{name: "COMMAND", kind: anyone},
	{name: "ECHO", kind: anyone},
	{name: "HELLO", kind: anyone},
	{name: "LOLWUT", kind: anyone},
	{name: "TIME", kind: anyone},

	{name: "MULTI", kind: follow},
	{name: "EXEC", kind: follow},
	{name: "DISCARD", kind: follow},
	{name: "WAIT", kind: follow},
	{name: "WAITAOF", kind: follow},

	{name: "CLIENT", kind: bound},
	{name: "UNWATCH", kind: bound},
	{name: "UNSUBSCRIBE", kind: bound},
	{name: "SUNSUBSCRIBE", kind: bound},
	{name: "PUNSUBSCRIBE", kind: bound},

	{name: "PSUBSCRIBE", kind: refuse, why: "a pattern belongs to no shard; subscribe to channels, or to the pattern on each of Nodes"},
	{name: "PUBSUB", kind: refuse, why: eachServer},
	{name: "SCAN", kind: refuse, why: "a cursor belongs to one server; scan each of Nodes"},
	{name: "KEYS", kind: refuse, why: "scan each of Nodes instead"},
	{name: "RANDOMKEY", kind: refuse, why: eachServer},
	{name: "FLUSHALL", kind: refuse, why: "it would empty every shard; if that is meant, send it to each of Nodes"},
	{name: "FLUSHDB", kind: refuse, why: "it would empty every shard; if that is meant, send it to each of Nodes"},
	{name: "SWAPDB", kind: refuse, why: eachServer},
	{name: "MIGRATE", kind: refuse, why: "keys are moved between shards by Copy, so that they are found where they went"},
	{name: "INFO", kind: refuse, why: eachServer},
	{name: "CONFIG", kind: refuse, why: eachServer},
	{name: "ACL", kind: refuse, why: eachServer},
	{name: "BGREWRITEAOF", kind: refuse, why: eachServer},
	{name: "BGSAVE", kind: refuse, why: eachServer},
	{name: "DEBUG", kind: refuse, why: eachServer},
	{name: "FAILOVER", kind: refuse, why: eachServer},
	{name: "FUNCTION", kind: refuse, why: eachServer},
	{name: "LASTSAVE", kind: refuse, why: eachServer},
	{name: "LATENCY", kind: refuse, why: eachServer},
	{name: "MEMORY", kind: refuse, why: eachServer},
	{name: "MODULE", kind: refuse, why: eachServer},
	{name: "MONITOR", kind: refuse, why: eachServer},
	{name: "PSYNC", kind: refuse, why: eachServer},
	{name: "REPLICAOF", kind: refuse, why: eachServer},
	{name: "ROLE", kind: refuse, why: eachServer},
	{name: "SAVE", kind: refuse, why: eachServer},
	{name: "SCRIPT", kind: refuse, why: eachServer},
	{name: "SELECT", kind: refuse, why: "a shard serves one database, which its URL names"},
	{name: "SHUTDOWN", kind: refuse, why: eachServer},
	{name: "SLAVEOF", kind: refuse, why: eachServer},
	{name: "SLOWLOG", kind: refuse, why: eachServer},
	{name: "SYNC", kind: refuse, why: eachServer},
	{name: "OBJECT", kind: refuse, why: unknown},
	{name: "XGROUP", kind: refuse, why: unknown},
	{name: "XINFO", kind: refuse, why: unknown},
}

const (
	undeclared = "it declares no key, so it belongs to no shard; declare its keys, or send it to one of Nodes"
	external   = "it names no key, or reads keys that only the data names (BY, GET with a pattern), which may lie on another shard"
	nameless   = "it names no key, or its words are not what the server takes"
	eachServer = "it is about one server; send it to one of Nodes"
	unknown    = "the table of commands of this package does not hold it, so its keys are not known; send it to one of Nodes"
)

func newTable() map[string]*spec {
	t := make(map[string]*spec, 400)
	for _, row := range atFixedWords {
		for name := range strings.FieldsSeq(row.names) {
			t[name] = &spec{name: name, first: row.first, last: row.last, step: row.step}
		}
	}
	for i := range others {
		t[others[i].name] = &others[i]
	}
	for name := range t { // so that lookup knows by one look where the second word matters
		if verb, _, ok := strings.Cut(name, "|"); ok && t[verb] == nil {
			t[verb] = &spec{name: verb, kind: refuse, why: unknown}
		}
	}
	return t
}

var unlisted = &spec{kind: refuse, why: unknown}

// lookup finds a command, in whatever case it is written.
func lookup(words []string) *spec {
	if len(words) == 0 {
		return unlisted
	}
	s := table[words[0]]
	if s == nil {
		if s = table[strings.ToUpper(words[0])]; s == nil {
			return unlisted
		}
	}
	if s.kind == refuse && len(words) > 1 {
		if sub := table[s.name+"|"+strings.ToUpper(words[1])]; sub != nil {
			return sub
		}
	}
	return s
}

// keys gives the keys (or channels) among the words; those at fixed words share
// their memory where they stand side by side. A command that names none, or
// whose words the server would refuse, gives nil.
func (s *spec) keys(words []string) []string {
	if s.find != nil {
		return s.find(words)
	}
	if s.first == 0 || s.first >= len(words) {
		return nil
	}
	last := s.last
	if last < 0 {
		last += len(words)
	}
	if last < s.first || last >= len(words) {
		return nil
	}
	if s.step == 1 {
		return words[s.first : last+1]
	}
	var keys []string
	for i := s.first; i <= last; i += s.step {
		keys = append(keys, words[i])
	}
	return keys
}

// counted finds keys behind a word that counts them, and one more key at the
// word dest, if that is not 0.
func counted(at, dest int) func([]string) []string {
	return func(words []string) []string {
		if at >= len(words) {
			return nil
		}
		n, err := strconv.Atoi(words[at])
		if err != nil || n < 0 || n > len(words)-at-1 {
			return nil
		}
		keys := words[at+1 : at+1+n]
		if dest == 0 {
			return keys
		}
		return append([]string{words[dest]}, keys...)
	}
}

// pairs finds the keys of MSETEX: as many as its first word says, each before its
// value.
func pairs(words []string) []string {
	if len(words) < 2 {
		return nil
	}
	n, err := strconv.Atoi(words[1])
	if err != nil || n < 0 || n > (len(words)-2)/2 {
		return nil
	}
	keys := make([]string, n)
	for i := range keys {
		keys[i] = words[2+2*i]
	}
	return keys
}

// streams finds the keys of XREAD and XREADGROUP: the first half of what stands
// behind the word STREAMS, where that word is an option and no option's value.
func streams(words []string) []string {
	for i := 1; i < len(words); i++ {
		switch strings.ToUpper(words[i]) {
		case "COUNT", "BLOCK", "CLAIM":
			i++
		case "GROUP":
			i += 2
		case "NOACK":
		case "STREAMS":
			rest := words[i+1:]
			if len(rest)%2 != 0 {
				return nil
			}
			return rest[:len(rest)/2]
		default:
			return nil
		}
	}
	return nil
}

// sorted finds the keys of SORT: the first word and what STORE names. With BY or
// GET of a pattern, the keys that it reads depend on the data, so none are known.
func sorted(words []string) []string {
	if len(words) < 2 {
		return nil
	}
	keys := words[1:2:2]
	for i := 2; i < len(words); i++ {
		switch strings.ToUpper(words[i]) {
		case "LIMIT":
			i += 2
		case "BY", "GET":
			if i++; i < len(words) && strings.Contains(words[i], "*") {
				return nil
			}
		case "STORE":
			if i++; i < len(words) {
				keys = append(keys[:1], words[i])
			}
		}
	}
	return keys
}

// radius finds the keys of GEORADIUS: the first word and what STORE or STOREDIST
// names among the options, which begin at the word from.
func radius(from int) func([]string) []string {
	return func(words []string) []string {
		if len(words) < 2 {
			return nil
		}
		keys := words[1:2:2]
		for i := from; i+1 < len(words); i++ {
			if w := words[i]; strings.EqualFold(w, "STORE") || strings.EqualFold(w, "STOREDIST") {
				i++
				keys = append(keys[:1], words[i])
			}
		}
		return keys
	}
}
