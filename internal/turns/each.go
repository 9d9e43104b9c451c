package turns

import (
	"sync"
	"sync/atomic"
)

// Each calls do for 0 to n-1, so many at a time. After a panic nothing more is
// begun; it is raised once what is under way has ended.
func Each(n, atOnce int, do func(i int)) {
	var wg sync.WaitGroup
	var next atomic.Int64
	var panicked atomic.Pointer[any]
	for range min(atOnce, n) {
		wg.Go(func() {
			defer func() {
				if p := recover(); p != nil {
					panicked.CompareAndSwap(nil, &p)
				}
			}()
			for panicked.Load() == nil {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				do(i)
			}
		})
	}
	wg.Wait()
	if p := panicked.Load(); p != nil {
		panic(*p)
	}
}
