package redstart

import "time"

// Events are hooks that a Client calls as things happen, for metrics, traces
// and logs. Any of them may be nil. They run on the goroutine where the thing
// happened, so they must return at once; one that panics is ignored. None gets
// a key, a value or a script's text.
type Events struct {
	// Connect: a connection was made, or the attempt failed.
	Connect func(ConnectInfo)
	// Disconnect: a connection ended, whoever ended it.
	Disconnect func(DisconnectInfo)
	// Away: the server, or a node of a cluster, does not serve; nothing is sent
	// to it but one probe at a time.
	Away func(AwayInfo)
	// Back: it serves again.
	Back func(BackInfo)
	// Primary: Sentinel's primary is another one now, or there is none.
	Primary func(PrimaryInfo)
	// Sentinel: no sentinel has answered for a second, or one does again.
	Sentinel func(SentinelInfo)
	// ScriptLoad: a script's text was sent, because the server did not know it:
	// at its first use, and again after a restart, a failover or SCRIPT FLUSH.
	ScriptLoad func(ScriptInfo)
	// Pattern: something worth counting happened in a pattern, such as a load
	// by a cache. What happens on every call is counted by the patterns' Stats.
	Pattern func(PatternInfo)
}

// ConnectInfo describes a connection attempt.
type ConnectInfo struct {
	Addr string        // host:port, or the socket's path
	Took time.Duration // TCP and TLS
	Err  error         // nil: connected
}

// DisconnectInfo describes a connection that ended.
type DisconnectInfo struct {
	Addr string
}

// AwayInfo says why a server counts as away.
type AwayInfo struct {
	Addr  string // of a cluster's node; "" for the server behind any other client
	Cause error
}

// BackInfo says for how long it was.
type BackInfo struct {
	Addr  string
	After time.Duration
}

// PrimaryInfo names the old and the new primary, "" for none.
type PrimaryInfo struct {
	From, To string
}

// SentinelInfo says whether any sentinel answers.
type SentinelInfo struct {
	Reachable bool
}

// ScriptInfo names a script.
type ScriptInfo struct {
	Name string
}

// PatternInfo describes an event of a pattern.
type PatternInfo struct {
	Pattern  string        // the package: "cache"
	Template string        // which one: the template of its keys
	Event    string        // "load", "refused", "corrupt", …: each package lists its own
	Took     time.Duration // where it took time
	Err      error         // where it failed
}

// call runs a hook, if there is one, and survives its panic.
func call[T any](hook func(T), info T) {
	if hook == nil {
		return
	}
	defer func() { _ = recover() }()
	hook(info)
}
