package near

import (
	"sync"
	"sync/atomic"
	"testing"
)

// Once anybody has seen a life to be over, it is over for everybody who asks
// later, whatever the answers that come in.
func TestLifeEndsOnce(t *testing.T) {
	for range 2000 {
		var clock atomic.Int64
		var l life
		l.until.Store(10)
		var seen atomic.Bool
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() {
				for range 30 {
					before := seen.Load()
					over := l.over(clock.Add(1))
					if before && !over {
						t.Error("a life goes on that was over")
					}
					if over {
						seen.Store(true)
					}
				}
			})
		}
		all.Go(func() {
			for n := int64(12); n < 60; n += 6 {
				if before := seen.Load(); l.extend(n) && before {
					t.Error("a life that was over was extended")
				}
			}
		})
		all.Wait()
		if t.Failed() {
			return
		}
	}
}

// A time that was read before counts as one that is read now, until the life
// was seen to be over.
func TestAsOf(t *testing.T) {
	_, tier := full(byPointer)
	l := &life{}
	for i := range 2 {
		tier.entries.Set(i, &Item[*kib]{until: 200, life: l})
	}
	serves := func(id int, now int64) bool { _, ok := tier.GetAsOf(id, now); return ok }
	l.until.Store(100)
	if !serves(0, 99) || !serves(1, 99) {
		t.Error("not served in its life")
	}
	if l.extend(300); !serves(0, 199) || serves(0, 200) || !serves(1, 199) {
		t.Error("its own end does not count")
	}
	if l.until.Store(150); serves(0, 150) || serves(1, 149) {
		t.Error("served after its life was over")
	}
	if _, ok := tier.GetAsOf(benchItems, 0); ok {
		t.Error("what is not there was served")
	}
}
