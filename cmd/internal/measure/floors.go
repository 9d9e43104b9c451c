package measure

import "sync/atomic"

// Floors holds, per key, the version below which a read is stale. A writer raises a key's floor only after it has
// committed that version and an invalidation begun afterwards has returned nil: before that nobody promised anything.
// A reader takes the floor before it begins, and compares when it is done. Keys are small indexes.
type Floors struct{ floors []atomic.Int64 }

// NewFloors has a floor of 0 for each of n keys.
func NewFloors(n int) *Floors { return &Floors{floors: make([]atomic.Int64, n)} }

// Raise lifts the floor of a key; it never sinks.
func (f *Floors) Raise(key int, version int64) {
	for {
		old := f.floors[key].Load()
		if old >= version || f.floors[key].CompareAndSwap(old, version) {
			return
		}
	}
}

// Before returns the floor that a read beginning now must reach.
func (f *Floors) Before(key int) int64 { return f.floors[key].Load() }
