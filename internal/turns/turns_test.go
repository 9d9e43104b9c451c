package turns

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func spawn(f func(context.Context)) error { go f(context.Background()); return nil }

// Nobody gets an answer to a call that began before he asked.
func TestTurnsAnswerNobodyFromThePast(t *testing.T) {
	var clock atomic.Int64
	ts := New(2, func(context.Context, string, struct{}) (int64, error) {
		now := clock.Add(1)
		for range 8 { // a call takes a while
			runtime.Gosched()
		}
		return now, nil
	},
		func(error) bool { return false }, spawn)
	var wg sync.WaitGroup
	var sharedSome atomic.Bool
	for range 16 {
		wg.Go(func() {
			for range 5000 {
				asked := clock.Load()
				began, shared, err := ts.Do(context.Background(), "k", struct{}{})
				if err != nil || began <= asked {
					t.Errorf("asked at %d, answered from %d, %v", asked, began, err)
					return
				}
				if shared {
					sharedSome.Store(true)
				}
			}
		})
	}
	wg.Wait()
	if !sharedSome.Load() {
		t.Error("no call was shared")
	}
	for i := range ts.shards {
		if n := len(ts.shards[i].under); n != 0 {
			t.Errorf("%d keys are still under way", n)
		}
	}
}

func TestTurnsFailures(t *testing.T) {
	boom := errors.New("boom")
	hold, began := make(chan struct{}), make(chan struct{}, 8)
	ts := New(2, func(_ context.Context, _ string, fail error) (int, error) {
		began <- struct{}{}
		<-hold
		return 1, fail
	},
		func(err error) bool { return errors.Is(err, boom) }, spawn)
	results := make(chan error, 3)
	for range 2 {
		go func() { _, _, err := ts.Do(context.Background(), "k", boom); results <- err }()
		<-began
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() { _, _, err := ts.Do(ctx, "k", nil); results <- err }()
	cancel()
	if err := <-results; !errors.Is(err, context.Canceled) {
		t.Errorf("the caller who left got %v", err)
	}
	close(hold)
	for range 2 {
		if err := <-results; !errors.Is(err, boom) {
			t.Errorf("got %v", err)
		}
	}
}
