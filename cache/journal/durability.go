package journal

import (
	"cmp"
	"time"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/internal/commit"
)

// Durability is what a write waits for before it is acknowledged: [Memory],
// [EverySecond], [Replicated] or [WaitAOF]. The zero Durability is Memory.
type Durability struct {
	level    level
	disks    int // whose AOF must have it: 0 or 1 of the primary
	replicas int // that must have it
	within   time.Duration
}

type level uint8

const (
	memory level = iota
	everySecond
	replicated
	waitAOF
)

// Memory acknowledges what the server holds in memory. A crash of the server
// loses what its persistence has not kept, a failover what the replica lacked.
func Memory() Durability { return Durability{} }

// EverySecond is Memory on a server whose AOF is on, which New makes sure of: by
// default a crash then loses a second at most, of the process nothing.
func EverySecond() Durability { return Durability{level: everySecond} }

// Replicated waits until n replicas have the write too (WAIT), at most for the
// time, zero for the client's Timeout. A failover then loses it only if a
// replica that lacks it is promoted. Writes of one partition that come together
// share one WAIT.
func Replicated(n int, within time.Duration) Durability {
	return Durability{level: replicated, replicas: n, within: within}
}

// WaitAOF waits until the primary has the write on disk, and n replicas have it
// on theirs, at most for the time, zero for the client's Timeout. It needs a
// server that has WAITAOF, and its AOF to be on: else New fails. Writes of one
// partition that come together share one WAITAOF.
func WaitAOF(replicas int, within time.Duration) Durability {
	return Durability{level: waitAOF, disks: 1, replicas: replicas, within: within}
}

func (d Durability) check(bad func(field, format string, args ...any)) {
	switch {
	case d.within < 0:
		bad("Durability", "waits for %v; give a positive time or zero", d.within)
	case d.level == replicated && d.replicas < 1:
		bad("Durability", "Replicated(%d) waits for no replica; take Memory", d.replicas)
	case d.replicas < 0:
		bad("Durability", "waits for %d replicas", d.replicas)
	}
}

// waits reports whether a write waits for more than the script's answer.
func (d Durability) waits() bool { return d.level == replicated || d.level == waitAOF }

func (d Durability) terms(c *redstart.Client) commit.Terms {
	return commit.Terms{Disks: d.disks, Replicas: d.replicas, Within: cmp.Or(d.within, c.Config().Timeout)}
}
