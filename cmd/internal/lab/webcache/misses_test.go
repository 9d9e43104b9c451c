package webcache

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestCensus plays the life of a key at one instant after the other.
func TestCensus(t *testing.T) {
	const (
		hit   = "hit"   // a read that found it in the server
		miss  = "miss"  // a read that did not
		write = "write" // an invalidation
		old   = "old"   // a hit on a stale value in the near tier
		away  = "away"  // the fault begins
		back  = "back"  // it ends
		wait  = "wait"  // nothing
	)
	for _, c := range []struct {
		name string
		do   []string // 100 ms apart
		want misses
		ends int
	}{
		{"the first read, and who waits with it", []string{miss, miss}, misses{First: 2}, 0},
		{"after a write, until it is found again", []string{miss, hit, write, miss, miss, hit}, misses{First: 1, Written: 2}, 0},
		{"a written key that nobody had read", []string{write, miss}, misses{First: 1}, 0},
		{"often to the end", []string{miss, hit, hit, hit, miss}, misses{First: 1, Often: 1}, 1},
		{"once a window to the end", []string{miss, hit, wait, hit, wait, miss}, misses{First: 1, Often: 1}, 1},
		{"one gap too long", []string{miss, hit, hit, wait, wait, miss, miss}, misses{First: 1, Rarely: 2}, 0},
		{"kept beyond two ends", []string{miss, hit, hit, hit, hit, hit, hit, hit, hit, hit, hit, hit}, misses{First: 1}, 2},
		{"kept beyond an end, then written", []string{miss, hit, hit, hit, hit, hit, hit, write, miss}, misses{First: 1, Written: 1}, 1},
		{"kept beyond an end, but rarely read", []string{miss, hit, wait, wait, hit, hit, hit, hit}, misses{First: 1}, 0},
		{"an old value in another's memory", []string{miss, hit, write, old, miss}, misses{First: 1, Written: 1}, 0},
		{"lost with the server", []string{miss, hit, hit, away, miss, miss, back, miss}, misses{First: 1, Outage: 3}, 0},
		{"first read in the outage", []string{away, miss, back}, misses{First: 1}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newCensus(1, 200*time.Millisecond, 450*time.Millisecond)
				for _, what := range c.do {
					time.Sleep(100 * time.Millisecond) // the bubble's clock
					switch what {
					case hit:
						s.read(0, time.Now(), fromServer, false)
					case old:
						s.read(0, time.Now(), fromNear, true)
					case miss:
						s.read(0, time.Now(), fromSource, false)
					case write:
						s.invalidating(0)()
					case away:
						s.fault(false)
					case back:
						s.fault(true)
					}
				}
				s.close()
				if s.misses != c.want || s.ends != c.ends {
					t.Errorf("%+v and %d ends, want %+v and %d", s.misses, s.ends, c.want, c.ends)
				}
			})
		})
	}
}

// TestCensusOfWaiters: who began before the value was there, and is answered after others found it, missed with the first.
func TestCensusOfWaiters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newCensus(1, time.Second, time.Minute)
		began := time.Now()
		time.Sleep(time.Millisecond)
		s.read(0, began, fromSource, false)
		time.Sleep(time.Millisecond)
		s.read(0, time.Now(), fromServer, false)
		s.read(0, began, fromSource, false)
		if s.misses != (misses{First: 2}) {
			t.Errorf("%+v", s.misses)
		}
	})
}
