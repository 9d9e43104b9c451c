package cache

import (
	"time"

	"github.com/redstart-go/redstart/internal/entry"
)

// Tier is where a value came from.
type Tier uint8

const (
	// TierNear: it was kept in the process.
	TierNear Tier = iota + 1
	// TierRedis: it was cached.
	TierRedis
	// TierSource: it was loaded for this caller, or for one with whom he waited.
	TierSource
)

// String is the tier for people.
func (t Tier) String() string {
	names := [...]string{"unknown", "near", "redis", "source"}
	if int(t) >= len(names) {
		t = 0
	}
	return names[t]
}

// Entry is a value with what is known of it.
type Entry[V any] struct {
	Value V
	// Age is how long ago the value was stored, by the server's countdown; zero
	// for one just loaded. Negative: not known, because none of Refresh,
	// StaleFor and Ages was set when it was stored, or it never expires.
	Age time.Duration
	// Tier says where it came from.
	Tier Tier
	// Stale: it is past its TTL, and the load of a new one failed or takes
	// longer than Config.SoftTimeout.
	Stale bool
}

// cached is an entry as a caller gets it.
func cached[V any](e *entry.Entry[V], stale bool) Entry[V] {
	return Entry[V]{Value: e.Value, Age: e.Age, Tier: TierRedis, Stale: stale}
}

// sourced is a value that was just loaded.
func sourced[V any](v V) Entry[V] { return Entry[V]{Value: v, Tier: TierSource} }
