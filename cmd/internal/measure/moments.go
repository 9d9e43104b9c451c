package measure

import (
	"sync"
	"time"
)

// Moment is what became of the readers who came within one step of Moments. Each counts once, by the worst that befell him.
type Moment struct {
	Quick, Waited, Long int // a right answer, by how long it took
	Stale, Failed       int
	// Slowest is the longest that any of them waited for his answer, or for his error.
	Slowest time.Duration
}

// Total is how many came.
func (m Moment) Total() int { return m.Quick + m.Waited + m.Long + m.Stale + m.Failed }

// Plus is the sum of both.
func (m Moment) Plus(o Moment) Moment {
	return Moment{
		Quick: m.Quick + o.Quick, Waited: m.Waited + o.Waited, Long: m.Long + o.Long,
		Stale: m.Stale + o.Stale, Failed: m.Failed + o.Failed, Slowest: max(m.Slowest, o.Slowest),
	}
}

// Moments counts readers by when they came, in steps of equal length. Unlike a Timeline, which counts what ends, it shows a
// time in which nobody was answered as full of people who wait. It is safe for use by many goroutines.
type Moments struct {
	mu           sync.Mutex
	start        time.Time
	step         time.Duration
	waited, long time.Duration
	all          []Moment
}

// NewMoments starts now. An answer that takes as long as waited or longer has been waited for, from long on for long.
func NewMoments(step, waited, long time.Duration) *Moments {
	return &Moments{start: time.Now(), step: step, waited: waited, long: long}
}

// Add records a reader who came at a time and had his answer, or his error, so much later.
func (m *Moments) Add(came time.Time, took time.Duration, failed, stale bool) {
	i := int(max(came.Sub(m.start), 0) / m.step)
	m.mu.Lock()
	defer m.mu.Unlock()
	for len(m.all) <= i {
		m.all = append(m.all, Moment{})
	}
	at := &m.all[i]
	switch {
	case failed:
		at.Failed++
	case stale:
		at.Stale++
	case took >= m.long:
		at.Long++
	case took >= m.waited:
		at.Waited++
	default:
		at.Quick++
	}
	at.Slowest = max(at.Slowest, took)
}

// All returns a copy of what was counted so far.
func (m *Moments) All() []Moment {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]Moment(nil), m.all...)
}
