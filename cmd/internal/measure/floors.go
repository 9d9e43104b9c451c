package measure

import (
	"sync/atomic"
	"time"
)

// Floors holds, per key, the version below which a read is stale. A writer raises a key's floor only after it has
// committed that version and an invalidation begun afterwards has returned nil: before that nobody promised anything.
// A reader takes the floor before it begins, and compares when it is done. Keys are small indexes.
type Floors struct{ floors []atomic.Pointer[Floor] }

// Floor is a version that a read must reach, and since when. Nil is none.
type Floor struct {
	version int64
	since   time.Time
	below   *Floor
}

// NewFloors has no floor for each of n keys.
func NewFloors(n int) *Floors { return &Floors{floors: make([]atomic.Pointer[Floor], n)} }

// Raise lifts the floor of a key from now on; it never sinks.
func (f *Floors) Raise(key int, version int64) {
	for {
		old := f.floors[key].Load()
		if old != nil && old.version >= version ||
			f.floors[key].CompareAndSwap(old, &Floor{version: version, since: time.Now(), below: old}) {
			return
		}
	}
}

// Before returns the floor that a read beginning now must reach.
func (f *Floors) Before(key int) *Floor { return f.floors[key].Load() }

// Under tells whether a version is below the floor, and then since when it has been out of date.
func (f *Floor) Under(version int64) (since time.Time, stale bool) {
	for ; f != nil && version < f.version; f = f.below {
		since, stale = f.since, true
	}
	return since, stale
}
