package main

import (
	"math"
	"slices"
)

// spread is the middle of a set of figures: the median and the quartiles around it.
type spread struct{ low, median, high float64 }

// spreadOf is not a number for no figures.
func spreadOf(all []float64) spread {
	if len(all) == 0 {
		return exact(math.NaN())
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
	return spread{at(0.25), at(0.5), at(0.75)}
}

// exact is a figure without a spread.
func exact(v float64) spread { return spread{v, v, v} }

func median(all []float64) float64 { return spreadOf(all).median }

// noise is how far a ratio of a thing to itself strays from 1.
func (s spread) noise() float64 { return max(math.Abs(s.low-1), math.Abs(s.high-1)) }

// pick gives one figure of each.
func pick[T any](all []T, of func(T) float64) []float64 {
	figures := make([]float64, len(all))
	for i, one := range all {
		figures[i] = of(one)
	}
	return figures
}

// over divides figure by figure.
func over(a, b []float64) []float64 {
	ratios := make([]float64, len(a))
	for i := range a {
		ratios[i] = a[i] / b[i]
	}
	return ratios
}

// mean is the middle of two runs of the same, figure by figure.
func mean(a, b []float64) []float64 {
	m := make([]float64, len(a))
	for i := range a {
		m[i] = (a[i] + b[i]) / 2
	}
	return m
}

// less subtracts figure by figure.
func less(a, b []float64) []float64 {
	rest := make([]float64, len(a))
	for i := range a {
		rest[i] = a[i] - b[i]
	}
	return rest
}
