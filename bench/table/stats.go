package table

import (
	"math"
	"slices"
)

// Spread is the middle of a set of figures: the median and the quartiles around it.
type Spread struct{ low, median, high float64 }

// SpreadOf is not a number for no figures.
func SpreadOf(all []float64) Spread {
	if len(all) == 0 {
		return Exact(math.NaN())
	}
	sorted := slices.Sorted(slices.Values(all))
	at := func(q float64) float64 {
		pos := q * float64(len(sorted)-1)
		i := int(pos)
		if i+1 == len(sorted) {
			return sorted[i]
		}
		return sorted[i] + (pos-float64(i))*(sorted[i+1]-sorted[i])
	}
	return Spread{at(0.25), at(0.5), at(0.75)}
}

// Exact is a figure without a spread.
func Exact(v float64) Spread { return Spread{v, v, v} }

// Median is not a number for no figures.
func Median(all []float64) float64 { return SpreadOf(all).median }

// Noise is how far a ratio of a thing to itself strays from 1.
func (s Spread) Noise() float64 { return max(math.Abs(s.low-1), math.Abs(s.high-1)) }

// Pick gives one figure of each.
func Pick[T any](all []T, of func(T) float64) []float64 {
	figures := make([]float64, len(all))
	for i, one := range all {
		figures[i] = of(one)
	}
	return figures
}

// Over divides figure by figure.
func Over(a, b []float64) []float64 {
	ratios := make([]float64, len(a))
	for i := range a {
		ratios[i] = a[i] / b[i]
	}
	return ratios
}

// Mean is the middle of two runs of the same, figure by figure.
func Mean(a, b []float64) []float64 {
	m := make([]float64, len(a))
	for i := range a {
		m[i] = (a[i] + b[i]) / 2
	}
	return m
}

// Less subtracts figure by figure.
func Less(a, b []float64) []float64 {
	rest := make([]float64, len(a))
	for i := range a {
		rest[i] = a[i] - b[i]
	}
	return rest
}
