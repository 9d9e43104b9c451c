package resilience

import (
	"context"
	"errors"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// reads plays reads: each attempt takes the next of its times and ends with
// the next of its errors. Its value is the number of the attempt.
type reads struct {
	took []time.Duration
	errs []error

	mu   sync.Mutex
	next int // attempts begun
	cut  int // attempts whose context ended
}

func (r *reads) read(ctx context.Context) (int, error) {
	r.mu.Lock()
	i := r.next
	r.next++
	timer := time.NewTimer(r.took[i%len(r.took)])
	r.mu.Unlock()
	defer timer.Stop()
	select {
	case <-timer.C:
		if len(r.errs) > 0 {
			return i, r.errs[i%len(r.errs)]
		}
		return i, nil
	case <-ctx.Done():
		r.mu.Lock()
		defer r.mu.Unlock()
		r.cut++
		return 0, ctx.Err()
	}
}

// counts gives how many attempts began, and how many were cut off.
func (r *reads) counts() (begun, cut int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.next, r.cut
}

func TestHedgedFirstSuccessWins(t *testing.T) {
	const ms = time.Millisecond
	lost := errors.New("EOF")
	missing := errors.New("no such key")
	for name, test := range map[string]struct {
		each     []time.Duration
		errs     []error
		value    int
		err      error
		took     time.Duration
		attempts int
		cut      int
		wins     uint64
	}{
		"a quick read":                  {[]time.Duration{5 * ms}, nil, 0, nil, 5 * ms, 1, 0, 0},
		"the second answers first":      {[]time.Duration{time.Hour, 5 * ms}, nil, 1, nil, 15 * ms, 2, 1, 1},
		"the first answers first":       {[]time.Duration{12 * ms, time.Hour}, nil, 0, nil, 12 * ms, 2, 1, 0},
		"the first fails at once":       {[]time.Duration{5 * ms}, []error{lost}, 0, lost, 5 * ms, 1, 0, 0},
		"the first fails, then success": {[]time.Duration{12 * ms, 5 * ms}, []error{lost, nil}, 1, nil, 15 * ms, 2, 0, 1},
		"the second fails":              {[]time.Duration{20 * ms, 5 * ms}, []error{nil, lost}, 0, nil, 20 * ms, 2, 0, 0},
		"both fail":                     {[]time.Duration{20 * ms, 5 * ms}, []error{lost, errDown}, 0, errDown, 20 * ms, 2, 0, 0},
		"an answer that is an error":    {[]time.Duration{time.Hour, 5 * ms}, []error{nil, missing}, 1, missing, 15 * ms, 2, 1, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := must(NewHedge(HedgeConfig{
					Delay: 10 * ms, Ratio: 1,
					Failure: func(err error) bool { return !errors.Is(err, missing) },
				}))
				r, began := &reads{took: test.each, errs: test.errs}, time.Now()
				v, err := Hedged(t.Context(), h, r.read)
				if v != test.value || !errors.Is(err, test.err) || (err == nil) != (test.err == nil) {
					t.Errorf("got %v, %v, want %v, %v", v, err, test.value, test.err)
				}
				if took := time.Since(began); took != test.took {
					t.Errorf("took %v, want %v", took, test.took)
				}
				synctest.Wait() // the loser is cancelled, and gone
				if begun, cut := r.counts(); begun != test.attempts || cut != test.cut {
					t.Errorf("%d attempts, %d cut off, want %d and %d", begun, cut, test.attempts, test.cut)
				}
				if got, want := h.Stats(), (HedgeStats{Reads: 1, Hedges: uint64(test.attempts - 1), Wins: test.wins}); got != want {
					t.Errorf("%+v, want %+v", got, want)
				}
			})
		})
	}
}

// However slow all reads are, at most one in twenty is started twice.
func TestHedgedKeepsItsBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := must(NewHedge(HedgeConfig{Delay: time.Millisecond}))
		r := &reads{took: []time.Duration{10 * time.Millisecond}}
		for n := 1; n <= 10_000; n++ {
			if _, err := Hedged(t.Context(), h, r.read); err != nil {
				t.Fatal(err)
			}
			if begun, _ := r.counts(); begun-n > n/20 {
				t.Fatalf("%d second attempts for %d reads", begun-n, n)
			}
		}
		if s := h.Stats(); s.Hedges != 500 {
			t.Errorf("%+v, want 500 second attempts", s)
		}
	})
}

func TestHedgedEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := must(NewHedge(HedgeConfig{Delay: time.Millisecond, Ratio: 1}))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		_, err := Hedged(ctx, h, func(context.Context) (int, error) {
			time.Sleep(3 * time.Second) // heeds no context
			return 1, nil
		})
		if took := time.Since(began); !errors.Is(err, context.DeadlineExceeded) || took != time.Second {
			t.Errorf("%v after %v", err, took)
		}
		time.Sleep(3 * time.Second) // both attempts end, and block on nothing
	})
}

func TestHedgedPassesAPanicOn(t *testing.T) {
	h := must(NewHedge(HedgeConfig{Delay: time.Minute}))
	func() {
		defer func() {
			if p := recover(); p != "boom" {
				t.Errorf("recovered %v", p)
			}
		}()
		_, _ = Hedged(t.Context(), h, func(context.Context) (int, error) { panic("boom") })
		t.Error("returned")
	}()
	if _, err := Hedged(t.Context(), h, func(context.Context) (int, error) { runtime.Goexit(); return 0, nil }); err == nil {
		t.Error("an attempt that ended its goroutine gave no error")
	}
}

// The delay is learnt, and stays true although the slow reads are cut off.
func TestHedgedLearnsItsDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := rand.New(rand.NewPCG(10, 11))
		h := must(NewHedge(HedgeConfig{}))
		r := &reads{took: make([]time.Duration, 100_000)}
		for i := range r.took { // 9 of 10 take 1 to 2 ms, the others 100 ms
			r.took[i] = time.Millisecond + time.Duration(source.Int64N(int64(time.Millisecond)))
			if source.IntN(10) == 0 {
				r.took[i] = 100 * time.Millisecond
			}
		}
		slices.Sort(r.took[:1000]) // the first thousand are the quick ones
		for range 90 {
			_, _ = Hedged(t.Context(), h, r.read)
		}
		if h.Stats().Hedges != 0 || h.latency.value() != 0 {
			t.Fatalf("%+v, a delay of %v, though nothing is known", h.Stats(), h.latency.value())
		}
		for range 20_000 {
			_, _ = Hedged(t.Context(), h, r.read)
		}
		// A tenth is slow, a twentieth may be started twice: the 95th hundredth
		// is among the slow ones.
		if d := h.latency.value(); d < 100*time.Millisecond || d > 115*time.Millisecond {
			t.Errorf("learnt %v", d)
		}
		begun, _ := r.counts()
		for i := range r.took[begun:] { // now 3 of 100 are slow
			r.took[begun+i] = time.Millisecond + time.Duration(source.Int64N(int64(time.Millisecond)))
			if source.IntN(100) < 3 {
				r.took[begun+i] = 100 * time.Millisecond
			}
		}
		before := h.Stats()
		for range 20_000 {
			_, _ = Hedged(t.Context(), h, r.read)
		}
		if d := h.latency.value(); d < 1900*time.Microsecond || d > 2300*time.Microsecond {
			t.Errorf("learnt %v, the 95th hundredth is 1.98 ms", d)
		}
		if s := h.Stats(); float64(s.Hedges-before.Hedges) < 450 || s.Hedges > s.Reads/20 {
			t.Errorf("before %+v, now %+v: few second attempts, or too many", before, s)
		}
	})
}

// Reads that their callers gave up are slow ones too, those given up early say
// nothing.
func TestHedgedLearnsFromReadsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := must(NewHedge(HedgeConfig{Ratio: 1e-6}))
		r := &reads{took: []time.Duration{time.Millisecond, time.Hour}}
		for _, test := range []struct {
			patience time.Duration
			least    time.Duration
		}{{time.Microsecond, 0}, {50 * time.Millisecond, 50 * time.Millisecond}} {
			for range 1000 {
				ctx, cancel := context.WithTimeout(t.Context(), test.patience)
				_, _ = Hedged(ctx, h, r.read)
				cancel()
			}
			if d := h.latency.value(); d < test.least || d > test.least+test.least/8 {
				t.Errorf("given up after %v: learnt %v", test.patience, d)
			}
		}
	})
}

func TestLatencyBuckets(t *testing.T) {
	source := rand.New(rand.NewPCG(12, 13))
	last := -1
	for d := time.Duration(1); d < time.Duration(1<<62); d += d/20 + 1 {
		i := bucket(d)
		if i < last || i >= octaves*perOctave {
			t.Fatalf("%v is in bucket %d, after %d", d, i, last)
		}
		if top := upper(i); d >= top || float64(top) > 1.13*float64(d)+2*unit {
			t.Fatalf("%v is in bucket %d, which ends at %v", d, i, top)
		}
		last = i
	}
	for _, q := range []float64{0.5, 0.9, 0.99} {
		l := &latency{quantile: q}
		for range 20_000 {
			l.observe(time.Duration(source.Int64N(int64(time.Second))))
		}
		if got := l.value().Seconds(); got < q-0.04 || got > q*1.13+0.04 {
			t.Errorf("quantile %v of a uniform second: %v", q, got)
		}
	}
}
