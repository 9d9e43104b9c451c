package resilience

import (
	"math/bits"
	"sync"
	"time"
)

// latency is a small histogram that learns a quantile of recent durations, to
// about an eighth. It halves what it holds every so often, so it follows
// changes within a thousand or two.
type latency struct {
	quantile float64

	mu      sync.Mutex
	counts  [octaves * perOctave]uint32
	total   uint32
	fresh   int // durations since value was computed
	current time.Duration
}

const (
	perOctave = 8
	octaves   = 52   // as far as a Duration goes
	unit      = 1024 // ns: what is shorter is all the same
	enough    = 100  // durations before the quantile means something
	recent    = 2048 // durations, then all are halved
	everySo   = 64   // durations between two looks at the histogram
)

// value is the quantile, or zero while too little is known.
func (l *latency) value() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.current
}

func (l *latency) observe(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.counts[bucket(d)]++
	l.total++
	if l.total >= recent {
		l.total = 0
		for i := range l.counts {
			l.counts[i] /= 2
			l.total += l.counts[i]
		}
	}
	l.fresh++
	if l.total == enough || l.total > enough && l.fresh >= everySo {
		l.fresh = 0
		l.current = l.compute()
	}
}

func (l *latency) compute() time.Duration {
	rank := uint32(l.quantile * float64(l.total))
	var seen uint32
	for i, n := range l.counts {
		seen += n
		if seen > rank {
			return upper(i)
		}
	}
	return upper(len(l.counts) - 1)
}

// bucket is the place of a duration: eight to a doubling.
func bucket(d time.Duration) int {
	n := uint64(max(d, 0)) / unit
	if n < perOctave {
		return int(n)
	}
	octave := bits.Len64(n) - 3 // n is 8..15 in octave 1
	return octave*perOctave + int(n>>(octave-1))%perOctave
}

// upper is the end of a bucket.
func upper(i int) time.Duration {
	octave := i / perOctave
	if octave == 0 {
		return time.Duration(i+1) * unit
	}
	return time.Duration((perOctave+i%perOctave+1)<<(octave-1)) * unit
}
