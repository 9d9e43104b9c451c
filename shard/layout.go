package shard

import (
	"cmp"
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"strings"

	"github.com/redstart-go/redstart/key"
)

// Slots is the number of slots: that of Redis Cluster, and a key's slot is the
// same here and there ([key.Slot]).
const Slots = 16384

// MaxWeight bounds a weight, MaxShards their number.
const (
	MaxWeight = 1000
	MaxShards = 1000
)

// Member is one shard of a layout: its name, which is its identity for good,
// and its weight.
type Member struct {
	// Name decides which slots the shard owns, so it stays when the server
	// moves to another address, and is never given to another data set.
	Name string
	// Weight is its share of the slots relative to the others', 1 to
	// [MaxWeight]. Default: 1.
	Weight int
}

// Layout says which shard owns which slot. It follows from names and weights
// alone, in whatever order they are given, by integer arithmetic: every process
// on every machine, in every release, comes to the same owners. It never changes
// and may be shared.
type Layout struct {
	members []Member // by name
	owner   []uint16 // of each slot: an index into members; nil in the zero Layout
}

// NewLayout assigns the slots by weighted rendezvous hashing: each slot goes to
// the shard with the best score for it, so adding a shard takes slots only for
// the new one, removing one gives away only its own, and raising a weight takes
// slots only for that shard. Every invalid member is reported at once. Cost:
// about 0.2 µs a slot and shard, 4 ms a shard.
func NewLayout(members ...Member) (Layout, error) {
	var wrong []error
	bad := func(format string, args ...any) {
		wrong = append(wrong, fmt.Errorf("redstart/shard: layout: "+format, args...))
	}
	if len(members) == 0 || len(members) > MaxShards {
		bad("%d shards; give 1 to %d", len(members), MaxShards)
	}
	l := Layout{members: slices.Clone(members)}
	slices.SortStableFunc(l.members, func(a, b Member) int { return cmp.Compare(a.Name, b.Name) })
	for i := range l.members {
		m := &l.members[i]
		if m.Name == "" || strings.ContainsAny(m.Name, ", \t\r\n") {
			bad("the name %q is empty, or holds a comma or a space", m.Name)
		}
		if i > 0 && m.Name == l.members[i-1].Name {
			bad("the name %q is given twice", m.Name)
		}
		if m.Weight == 0 {
			m.Weight = 1
		}
		if m.Weight < 0 || m.Weight > MaxWeight {
			bad("the weight of %q is %d; give 1 to %d, and leave a shard out to empty it", m.Name, m.Weight, MaxWeight)
		}
	}
	if len(wrong) > 0 {
		return Layout{}, errors.Join(wrong...)
	}
	l.owner = owners(l.members)
	return l, nil
}

// owners gives each slot's owner, an index into members. With u uniform in (0, 1) for each shard and slot,
// the least -log(u)/weight wins with a probability proportional to the weight.
func owners(members []Member) []uint16 {
	seeds := make([]uint64, len(members))
	for i, m := range members {
		seeds[i] = mix(fnv1a(m.Name))
	}
	owner := make([]uint16, Slots)
	for slot := range owner {
		salt := mix(uint64(slot) + 1)
		best, bestCost := 0, uint64(0)
		for i, seed := range seeds {
			cost := minusLog2(mix(seed ^ salt))
			// cost/weight < bestCost/bestWeight, exactly; of equals the first name wins
			if i == 0 || cost*uint64(members[best].Weight) < bestCost*uint64(members[i].Weight) {
				best, bestCost = i, cost
			}
		}
		owner[slot] = uint16(best)
	}
	return owner
}

// logBits is the precision of minusLog2 behind the point. A cost has at most
// 7 bits before it, and a weight 10: their product fits.
const logBits = 32

// minusLog2 is -log2((h|1) / 2^64) as a fixed-point number, by squaring: an
// integer function, since math.Log may differ in its last bit between machines.
func minusLog2(h uint64) uint64 {
	h |= 1
	zeros := bits.LeadingZeros64(h)
	m := h << zeros // a mantissa in [1, 2), its unit at bit 63
	var log uint64
	for range logBits {
		hi, lo := bits.Mul64(m, m)
		log <<= 1
		if hi>>63 == 1 { // the square is 2 or more
			log |= 1
			m = hi
		} else {
			m = hi<<1 | lo>>63
		}
	}
	return uint64(zeros+1)<<logBits - log
}

// fnv1a is FNV-1a, 64 bits.
func fnv1a(s string) uint64 {
	h := uint64(0xcbf29ce484222325)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 0x100000001b3
	}
	return h
}

// mix is the finaliser of SplitMix64: every bit of x turns half of the result's.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// Members gives the shards by name, with their weights.
func (l Layout) Members() []Member { return slices.Clone(l.members) }

// Owner is the name of the shard that owns a slot, 0 to Slots-1. The zero Layout
// has no owners: "".
func (l Layout) Owner(slot uint16) string {
	if int(slot) >= len(l.owner) {
		return ""
	}
	return l.members[l.owner[slot]].Name
}

// OwnerOf is the name of the shard that owns a key.
func (l Layout) OwnerOf(k string) string { return l.Owner(key.Slot(k)) }

// Count gives how many slots each shard owns.
func (l Layout) Count() map[string]int {
	n := make(map[string]int, len(l.members))
	for _, m := range l.members {
		n[m.Name] = 0
	}
	for _, o := range l.owner {
		n[l.members[o].Name]++
	}
	return n
}

// Move is a slot that changes its owner.
type Move struct {
	Slot     uint16
	From, To string
}

// Plan lists the slots whose owner differs, in their order: what [Copy] has to
// move from the old layout to the new one. Adding one shard to N of equal weight
// moves about 1/(N+1) of the slots, all of them to it.
func Plan(old, new Layout) []Move { //nolint:revive,predeclared // old and new is what they are
	if len(old.owner) == 0 || len(new.owner) == 0 {
		return nil
	}
	var moves []Move
	for slot := range uint16(Slots) {
		if from, to := old.Owner(slot), new.Owner(slot); from != to {
			moves = append(moves, Move{Slot: slot, From: from, To: to})
		}
	}
	return moves
}
