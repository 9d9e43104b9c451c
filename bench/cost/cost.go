// Package cost measures what a call costs its caller.
package cost

import (
	"runtime"
	"sync"
	"time"
)

// Call is what one call comes to.
type Call struct {
	Alone  float64 // ns, with one caller
	Shared float64 // ns that a caller waits while one on every core calls
	Allocs float64
}

// Contestant is a call that is measured beside others.
type Contestant struct {
	Name, About string
	Loop        func(n int) error // makes n calls
}

// Repeat makes a Loop of one call.
func Repeat(one func() error) func(n int) error {
	return func(n int) error {
		for range n {
			if err := one(); err != nil {
				return err
			}
		}
		return nil
	}
}

// Measure finds how many calls take so long, then times them, alone and on every core.
func (t Contestant) Measure(long time.Duration) (c Call, err error) {
	n := 1
	for took := time.Duration(0); took < long/2; n *= 2 {
		begin := time.Now()
		if err := t.Loop(n); err != nil {
			return c, err
		}
		took = time.Since(begin)
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	begin := time.Now()
	err = t.Loop(n)
	c.Alone = float64(time.Since(begin).Nanoseconds()) / float64(n)
	runtime.ReadMemStats(&after)
	c.Allocs = float64((after.Mallocs - before.Mallocs) / uint64(n)) // what the runtime allocates by itself is no whole one a call
	if err != nil {
		return c, err
	}
	errs := make([]error, runtime.GOMAXPROCS(0))
	var every sync.WaitGroup
	begin = time.Now()
	for i := range errs {
		every.Go(func() { errs[i] = t.Loop(n) })
	}
	every.Wait()
	c.Shared = float64(time.Since(begin).Nanoseconds()) / float64(n)
	for _, e := range errs {
		if e != nil {
			return c, e
		}
	}
	return c, nil
}
