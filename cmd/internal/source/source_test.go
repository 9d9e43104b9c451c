package source

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t *testing.T, latency time.Duration, keys ...string) *Source {
	t.Helper()
	s, err := Open(t.Context(), Config{Dir: t.TempDir(), Latency: latency, Body: 20}, keys)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestLoadAndUpdate(t *testing.T) {
	s := open(t, 4*time.Millisecond, "a", "b")
	began := time.Now()
	r, err := s.Load(t.Context(), "a")
	if err != nil || r.Version != 1 || r.Body != "a a a a a a a a a a " {
		t.Fatalf("got %+v, %v", r, err)
	}
	if took := time.Since(began); took < 4*time.Millisecond {
		t.Errorf("a load took %v, less than the stated latency", took)
	}
	if v, err := s.Update(t.Context(), "a"); err != nil || v != 2 {
		t.Fatalf("update: %d, %v", v, err)
	}
	if r, err = s.Load(t.Context(), "a"); err != nil || r.Version != 2 {
		t.Fatalf("after an update: %+v, %v", r, err)
	}
	if _, err := s.Load(t.Context(), "c"); !errors.Is(err, ErrNoRow) {
		t.Errorf("a key without a row: %v", err)
	}
	if _, err := s.Update(t.Context(), "c"); err == nil {
		t.Error("an update of no row passed")
	}
	if n, _ := s.Total(); n != 3 || s.Loads("a") != 2 || s.Loads("b") != 0 {
		t.Errorf("%d loads, %d of a, %d of b", n, s.Loads("a"), s.Loads("b"))
	}
	s.Reset()
	if n, most := s.Total(); n != 0 || most != 0 || s.Loads("a") != 0 {
		t.Error("counts survive a reset")
	}
}

func TestCountsLoadsAtOnce(t *testing.T) {
	s := open(t, 0, "a", "b", "c")
	var wg sync.WaitGroup
	var holds []*Hold
	for _, k := range []string{"a", "b", "c"} {
		h := s.Hold(k)
		holds = append(holds, h)
		wg.Go(func() {
			if _, err := s.Load(t.Context(), k); err != nil {
				t.Error(err)
			}
		})
	}
	for _, h := range holds {
		<-h.Read()
	}
	for _, h := range holds {
		h.Release()
	}
	wg.Wait()
	if n, most := s.Total(); n != 3 || most != 3 {
		t.Errorf("%d loads, %d at once", n, most)
	}
}

func TestHoldKeepsOneLoadInFlight(t *testing.T) {
	s := open(t, 0, "a")
	h := s.Hold("a")
	got := make(chan Row)
	go func() {
		r, err := s.Load(context.Background(), "a")
		if err != nil {
			t.Error(err)
		}
		got <- r
	}()
	<-h.Read()
	if v, err := s.Update(t.Context(), "a"); err != nil || v != 2 {
		t.Fatal(v, err)
	}
	second, err := s.Load(t.Context(), "a") // not held: the hold is for one load
	if err != nil || second.Version != 2 {
		t.Fatal(second, err)
	}
	select {
	case <-h.Returned():
		t.Fatal("the load went back before its release")
	default:
	}
	h.Release()
	h.Release()
	if first := <-got; first.Version != 1 {
		t.Errorf("the held load saw version %d, written after it had read", first.Version)
	}
	<-h.Returned()
}

func TestHoldEndsWithTheContext(t *testing.T) {
	s := open(t, 0, "a")
	ctx, cancel := context.WithCancel(t.Context())
	h := s.Hold("a")
	failed := make(chan error)
	go func() {
		_, err := s.Load(ctx, "a")
		failed <- err
	}()
	<-h.Read()
	cancel()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	dropped := s.Hold("a")
	dropped.Drop()
	if _, err := s.Load(t.Context(), "a"); err != nil {
		t.Errorf("a dropped hold still holds: %v", err)
	}
}
