package history

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// Load is a load of a key over what stood in the cache, as the source saw it:
// each gives a version of its own.
type Load struct {
	Key        uint32
	Process    uint16
	Old        uint64 // the version over which it loaded; 0: there was none
	Version    uint64 // what it gave
	Begin, End uint64 // End 0: it was never answered
}

func (l Load) String() string {
	return fmt.Sprintf("process %d loads key %d over version %d in [%d, %d]", l.Process, l.Key, l.Old, l.Begin, l.End)
}

// RefreshedOnce is the checker of C7. It names every load of a key over which
// something stood already that was loaded over, but for one more where one of
// both was of a process that died or froze, and they began so far apart (lease); every load but the
// first where nothing stood; and every one that began before a value's last part
// (early after the load that gave it has ended; zero: any time).
func RefreshedOnce(loads []Load, struck func(Load) bool, lease, early time.Duration) (wrong []string) {
	type of struct {
		key     uint32
		version uint64
	}
	given := map[of]Load{}
	over := map[of][]Load{}
	for _, l := range loads {
		given[of{l.Key, l.Version}] = l
		over[of{l.Key, l.Old}] = append(over[of{l.Key, l.Old}], l)
	}
	for at, all := range over {
		slices.SortFunc(all, func(a, b Load) int { return cmp.Compare(a.Begin, b.Begin) })
		for i, l := range all {
			switch {
			case i == 0:
			case i == 1 && at.version != 0 && (struck(all[0]) || struck(l)) && l.Begin >= all[0].Begin+uint64(lease):
			case at.version == 0:
				wrong = append(wrong, fmt.Sprintf("a miss: %v", l))
			default:
				wrong = append(wrong, fmt.Sprintf("once more: %v, after %v", l, all[i-1]))
			}
			if g, ok := given[of{l.Key, l.Old}]; ok && l.Old != 0 && early > 0 && l.Begin < g.End+uint64(early) {
				wrong = append(wrong, fmt.Sprintf("too early: %v, after %v", l, g))
			}
		}
	}
	slices.Sort(wrong)
	return wrong
}
