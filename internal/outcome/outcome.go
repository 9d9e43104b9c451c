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

// OfReply sorts an error reply. A refusal changed nothing. Inside a script the
// first write decides about the refusals of a whole server (full, read-only,
// too few replicas), any other error there may have come after a write, and
// Lua does not roll back.
func OfReply(reply string) Outcome {
	if !fromScript(reply) {
		return NotApplied
	}
	switch Code(reply) {
	case "OOM", "READONLY", "NOREPLICAS", "MISCONF", "MASTERDOWN", "NOSCRIPT", "LOADING", "BUSY":
		return NotApplied
	default:
		return Unknown
	}
}

// fromScript reports whether the error was raised while a script ran: servers
// from 7.0 on append where ("… script: <sha>, on @user_script:3."), those
// before say it in the text.
func fromScript(reply string) bool {
	return strings.Contains(reply, "script: ") || strings.Contains(reply, "user_script:") ||
		strings.Contains(reply, "Error running script")
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
