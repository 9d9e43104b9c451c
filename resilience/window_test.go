package resilience

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestWindowRolls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		w := newWindow(10*time.Second, func() int64 { return int64(time.Since(began)) })
		time.Sleep(500 * time.Millisecond) // the middle of a step
		for i := range 25 {                // i+1 calls in step i
			for range i + 1 {
				w.add(1)
			}
			want := 0
			for j := max(0, i-9); j <= i; j++ {
				want += j + 1
			}
			if calls, failures := w.sum(); int(calls) != want || failures != 0 {
				t.Fatalf("step %d: %d calls, %d failures, want %d and 0", i, calls, failures, want)
			}
			time.Sleep(time.Second)
			synctest.Wait()
		}
		for left := 9; left > 0; left-- { // nobody calls: they roll out by themselves
			if calls, _ := w.sum(); int(calls) != left*(51-left)/2 {
				t.Fatalf("%d steps before the end: %d calls", left, calls)
			}
			time.Sleep(time.Second)
			synctest.Wait()
		}
		if calls, _ := w.sum(); calls != 0 || w.at.Load() != asleep {
			t.Fatalf("after the window: %d calls, asleep %v", calls, w.at.Load() == asleep)
		}
		time.Sleep(time.Hour) // wakes with the next call, in whichever step
		w.add(1)
		if calls, failures := w.fail(); calls != 2 || failures != 1 {
			t.Errorf("after waking: %d calls, %d failures", calls, failures)
		}
		w.clear()
		if calls, failures := w.sum(); calls != 0 || failures != 0 {
			t.Errorf("after clear: %d calls, %d failures", calls, failures)
		}
	})
}

// A timer that is late does not spoil a decision: a failure reads the clock.
func TestWindowFailureReadsTheClock(t *testing.T) {
	now := time.Duration(0)
	w := newWindow(10*time.Second, func() int64 { return int64(now) })
	w.add(100)
	now = 9 * time.Second
	if calls, _ := w.fail(); calls != 101 {
		t.Errorf("%d calls in the window, want 101", calls)
	}
	now = 10 * time.Second
	if calls, failures := w.fail(); calls != 2 || failures != 2 {
		t.Errorf("%d calls, %d failures, want 2 and 2", calls, failures)
	}
	w.mu.Lock()
	w.timer.Stop()
	w.mu.Unlock()
}

func TestWindowUnderConcurrency(t *testing.T) {
	w := newWindow(time.Hour, func() int64 { return 1 })
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range 10_000 {
				if i == 0 {
					w.fail()
				} else {
					w.add(1)
				}
			}
		})
	}
	wg.Wait()
	if calls, failures := w.sum(); calls != 80_000 || failures != 10_000 {
		t.Errorf("%d calls, %d failures", calls, failures)
	}
	w.timer.Stop()
}
