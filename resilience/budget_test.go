package resilience

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
)

// mostBeyond is by how much the takes of any span of a history exceed ratio
// times its calls: the greatest sum of a run of neighbours.
func mostBeyond(history []float64) float64 {
	var most, run float64
	for _, step := range history {
		run = max(run+step, 0)
		most = max(most, run)
	}
	return most
}

func TestBudgetBoundsEverySpan(t *testing.T) {
	source := rand.New(rand.NewPCG(5, 6))
	for _, cfg := range []BudgetConfig{{}, {Ratio: 0.05, Burst: 1}, {Ratio: 0.25, Burst: 3}, {Ratio: 0.7, Burst: 1}} {
		b := must(NewBudget(cfg))
		ratio, burst := orDefault(cfg.Ratio, 0.1), float64(orDefault(cfg.Burst, 10))
		var history, naive []float64
		failing := false
		for range 100_000 {
			if source.IntN(100) == 0 { // an outage begins or ends
				failing = !failing
			}
			b.Call()
			history, naive = append(history, -ratio), append(naive, -ratio)
			for range 2 {
				if failing {
					naive = append(naive, 1) // what a retry without a budget sends
					if b.Take() {
						history = append(history, 1)
					}
				}
			}
		}
		if got := mostBeyond(history); got > burst+1e-6 {
			t.Errorf("%+v: %.3f retries beyond the ratio in some span, burst is %v", cfg, got, burst)
		}
		if got := mostBeyond(naive); got <= burst {
			t.Errorf("%+v: the checker finds nothing wrong with retries without a budget", cfg)
		}
	}
}

func TestBudgetUnderConcurrency(t *testing.T) {
	const workers, each = 8, 100_000
	b := must(NewBudget(BudgetConfig{}))
	var taken atomic.Int64
	var wg sync.WaitGroup
	start := make(chan struct{})
	for range workers {
		wg.Go(func() {
			<-start
			for range each {
				b.Call()
				for range 2 {
					if b.Take() {
						taken.Add(1)
					}
				}
			}
		})
	}
	close(start)
	wg.Wait()
	const most = 10 + workers*each/10
	if got := taken.Load(); got > most || got < most-1 {
		t.Errorf("%d retries for %d calls, want %d", got, workers*each, most)
	}
}

func TestBudgetGivesEachTokenOnce(t *testing.T) {
	const tokens = 200_000
	b := must(NewBudget(BudgetConfig{Burst: tokens}))
	var taken atomic.Int64
	var wg sync.WaitGroup
	start := make(chan struct{})
	for range 8 {
		wg.Go(func() {
			<-start
			for b.Take() {
				taken.Add(1)
			}
		})
	}
	close(start)
	wg.Wait()
	if taken.Load() != tokens {
		t.Errorf("%d taken of %d", taken.Load(), tokens)
	}
}

func TestBudgetOff(t *testing.T) {
	b := must(NewBudget(BudgetConfig{Ratio: -1}))
	for range 1000 {
		if !b.Take() {
			t.Fatal("refused")
		}
	}
}

func TestBudgetAllocatesNothing(t *testing.T) {
	b := must(NewBudget(BudgetConfig{}))
	if n := testing.AllocsPerRun(1000, func() {
		b.Call()
		b.Take()
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
