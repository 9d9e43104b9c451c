// Package outcome says whether a command that failed took effect. It is the
// one place where the replies of a server are sorted; everything above asks it.
package outcome

import "strings"

// Outcome is what is known of a call's effect on the server.
type Outcome uint8

const (
	// Unknown: the call may have run, whole or (a script that failed half way) in part.
	Unknown Outcome = iota
	// NotApplied: the call surely changed nothing.
	NotApplied
	// Applied: the call surely took effect.
	Applied
)

// String gives the outcome in lower case, for logs and metrics.
func (o Outcome) String() string {
	switch o {
	case NotApplied:
		return "not applied"
	case Applied:
		return "applied"
	default:
		return "unknown"
	}
}

// Code is the code of an error reply ("WRONGTYPE", "OOM"), and "ERR" for one
// without a code of its own: clients may have cut that word off already, so
// a first word counts as a code only when it is known as one, or is made like
// those of modules (SEARCH_INDEX_NOT_FOUND).
func Code(reply string) string {
	word, _, _ := strings.Cut(reply, " ")
	if codes[word] || strings.Contains(word, "_") && strings.ToUpper(word) == word {
		return word
	}
	return "ERR"
}

var codes = map[string]bool{
	"ASK": true, "BUSY": true, "BUSYGROUP": true, "BUSYKEY": true, "CLUSTERDOWN": true, "CROSSSLOT": true,
	"DENIED": true, "EXECABORT": true, "INPROG": true, "IOERR": true, "LOADING": true, "MASTERDOWN": true,
	"MISCONF": true, "MOVED": true, "NOADDR": true, "NOAUTH": true, "NOGOODSLAVE": true, "NOGROUP": true,
	"NOMASTERLINK": true, "NOPERM": true, "NOPROTO": true, "NOREPLICAS": true, "NOSCRIPT": true, "NOSUB": true,
	"NOTBUSY": true, "NOTREADY": true, "OOM": true, "READONLY": true, "REDIRECT": true, "TRYAGAIN": true,
	"UNBLOCKED": true, "UNKILLABLE": true, "WRONGPASS": true, "WRONGTYPE": true,
}

// OfReply sorts an error reply to a command that is no script: a refusal
// changed nothing. What a proxy says of a server behind it, and what MIGRATE
// says of its target, says nothing of the effect.
func OfReply(reply string) Outcome {
	if fromScript(reply) {
		return OfScript(reply)
	}
	switch {
	case Code(reply) == "IOERR", strings.HasPrefix(reply, "upstream "), strings.HasPrefix(reply, "no upstream "):
		return Unknown
	default:
		return NotApplied
	}
}

// OfScript sorts an error reply to a script or a function. It may have come
// after a write, and Lua does not roll back; the text may be the script's own.
// Only the server's own words for what it decides before a script's first write
// say that nothing was changed.
func OfScript(reply string) Outcome {
	for _, words := range beforeTheFirstWrite {
		if strings.HasPrefix(reply, words.begin) && strings.Contains(reply, words.within) {
			return NotApplied
		}
	}
	return Unknown
}

var beforeTheFirstWrite = []struct{ begin, within string }{
	{"NOSCRIPT ", "No matching script"},
	{"OOM ", "command not allowed when used memory"},
	{"READONLY ", "You can't write against a read only"},
	{"NOREPLICAS ", "Not enough good replicas"},
	{"MISCONF ", "is configured to save RDB snapshots"},
	{"MISCONF ", "Errors writing to the AOF"},
	{"MASTERDOWN ", "Link with MASTER is down"},
	{"LOADING ", " is loading the dataset"},
	{"BUSY ", " is busy running a script"},
	{"NOAUTH ", "Authentication required"},
	{"NOPERM ", "no permissions to "},
	{"CLUSTERDOWN ", ""},
	{"CROSSSLOT ", "Keys in request"},
	{"TRYAGAIN ", "Multiple keys request"},
	{"MOVED ", ":"},
	{"ASK ", ":"},
}

// fromScript reports whether the error was raised while a script ran: servers
// from 7.0 on append where ("… script: <sha>, on @user_script:3."), those
// before and the embedded one say it in other words.
func fromScript(reply string) bool {
	return strings.Contains(reply, "script: ") || strings.Contains(reply, "user_script:") ||
		strings.Contains(reply, "Error running script") || strings.Contains(reply, "Error compiling script")
}

// Away reports whether the reply says that the server cannot serve now but may
// later: the caller's business is to wait or to do without it.
func Away(reply string) bool {
	switch Code(reply) {
	case "LOADING", "CLUSTERDOWN", "MASTERDOWN", "NOREPLICAS", "READONLY", "OOM", "MISCONF", "BUSY", "TRYAGAIN":
		return true
	case "ERR":
		return strings.HasPrefix(strings.TrimPrefix(reply, "ERR "), "max number of clients")
	default:
		return false
	}
}
