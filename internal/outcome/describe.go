package outcome

import "strings"

// Describe is an error reply for people: its code and what to do, since the
// reply's own text may repeat arguments or a script.
func Describe(reply string) string {
	code := Code(reply)
	if advice, ok := adviceFor[code]; ok {
		return code + ": " + advice
	}
	if strings.Contains(reply, "script") {
		return code + ": a script failed on the server"
	}
	text := strings.TrimPrefix(reply, code+" ")
	if cut := strings.IndexAny(text, "'\"`:,(<"); cut >= 0 {
		text = strings.TrimSpace(text[:cut])
	}
	return code + ": " + text
}

var adviceFor = map[string]string{
	"OOM":         "the server is at maxmemory and refuses writes; raise maxmemory, set an eviction policy, or store less",
	"READONLY":    "the server is a replica; write to the primary",
	"LOADING":     "the server is loading its data; it will answer when that is done",
	"WRONGTYPE":   "the key holds another type; another part of the system uses keys of this shape",
	"NOAUTH":      "the server wants a password; give it in the URL or in Config",
	"WRONGPASS":   "the server refused the user name or the password",
	"NOPERM":      "the user lacks the permission for this command or key; see ACL LOG on the server",
	"MISCONF":     "the server refuses writes because it cannot save to disk; see its log",
	"NOREPLICAS":  "the server refuses writes because too few replicas follow it",
	"MASTERDOWN":  "the replica has lost its primary and refuses to serve old data",
	"CLUSTERDOWN": "the cluster does not serve this slot",
	"CROSSSLOT":   "the keys lie in different slots; give them one hash tag",
	"BUSY":        "a script runs on the server and blocks it",
	"MOVED":       "the slot lives on another node of the cluster; connect to the cluster, not to one node",
	"ASK":         "the slot is on its way to another node of the cluster",
	"TRYAGAIN":    "the slot's keys are on their way to another node of the cluster",
	"NOSCRIPT":    "the server does not know the script",
	"NOPROTO":     "the server does not speak this protocol version",
	"EXECABORT":   "the transaction was refused because one of its commands was",
}
