package history

import (
	"fmt"
	"maps"
	"math"
	"slices"
)

// Events of writes that reach a database later. Version is the number of the
// write, which no other has; Key is what it writes.
const (
	// Sent: the write is about to be asked for, at Begin.
	Sent Kind = iota + 128
	// Acked: it was acknowledged at End.
	Acked
	// NotTaken: it was refused at End, and surely not taken.
	NotTaken
)

// Deletes marks a write that removes its key.
const Deletes uint8 = 1 << 6

// Row is what the database holds for a key.
type Row struct {
	Write   uint64 // the number of the write
	Version int64  // its version; 0: there are none
}

// Told is a change that a sink was told of, or, with what the database itself has
// noted, one that it made.
type Told struct {
	Key     uint32
	Write   uint64 // of a delete that the database has noted: what was deleted
	Version int64  // as of Write
	Deleted bool
}

// putting is a write as its log has it.
type putting struct {
	number     uint64
	begin, end uint64 // end: MaxUint64 where no answer is known
	acked      bool
	refused    bool
	deletes    bool
}

// puttings gives the writes of each key.
func puttings(events []Event) map[uint32]map[uint64]*putting {
	keys := map[uint32]map[uint64]*putting{}
	of := func(e Event) *putting {
		if keys[e.Key] == nil {
			keys[e.Key] = map[uint64]*putting{}
		}
		p := keys[e.Key][e.Version]
		if p == nil {
			p = &putting{number: e.Version, begin: e.Begin, end: math.MaxUint64, deletes: e.Mark&Deletes != 0}
			keys[e.Key][e.Version] = p
		}
		return p
	}
	for _, e := range events {
		switch e.Kind {
		case Sent:
			of(e)
		case Acked:
			p := of(e)
			p.acked, p.end = true, e.End
		case NotTaken:
			p := of(e)
			p.refused, p.end = true, e.End
		}
	}
	return keys
}

// Unwritten is the checker of W2 and W3: what the database holds for a key in the
// end must be what one of its writes left that no acknowledged one followed. A
// write without an answer may have been taken or not.
func Unwritten(events []Event, rows map[uint32]Row) (wrong []string) {
	keys := puttings(events)
	for key, row := range rows {
		if keys[key][row.Write] == nil {
			wrong = append(wrong, fmt.Sprintf("key %d holds %x, which nobody wrote", key, row.Write))
		}
	}
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		row, there := rows[key]
		if text := unwritten(keys[key], row, there); text != "" {
			wrong = append(wrong, fmt.Sprintf("key %d %s", key, text))
		}
	}
	return wrong
}

func unwritten(writes map[uint64]*putting, row Row, there bool) string {
	if there {
		switch w := writes[row.Write]; {
		case w == nil:
			return "" // said already
		case w.refused:
			return fmt.Sprintf("holds %x, which was refused", w.number)
		case w.deletes:
			return fmt.Sprintf("holds %x, which deletes it", w.number)
		default:
			if next := followed(writes, w); next != nil && next.deletes {
				return fmt.Sprintf("holds %x, although it was deleted by %x later", w.number, next.number)
			} else if next != nil {
				return fmt.Sprintf("holds %x, and lacks the later %x", w.number, next.number)
			}
			return ""
		}
	}
	// The last may be a delete, or none was taken.
	set := false
	var deleted *putting
	for _, w := range writes {
		switch {
		case w.refused:
		case w.deletes && followed(writes, w) == nil:
			return ""
		case w.deletes:
			deleted = w
		case w.acked:
			set = true
		}
	}
	switch {
	case !set:
		return ""
	case deleted != nil:
		return fmt.Sprintf("is absent, although it was written again after the delete %x", deleted.number)
	}
	return "is absent, although it was written and never deleted"
}

// followed gives an acknowledged write that began when this one was over.
func followed(writes map[uint64]*putting, w *putting) *putting {
	for _, next := range writes {
		if next.acked && next.begin > w.end {
			return next
		}
	}
	return nil
}

// Disordered is the checker of versions: of two acknowledged writes of a key one
// after the other the later has the greater version, and what the database
// holds in the end is what the greatest version of the key that a sink was told
// of left.
func Disordered(events []Event, told []Told, rows map[uint32]Row) (wrong []string) {
	keys := puttings(events)
	last := map[uint32]Told{}
	versions := map[uint32]map[uint64]int64{} // the greatest of a write, which may be stamped again
	for _, c := range told {
		if c.Version >= last[c.Key].Version {
			last[c.Key] = c
		}
		if versions[c.Key] == nil {
			versions[c.Key] = map[uint64]int64{}
		}
		versions[c.Key][c.Write] = max(versions[c.Key][c.Write], c.Version)
	}
	for _, key := range slices.Sorted(maps.Keys(last)) {
		row, there := rows[key]
		switch c := last[key]; {
		case c.Deleted && there:
			wrong = append(wrong, fmt.Sprintf("key %d holds version %d, although it was deleted with %d", key, row.Version, c.Version))
		case !c.Deleted && !there:
			wrong = append(wrong, fmt.Sprintf("key %d is absent, although version %d was told", key, c.Version))
		case !c.Deleted && row.Version != c.Version:
			wrong = append(wrong, fmt.Sprintf("key %d holds version %d, and %d was told", key, row.Version, c.Version))
		}
		var acked []*putting
		for _, w := range keys[key] {
			if w.acked && versions[key][w.number] > 0 {
				acked = append(acked, w)
			}
		}
		slices.SortFunc(acked, func(a, b *putting) int { return int(int64(a.end) - int64(b.end)) }) //nolint:gosec // ticks of a run
		for i, w := range acked {
			for _, next := range acked[i+1:] {
				if next.begin > w.end && versions[key][next.number] <= versions[key][w.number] {
					wrong = append(wrong, fmt.Sprintf("key %d: %x came after %x, and its version %d is not above %d",
						key, next.number, w.number, versions[key][next.number], versions[key][w.number]))
				}
			}
		}
	}
	return wrong
}

// WentBack is the checker of W3 at every moment: of the changes that a database
// made, in its own order, it names each that put a version of a key below one
// that was there before, and each row that came back although every delete that
// can have removed the last one is newer. told knows the versions of deletes.
func WentBack(made, told []Told) (wrong []string) {
	deletes := map[uint32][]int64{}
	for _, c := range told {
		if c.Deleted {
			deletes[c.Key] = append(deletes[c.Key], c.Version)
		}
	}
	type state struct {
		highest int64
		deleted bool
	}
	keys := map[uint32]state{}
	for _, c := range made {
		s := keys[c.Key]
		switch {
		case c.Deleted:
			s.deleted = true
		case c.Version <= s.highest:
			wrong = append(wrong, fmt.Sprintf("key %d went from version %d to %d", c.Key, s.highest, c.Version))
		case s.deleted && !slices.ContainsFunc(deletes[c.Key], func(v int64) bool { return s.highest < v && v < c.Version }):
			wrong = append(wrong, fmt.Sprintf("key %d came back with version %d, older than any delete that removed version %d", c.Key, c.Version, s.highest))
		}
		if !c.Deleted {
			s = state{highest: max(s.highest, c.Version)}
		}
		keys[c.Key] = s
	}
	return wrong
}

// Again counts the changes that were told more than once, which is no fault.
func Again(told []Told) (n int) {
	type change struct {
		key     uint32
		version int64
	}
	seen := map[change]bool{}
	for _, c := range told {
		if seen[change{c.Key, c.Version}] {
			n++
		}
		seen[change{c.Key, c.Version}] = true
	}
	return n
}

// Conserved is the checker of W4's counts: each acknowledged write of a key that
// is written once is applied, dead or pending, and in one of these alone.
func Conserved(events []Event, applied map[uint32]Row, dead, pending map[uint32]bool) (wrong []string) {
	for key, writes := range puttings(events) {
		in := 0
		if _, ok := applied[key]; ok {
			in++
		}
		if dead[key] {
			in++
		}
		if pending[key] {
			in++
		}
		acked, taken := false, false
		for _, w := range writes {
			acked, taken = acked || w.acked, taken || !w.refused
		}
		switch {
		case acked && in == 0:
			wrong = append(wrong, fmt.Sprintf("key %d is neither applied, dead nor pending", key))
		case in > 1:
			wrong = append(wrong, fmt.Sprintf("key %d is in %d places", key, in))
		case !taken && in > 0:
			wrong = append(wrong, fmt.Sprintf("key %d was refused, and is there", key))
		}
	}
	slices.Sort(wrong)
	return wrong
}
