package measure

import (
	"sync"
	"time"
)

// Step is what happened within one step of a Timeline.
type Step struct {
	OK, Errors, Stale, Loads int
	// Slowest is the longest call that ended in this step.
	Slowest time.Duration
}

// Timeline counts events in steps of equal length from its start. It is safe for use by many goroutines.
type Timeline struct {
	mu    sync.Mutex
	start time.Time
	step  time.Duration
	steps []Step
}

// NewTimeline starts a timeline now.
func NewTimeline(step time.Duration) *Timeline {
	return &Timeline{start: time.Now(), step: step}
}

// Read records a call that ended now after taking d.
func (t *Timeline) Read(d time.Duration, failed, stale bool) {
	t.at(time.Now(), func(s *Step) {
		switch {
		case failed:
			s.Errors++
		case stale:
			s.Stale++
			s.OK++
		default:
			s.OK++
		}
		s.Slowest = max(s.Slowest, d)
	})
}

// Load records one load from the database that began now.
func (t *Timeline) Load() { t.at(time.Now(), func(s *Step) { s.Loads++ }) }

// Elapsed is the time since the start.
func (t *Timeline) Elapsed() time.Duration { return time.Since(t.start) }

// Step is the length of one step.
func (t *Timeline) Step() time.Duration { return t.step }

// Steps returns a copy of what was counted so far.
func (t *Timeline) Steps() []Step {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]Step(nil), t.steps...)
}

func (t *Timeline) at(now time.Time, record func(*Step)) {
	i := int(now.Sub(t.start) / t.step)
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(t.steps) <= i {
		t.steps = append(t.steps, Step{})
	}
	record(&t.steps[i])
}
