package lab

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/redstart-go/redstart/cmd/internal/trace"
)

// Traffic reads the trace, or makes a Zipf load of n requests for keys of the given format. By chooses what an access log's
// keys are.
func (o Options) Traffic(by trace.By, n int, format string) (*trace.Trace, error) {
	if o.Trace == "" {
		return trace.Zipf(cmp.Or(o.Requests, n), o.Seed, format), nil
	}
	t, err := trace.Open(o.Trace, trace.Options{By: by, Column: o.Column, Limit: o.Requests})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUsage, err)
	}
	return t.Resize(o.Requests), nil
}

// Pace gives each request of a replay its time.
type Pace struct {
	began time.Time
	rate  int
}

// NewPace begins now with so many requests a second; 0 or less: without waiting.
func NewPace(rate int) Pace { return Pace{time.Now(), rate} }

// Wait waits until request number n is due, or until ctx ends, and returns when it was due.
func (p Pace) Wait(ctx context.Context, n int) time.Time {
	if p.rate <= 0 {
		return time.Now()
	}
	due := p.began.Add(time.Duration(float64(n) / float64(p.rate) * float64(time.Second)))
	// Timers are coarse: what is due within one is handed out at once.
	if early := time.Until(due); early > time.Millisecond {
		Pause(ctx, early)
	}
	return due
}

// Pause waits for d, or until ctx ends.
func Pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
