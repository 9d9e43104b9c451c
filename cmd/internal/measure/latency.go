// Package measure holds what the lab's scenarios count with: exact latency percentiles, a timeline in steps, and the
// floor that tells a stale read from a fresh one.
package measure

import (
	"math"
	"slices"
	"time"
)

// Latency keeps every sample, so its percentiles are exact. It belongs to one goroutine; Merge joins them afterwards.
// The zero value is ready.
type Latency struct{ samples []time.Duration }

// Add records one sample.
func (l *Latency) Add(d time.Duration) { l.samples = append(l.samples, d) }

// Merge adds the samples of others.
func (l *Latency) Merge(others ...*Latency) {
	for _, o := range others {
		l.samples = append(l.samples, o.samples...)
	}
}

// Len is the number of samples.
func (l *Latency) Len() int { return len(l.samples) }

// Quantiles returns, for each q in (0, 1], the smallest sample that at least that share of all samples does not exceed
// (the nearest rank). Without samples every quantile is 0. Cost: one sort.
func (l *Latency) Quantiles(qs ...float64) []time.Duration {
	out := make([]time.Duration, len(qs))
	if len(l.samples) == 0 {
		return out
	}
	slices.Sort(l.samples)
	for i, q := range qs {
		// The small step back keeps 0.999*1000 from being rounded up to rank 1000 by its representation.
		rank := int(math.Ceil(q*float64(len(l.samples)) - 1e-9))
		out[i] = l.samples[min(max(rank, 1), len(l.samples))-1]
	}
	return out
}

// Micros is d in microseconds, to a tenth.
func Micros(d time.Duration) float64 { return math.Round(d.Seconds()*1e7) / 10 }
