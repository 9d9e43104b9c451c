package history

import (
	"cmp"
	"slices"
)

// What transactions do to a row of a database that is read through a cache. A
// version is the row's count of changes and the name of the one who made the
// last: see SQLVersion.
const (
	// SQLRead: who asked at Begin got Version at End; in a transaction that sees a
	// snapshot Begin is the transaction's.
	SQLRead Kind = iota + 100
	// SQLWrote: a transaction changed the row at Begin, and has not committed.
	SQLWrote
	// SQLCommitting: it is about to commit.
	SQLCommitting
	// SQLCommitted: its commit returned nil at End.
	SQLCommitted
	// SQLRolledBack: it was rolled back, and will never commit.
	SQLRolledBack
	// SQLOwn: the transaction that made Version read something else.
	SQLOwn
	// SQLUnrepeated: a transaction that sees a snapshot read two versions.
	SQLUnrepeated
)

// SQLVersion packs a count and a name.
func SQLVersion(count uint64, name uint32) uint64 { return count<<32 | uint64(name) }

// SQL gives the reads that were wrong: older than what had been committed, or
// read, before they began; of what was rolled back, or not committed by their
// end; another than one's own write; two versions in one snapshot.
func SQL(events []Event) []Violation {
	var bad []Violation
	keys := map[uint32][]Event{}
	for _, e := range events {
		switch e.Kind { //nolint:exhaustive // the rest belongs to others
		case SQLOwn:
			bad = append(bad, Violation{Read: e, Limit: e, Why: "not its own write"})
		case SQLUnrepeated:
			bad = append(bad, Violation{Read: e, Limit: e, Why: "two versions in one snapshot"})
		case SQLRead, SQLWrote, SQLCommitting, SQLCommitted, SQLRolledBack:
			keys[e.Key] = append(keys[e.Key], e)
		}
	}
	for _, all := range keys {
		bad = append(bad, sqlKey(all)...)
	}
	return bad
}

func sqlKey(all []Event) (bad []Violation) {
	committing, undone := map[uint64]uint64{}, map[uint64]bool{}
	var reads, floors []Event
	for _, e := range all {
		switch e.Kind { //nolint:exhaustive // those that were taken
		case SQLCommitting:
			committing[e.Version] = e.Begin
		case SQLRolledBack:
			undone[e.Version] = true
		case SQLCommitted:
			floors = append(floors, e)
		case SQLRead:
			reads, floors = append(reads, e), append(floors, e)
		}
	}
	slices.SortFunc(floors, func(a, b Event) int { return cmp.Compare(a.End, b.End) })
	slices.SortFunc(reads, func(a, b Event) int { return cmp.Compare(a.Begin, b.Begin) })
	next, floor := 0, Event{}
	for _, r := range reads {
		for ; next < len(floors) && floors[next].End < r.Begin; next++ {
			if floors[next].Version>>32 > floor.Version>>32 {
				floor = floors[next]
			}
		}
		begun, will := committing[r.Version]
		switch {
		case r.Version>>32 < floor.Version>>32:
			bad = append(bad, Violation{Read: r, Limit: floor, Why: "older than what was committed, or read"})
		case uint32(r.Version) == 0: //nolint:gosec // its lower half: what was there at first
		case undone[r.Version]:
			bad = append(bad, Violation{Read: r, Why: "rolled back"})
		case !will || begun > r.End:
			bad = append(bad, Violation{Read: r, Limit: Event{Begin: begun}, Why: "not committed"})
		}
	}
	return bad
}
