package resilience

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestBulkheadBoundsWhatRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := must(NewBulkhead(BulkheadConfig{Limit: 7, Wait: -1}))
		var running, most, ran atomic.Int64
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				err := b.Do(t.Context(), func(context.Context) error {
					for n := running.Add(1); ; {
						if m := most.Load(); m >= n || most.CompareAndSwap(m, n) {
							break
						}
					}
					ran.Add(1)
					time.Sleep(time.Second)
					running.Add(-1)
					return nil
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if most.Load() != 7 || ran.Load() != 100 || b.InUse() != 0 {
			t.Errorf("%d at once, %d ran, %d left in use", most.Load(), ran.Load(), b.InUse())
		}
	})
}

func TestBulkheadFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, wait := range []time.Duration{0, 3 * time.Second} {
			b := must(NewBulkhead(BulkheadConfig{Limit: 1, Wait: wait}))
			if err := b.Enter(t.Context()); err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			err := b.Do(t.Context(), func(context.Context) error { t.Error("ran"); return nil })
			if !errors.Is(err, ErrFull) || !notApplied(err) {
				t.Errorf("got %v", err)
			}
			if took := time.Since(began); took != wait {
				t.Errorf("waited for %v, want %v", took, wait)
			}
			b.Leave()
		}

		b := must(NewBulkhead(BulkheadConfig{Limit: 1, Wait: time.Minute}))
		_ = b.Enter(t.Context())
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		err := b.Enter(ctx)
		if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrFull) || !notApplied(err) || safe(err) {
			t.Errorf("got %v", err)
		}
		if took := time.Since(began); took != time.Second {
			t.Errorf("waited for %v past the context's end", took)
		}
		time.AfterFunc(time.Second, b.Leave)
		if err := b.Enter(t.Context()); err != nil {
			t.Errorf("no place although one was left: %v", err)
		}
	})
}

func TestBulkheadServesInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := must(NewBulkhead(BulkheadConfig{Limit: 1, Wait: -1}))
		_ = b.Enter(t.Context())
		var order []int
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() {
				_ = b.Do(t.Context(), func(context.Context) error { order = append(order, i); return nil })
			})
			synctest.Wait()
		}
		b.Leave()
		wg.Wait()
		if len(order) != 20 || !slices.IsSorted(order) {
			t.Errorf("served %v", order)
		}
	})
}

func TestBulkheadGivesBackAfterAPanic(t *testing.T) {
	b := must(NewBulkhead(BulkheadConfig{Limit: 1}))
	func() {
		defer func() { _ = recover() }()
		_ = b.Do(t.Context(), func(context.Context) error { panic("boom") })
	}()
	if err := b.Do(t.Context(), nothing); err != nil {
		t.Error(err)
	}
	if n := testing.AllocsPerRun(1000, func() { _ = b.Do(t.Context(), nothing) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
