package command

import "strings"

// harmlessTwice reports whether a command that writes leaves the same behind and
// answers the same when it runs twice in a row. A command marked by the caller
// with ToRetryable counts as such whatever it is.
func harmlessTwice(words []string) bool {
	rule, ok := harmless[strings.ToUpper(words[0])]
	return ok && (rule == nil || rule(words[1:]))
}

// harmless lists such commands; a rule looks at the arguments. Those whose
// answer tells what was there before (DEL, SADD, HSET) are not among them: the
// second answer would be wrong.
var harmless = map[string]func(args []string) bool{
	"SET":   func(args []string) bool { return !anyOf(args[min(2, len(args)):], "NX", "XX", "GET", "IFEQ") },
	"SETEX": nil, "PSETEX": nil, "MSET": nil, "HMSET": nil, "LSET": nil, "SETRANGE": nil,
	"EXPIRE": always, "PEXPIRE": always, "EXPIREAT": always, "PEXPIREAT": always,
	"PING": nil, "ECHO": nil, "INFO": nil, "COMMAND": nil, "WAIT": nil,
	"SCRIPT": func(args []string) bool { return anyOf(args[:min(1, len(args))], "LOAD", "EXISTS") },
}

// always holds where no condition makes the second run differ from the first.
func always(args []string) bool {
	return !anyOf(args[min(2, len(args)):], "NX", "XX", "GT", "LT")
}

func anyOf(args []string, options ...string) bool {
	for _, a := range args {
		for _, o := range options {
			if strings.EqualFold(a, o) {
				return true
			}
		}
	}
	return false
}
