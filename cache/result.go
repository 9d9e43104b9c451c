package cache

import "time"

// Result is what a LoadResult gives: the value, and what else the source knows
// of it.
type Result[V any] struct {
	Value V

	// TTL is how long the value lives; Jitter applies. With ErrNotFound: how
	// long that is remembered. Negative: for good. Zero: as configured.
	TTL time.Duration

	// Tags of the entry, besides those of Config.Tags. Needs
	// Config.ResultTags. Their stamps are asked for in a second round trip by
	// every reader.
	Tags []string

	// NotModified keeps the old value, which the load was given, for another
	// TTL. Value is ignored.
	NotModified bool

	// Forget, of a Write, says nothing of the value: the entry is removed, and the
	// next read loads it. Not for a LoadResult.
	Forget bool

	// Version is that of the row in the source, which grows with every write of it:
	// a counter, a time of the database's. See Config.FloorFor.
	Version uint64
}

// Old is what stands in the cache while it is loaded again: a value past its
// TTL (StaleFor), or one that is refreshed. A load is not given one that was
// invalidated, but for a tag that only its result told and that was invalidated
// since it was read: the source knows better then, as it always does.
type Old[V any] struct {
	Value V
	OK    bool          // whether there is one
	Age   time.Duration // of the value; negative: not known

	// Floor is the version of the last Write, when the load has just given an
	// older one: ask the source's primary. Zero: not known.
	Floor uint64
}
