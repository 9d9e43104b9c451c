package resilience

import (
	"math"
	"sync/atomic"
)

// BudgetConfig says how many retries the calls of a Budget earn. The zero
// value is the default.
type BudgetConfig struct {
	// Ratio is how many retries a call earns. Negative: no bound. Default:
	// 0.1, so that in an outage retries add at most 10 % to the load.
	Ratio float64

	// Burst is how many unused retries are kept; a new Budget is full. It is
	// what a service with few calls lives on. Default: 10.
	Burst int
}

// Budget is a bucket of tokens that calls fill and retries empty. Over any
// span of calls, at most Burst + Ratio·calls retries are let through. Without
// one, a policy of 3 attempts triples the load of a server that is failing
// already. Share one among all who call the same server.
//
// It may be used by any number of goroutines, takes no lock and allocates
// nothing: a few nanoseconds a call.
type Budget struct {
	tokens    atomic.Int64 // in millionths
	earn      int64        // for a call, in millionths
	full      int64
	unlimited bool
}

// token is one retry, in millionths.
const token = 1_000_000

// NewBudget gives a full Budget.
func NewBudget(cfg BudgetConfig) (*Budget, error) {
	v := invalid{kind: "budget"}
	ratio, burst := orDefault(cfg.Ratio, 0.1), orDefault(cfg.Burst, 10)
	if math.IsNaN(ratio) || ratio > 1000 {
		v.add("Ratio", "is %v; give the retries that one call earns, such as 0.1", cfg.Ratio)
	}
	if burst < 0 || burst > math.MaxInt32 {
		v.add("Burst", "is %d; give the number of retries to keep, such as 10", cfg.Burst)
	}
	if err := v.err(); err != nil {
		return nil, err
	}
	b := newBudget(ratio, burst)
	b.tokens.Store(b.full)
	return b, nil
}

// newBudget gives an empty one.
func newBudget(ratio float64, burst int) *Budget {
	if ratio < 0 {
		return &Budget{unlimited: true}
	}
	return &Budget{earn: int64(ratio * token), full: int64(burst) * token}
}

// Call says that a call is made, a first attempt: it earns Ratio. While the
// bucket is full, as on a good day, nothing is written.
func (b *Budget) Call() {
	if b.tokens.Load() < b.full {
		b.fill()
	}
}

func (b *Budget) fill() {
	for {
		have := b.tokens.Load()
		if b.tokens.CompareAndSwap(have, min(have+b.earn, b.full)) {
			return
		}
	}
}

// Take takes the right to one retry, or reports that there is none left.
func (b *Budget) Take() bool {
	if b.unlimited {
		return true
	}
	for {
		have := b.tokens.Load()
		if have < token {
			return false
		}
		if b.tokens.CompareAndSwap(have, have-token) {
			return true
		}
	}
}
