package resilience

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// uniform is the χ² of delays against the uniform distribution over [0, top]
// in 20 bins, and whether none lies outside.
func uniform(delays []time.Duration, top time.Duration) (chi2 float64, inside bool) {
	const bins = 20
	var counts [bins]float64
	for _, d := range delays {
		if d < 0 || d > top {
			return math.Inf(1), false
		}
		counts[min(int(float64(d)/float64(top+1)*bins), bins-1)]++
	}
	expected := float64(len(delays)) / bins
	for _, n := range counts {
		chi2 += (n - expected) * (n - expected) / expected
	}
	return chi2, true
}

// critical is the χ² that 19 degrees of freedom exceed once in a million.
const critical = 63.2

func TestDelaysAreFullJitter(t *testing.T) {
	const samples = 100_000
	source := rand.New(rand.NewPCG(1, 2))
	b := backoff{base: 100 * time.Millisecond, limit: 10 * time.Second, random: source.Int64N}
	delays := make([]time.Duration, samples)
	for n := range 12 {
		top := min(100*time.Millisecond<<n, 10*time.Second)
		var sum float64
		for i := range delays {
			delays[i] = b.delay(n, 0)
			sum += float64(delays[i])
		}
		chi2, inside := uniform(delays, top)
		if !inside || chi2 > critical {
			t.Errorf("retry %d: χ² = %.1f, inside %v", n, chi2, inside)
		}
		// The mean of so many has a standard deviation of top/√(12·samples).
		if mean, want := sum/samples, float64(top)/2; math.Abs(mean-want) > 5*float64(top)/math.Sqrt(12*samples) {
			t.Errorf("retry %d: mean %v, want %v", n, time.Duration(mean), time.Duration(want))
		}

		// The recipe: doubled, capped, and up to 10 % on top.
		for i := range delays {
			delays[i] = top + time.Duration(source.Int64N(int64(top/10)))
		}
		if chi2, inside := uniform(delays, top); inside && chi2 <= critical {
			t.Errorf("retry %d: the checker finds nothing wrong with the recipe", n)
		}
	}
}

func TestDelayKeepsCapAndHint(t *testing.T) {
	source := rand.New(rand.NewPCG(3, 4))
	for range 100_000 {
		limit := time.Duration(1 + source.Int64N(int64(time.Hour)))
		b := backoff{base: time.Duration(source.Int64N(int64(time.Hour)) - 10), limit: limit, random: source.Int64N}
		hint := time.Duration(source.Int64N(int64(limit) + 1))
		n := source.IntN(200)
		if d := b.delay(n, hint); d < hint || d > limit {
			t.Fatalf("base %v, cap %v, hint %v, retry %d: %v", b.base, limit, hint, n, d)
		}
	}
	b := backoff{base: time.Second, limit: noLimit, random: source.Int64N}
	for n := range 1000 {
		if d := b.delay(n, 0); d < 0 || d > noLimit {
			t.Fatalf("no cap, retry %d: %v", n, d)
		}
	}
}
