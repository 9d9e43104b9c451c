package near

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"sync"
	"testing"
	"time"
)

// A history is what was done to one key and what its readers saw. Each change
// has a version, and those of one key are applied in their order. Times are
// nanoseconds on one clock.
type history struct {
	start time.Time

	mu      sync.Mutex
	changes []change // by version, from 1; before it the key is absent
	reads   []read   // each reader's in its order
	evicts  bool     // the server may lose the key at any time
}

type change struct {
	absent bool
	own    bool // by the client whose tier is checked
	began  int64
	done   int64 // acknowledged; never: nobody knows whether it took effect
}

const never = math.MaxInt64

type read struct {
	reader       int
	version      int // absent: none
	absent       bool
	began, ended int64
}

func (h *history) now() int64 { return int64(time.Since(h.start)) }

// begin notes that the next version is on its way.
func (h *history) begin(absent, own bool) (version int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.changes = append(h.changes, change{absent, own, h.now(), never})
	return len(h.changes)
}

// done notes that a version was acknowledged, to take effect by after from now.
func (h *history) done(version int, after time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.changes[version-1].done = h.now() + int64(after)
}

func (h *history) read(r read) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.reads = append(h.reads, r)
}

// verdict is what a checker found.
type verdict struct {
	reads, changes                 int
	back, stale, ownLost, invented int
	oldest                         time.Duration // how long a version was still read after it was overwritten
}

func (v verdict) bad() int { return v.back + v.stale + v.ownLost + v.invented }

func (v verdict) String() string {
	return fmt.Sprintf("%d changes, %d reads: %d going back, %d beyond MaxStale, %d own writes misread, %d invented; oldest %v",
		v.changes, v.reads, v.back, v.stale, v.ownLost, v.invented, v.oldest.Round(time.Millisecond))
}

func (v *verdict) add(w verdict) {
	v.reads, v.changes = v.reads+w.reads, v.changes+w.changes
	v.back, v.stale, v.ownLost, v.invented = v.back+w.back, v.stale+w.stale, v.ownLost+w.ownLost, v.invented+w.invented
	v.oldest = max(v.oldest, w.oldest)
}

// newest answers which is the newest version acknowledged by a time.
type newest struct {
	at      []int64
	version []int
}

func newestOf(changes []change, of func(change) bool) *newest {
	type done struct {
		version int
		at      int64
	}
	var all []done
	for i, c := range changes {
		if c.done != never && of(c) {
			all = append(all, done{i + 1, c.done})
		}
	}
	slices.SortFunc(all, func(a, b done) int { return cmp.Compare(a.at, b.at) })
	n := &newest{}
	most := 0
	for _, d := range all {
		most = max(most, d.version)
		n.at, n.version = append(n.at, d.at), append(n.version, most)
	}
	return n
}

func (n *newest) before(at int64) int {
	i, _ := slices.BinarySearch(n.at, at)
	if i == 0 {
		return 0
	}
	return n.version[i-1]
}

// overwritten is when a version newer than v was first acknowledged.
func (n *newest) overwritten(v int) int64 {
	if i, _ := slices.BinarySearch(n.version, v+1); i < len(n.at) {
		return n.at[i]
	}
	return never
}

// check goes through a history. Where a read of nothing may be that of several
// versions, the kindest is taken.
func (h *history) check(maxStale time.Duration) (v verdict) {
	h.mu.Lock()
	defer h.mu.Unlock()
	v.reads, v.changes = len(h.reads), len(h.changes)
	absent := []int{0}
	for i, c := range h.changes {
		if c.absent {
			absent = append(absent, i+1)
		}
	}
	all := newestOf(h.changes, func(change) bool { return true })
	own := newestOf(h.changes, func(c change) bool { return c.own })
	last := map[int]int{}
	for _, r := range h.reads {
		low, high := r.version, r.version // what the read may have seen
		if r.absent {
			if h.evicts {
				continue
			}
			i, _ := slices.BinarySearch(absent, last[r.reader])
			end := i
			for end < len(absent) && (absent[end] == 0 || h.changes[absent[end]-1].began < r.ended) {
				end++
			}
			if i == end {
				v.back++
				continue
			}
			low, high = absent[i], absent[end-1]
		} else if r.version < 1 || r.version > len(h.changes) || h.changes[r.version-1].absent || h.changes[r.version-1].began > r.ended {
			v.invented++
			continue
		}
		if high < last[r.reader] {
			v.back++
		}
		last[r.reader] = max(last[r.reader], low)
		if high < all.before(r.began-int64(maxStale)) {
			v.stale++
		}
		if high < own.before(r.began) {
			v.ownLost++
		}
		if high < all.before(r.began) {
			v.oldest = max(v.oldest, time.Duration(r.began-all.overwritten(high)))
		}
	}
	return v
}

// The checker finds each kind of wrong, and lets pass what is right.
func TestChecker(t *testing.T) {
	changes := []change{ // 1: a value, 2: nothing, 3: a value of our own, 4: perhaps
		{began: 10, done: 20}, {absent: true, began: 30, done: 40}, {own: true, began: 50, done: 60}, {began: 70, done: never},
	}
	for name, c := range map[string]struct {
		reads []read
		want  verdict
	}{
		"right":            {[]read{{0, 0, true, 5, 6}, {0, 1, false, 15, 25}, {0, 0, true, 35, 45}, {0, 3, false, 61, 62}, {0, 4, false, 75, 76}, {0, 4, false, 900, 901}}, verdict{}},
		"within the bound": {[]read{{0, 1, false, 41, 42}, {0, 0, true, 59, 60}, {1, 3, false, 600, 601}}, verdict{oldest: 1}},
		"back":             {[]read{{0, 1, false, 15, 16}, {0, 0, true, 17, 18}}, verdict{back: 1}},
		"back to a value":  {[]read{{0, 3, false, 55, 56}, {0, 1, false, 57, 58}, {1, 1, false, 35, 36}}, verdict{back: 1, oldest: 17}},
		"stale":            {[]read{{0, 1, false, 141, 142}}, verdict{stale: 1, ownLost: 1, oldest: 101}},
		"own":              {[]read{{0, 0, true, 61, 62}}, verdict{ownLost: 1, oldest: 1}},
		"from the future":  {[]read{{0, 3, false, 35, 36}}, verdict{invented: 1}},
	} {
		h := &history{changes: changes, reads: c.reads}
		got := h.check(100)
		got.reads, got.changes = 0, 0
		if got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}
