package redstart

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/bits"
	"strings"
	"time"
)

// Config says how a Client connects and waits. The zero value works. A zero
// field is the documented default, a negative number switches the thing off
// where the field says so; every invalid field is reported at once by [Open].
type Config struct {
	// Namespace is put in front of every key that a pattern builds:
	// "shop" makes "user:<id>" into "shop:user:<id>". It is literal text: no
	// placeholder, no brace, no colon at its ends. Raw commands are not
	// touched. Default: none.
	Namespace string

	// Database is the number of the logical database, when the URL names none
	// (redis://host/2). One client serves one database: a raw SELECT through
	// a Client is refused, since connections are shared. Default: 0.
	Database int

	// Username and Password are the credentials when the URL holds none.
	// Default: none.
	Username, Password string

	// Credentials gives them afresh at every connection, for those that
	// rotate; it takes the place of Username and Password. It must return
	// within the dial deadline. Default: nil.
	Credentials func(ctx context.Context) (username, password string, err error)

	// SentinelUsername and SentinelPassword are the credentials for the
	// sentinels themselves, when they want any. Default: none.
	SentinelUsername, SentinelPassword string

	// WithoutSentinel says what to do while no sentinel answers, when nobody
	// could tell of a failover. Default: GoOn.
	WithoutSentinel WithoutSentinel

	// TLS is used for rediss:// URLs; nil there means the system's roots and
	// the URL's host name. Setting it makes a redis:// URL use TLS as well.
	TLS *tls.Config

	// DialTimeout bounds a connection's TCP and TLS handshake and, again, its
	// HELLO (which has half of Timeout at most). Callers queue behind a dial,
	// so it is short; raise it for servers far away. Default: 500 ms.
	DialTimeout time.Duration

	// Timeout is the longest that a call without a deadline of its own waits
	// on a server that is silent (frozen, cut off): a connection on which
	// nothing arrives is asked by PING and closed within it, failing the calls
	// on it with Outcome Unknown. A server that runs single commands for
	// longer than half of it needs more. A blocking command (BLPOP, XREAD
	// BLOCK) waits as long as it says. Default: 2 s; the five seconds common
	// for sockets would hold every caller of a dead server that long.
	Timeout time.Duration

	// Pipelines is how many connections carry the pipelined commands of all
	// goroutines to a node: a power of two up to 256. More than the default
	// pays off only where one core cannot feed the socket. Default: one a
	// core, at most 4.
	Pipelines int

	// BlockingPool bounds the connections for blocking commands and
	// Dedicated, which each hold one. While all are out a blocking command
	// waits for one until its context ends, and Dedicated until one is free.
	// Default: 50.
	BlockingPool int

	// ClientName is what CLIENT LIST shows. Default: "redstart".
	ClientName string

	// ReadFrom says which nodes may answer commands that only read; a call may
	// choose otherwise (Client.ReadingFrom). Patterns read from the primary
	// unless their own Config says otherwise. Default: the primary.
	ReadFrom ReadFrom

	// Zone is the availability zone that this process runs in, for
	// ReadFrom.Choose = SameZone. Default: none.
	Zone string

	// ZoneOf gives the zone of the node at host:port. Default: what the node
	// says of itself (availability-zone, which Valkey 8 has).
	ZoneOf func(addr string) string

	// OutageLoads bounds how many loads from the source of truth the caches of
	// this client run at once while the server cannot be reached; beyond it
	// comes ErrUnavailable at once. Negative: no load at all. Default: 16.
	OutageLoads int

	// Events are hooks for metrics, traces and logs. Default: none.
	Events Events
}

// WithoutSentinel is what a client does that reaches no sentinel.
type WithoutSentinel uint8

const (
	// GoOn: it uses the primary that it knows, for as long as that says it is
	// one. Should there have been a failover on the other side of a partition,
	// what is written meanwhile is lost, unless the server has
	// min-replicas-to-write.
	GoOn WithoutSentinel = iota
	// RefuseWrites: it reads, and keeps writers waiting as in an outage.
	RefuseWrites
)

const (
	defaultDialTimeout  = 500 * time.Millisecond
	defaultTimeout      = 2 * time.Second
	defaultBlockingPool = 50
	defaultOutageLoads  = 16
	maxPipelines        = 256
)

// withDefaults checks every field and fills in what is zero.
func (cfg Config) withDefaults() (Config, error) {
	var wrong []error
	bad := func(field, format string, args ...any) {
		wrong = append(wrong, fmt.Errorf("redstart: config: %s: %s", field, fmt.Sprintf(format, args...)))
	}
	if ns := cfg.Namespace; strings.ContainsAny(ns, "<>{}%\x00 \t\r\n") || strings.HasPrefix(ns, ":") || strings.HasSuffix(ns, ":") {
		bad("Namespace", "must be literal text without spaces, braces, placeholders or colons at its ends, such as \"shop\"")
	}
	if cfg.Database < 0 {
		bad("Database", "%d is negative; databases are numbered from 0", cfg.Database)
	}
	if cfg.Credentials != nil && (cfg.Username != "" || cfg.Password != "") {
		bad("Credentials", "set either it or Username and Password")
	}
	cfg.DialTimeout = positive(cfg.DialTimeout, defaultDialTimeout, func() { bad("DialTimeout", "is negative; every wait has a deadline") })
	cfg.Timeout = positive(cfg.Timeout, defaultTimeout, func() { bad("Timeout", "is negative; every wait has a deadline") })
	if cfg.Timeout < 20*time.Millisecond {
		bad("Timeout", "%v is below 20 ms, less than a busy machine's pauses", cfg.Timeout)
	}
	if p := cfg.Pipelines; p < 0 || p > maxPipelines || (p > 0 && bits.OnesCount(uint(p)) != 1) {
		bad("Pipelines", "%d is not a power of two between 1 and %d", p, maxPipelines)
	}
	cfg.BlockingPool = positive(cfg.BlockingPool, defaultBlockingPool, func() { bad("BlockingPool", "is negative; blocking commands need a connection each") })
	if cfg.WithoutSentinel > RefuseWrites {
		bad("WithoutSentinel", "is neither GoOn nor RefuseWrites")
	}
	if err := cfg.ReadFrom.check(cfg.Zone); err != nil {
		bad("ReadFrom", "%v", err)
	}
	if cfg.OutageLoads == 0 {
		cfg.OutageLoads = defaultOutageLoads
	}
	if cfg.ClientName == "" {
		cfg.ClientName = "redstart"
	} else if strings.ContainsAny(cfg.ClientName, " \t\r\n") {
		bad("ClientName", "holds a space or a line end, which servers refuse")
	}
	return cfg, errors.Join(wrong...)
}

// positive gives the default for zero and calls wrong for a negative number.
func positive[T int | time.Duration](v, def T, wrong func()) T {
	switch {
	case v < 0:
		wrong()
		return def
	case v == 0:
		return def
	default:
		return v
	}
}
