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
