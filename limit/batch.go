package limit

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/redstart-go/redstart"
)

// hand is what this process has in hand of an id: units that it took from the
// server ahead of those who will ask.
type hand struct {
	mu       sync.Mutex
	left     int64
	total    int64         // that were in hand after the last taking
	size     int64         // how many were last asked for
	ends     time.Duration // what is left then is lost, on the limiter's clock
	policies []*policy     // under which they were taken
	decision Decision      // the server's last
	asking   *asking       // nil: nobody is
}

// asking is one goroutine's question to the server, for which others wait.
type asking struct {
	done     chan struct{}
	units    int64 // at least
	decision Decision
	err      error
	own      bool // err concerns who asked, nobody else
}

// fromHand takes units that are in hand.
func (h *hand) fromHand(now time.Duration, p plan, least, most int64) (Decision, bool) {
	if h.left > 0 && (now >= h.ends || !slices.Equal(h.policies, p.policies)) {
		h.left = 0
	}
	if h.left < least {
		return Decision{}, false
	}
	d := h.decision
	d.Source, d.Allowed, d.RetryAfter = SourceBatch, true, 0
	d.Granted = min(h.left, most)
	h.left -= d.Granted
	d.Remaining += h.left
	return d, true
}

// wants is how many units to ask for: twice as many as before while all of them
// are used in time, else as many as were used.
func (h *hand) wants(now time.Duration, most, batch, used int64, lives time.Duration) int64 {
	switch {
	case now < h.ends:
		h.size = min(2*h.size, batch)
	case now < h.ends+lives:
		h.size = min(used, batch)
	default:
		h.size = 0
	}
	h.size = max(h.size, most)
	return h.size
}

// batched is the way of a call where batches are on. Of all that need the
// server for one id, one asks.
func (l *Limiter) batched(ctx context.Context, id string, p plan, least, most int64) (Decision, error) {
	h := l.hands.create(id, func() *hand { return &hand{} })
	h.mu.Lock()
	if d, ok := h.fromHand(l.clock(), p, least, most); ok {
		h.mu.Unlock()
		return d, nil
	}
	h.mu.Unlock()

	timed, cancel := context.WithTimeoutCause(ctx, l.cfg.Timeout, errTimeout)
	defer cancel()
	for {
		h.mu.Lock()
		now := l.clock()
		if d, ok := h.fromHand(now, p, least, most); ok {
			h.mu.Unlock()
			return d, nil
		}
		need := least - h.left
		d, gen, ok := l.denied(id, p, need)
		if ok {
			h.mu.Unlock()
			return d, nil
		}
		if a := h.asking; a != nil {
			h.mu.Unlock()
			select {
			case <-a.done:
			case <-timed.Done():
				return Decision{}, cause(timed, timed.Err())
			}
			switch {
			case a.err != nil && !a.own:
				return Decision{}, a.err
			case a.err == nil && !a.decision.Allowed && least >= a.units:
				return a.decision, nil
			}
			continue
		}
		a := &asking{done: make(chan struct{}), units: least}
		h.asking = a
		had, used := h.left, h.total-h.left
		h.left = 0 // kept for this call
		want := h.wants(now, most, l.cfg.Batch, used, l.cfg.BatchFor)
		h.mu.Unlock()

		d, err := l.ask(timed, id, p, need, max(want-had, need))
		a.decision, a.err, a.own = d, err, ctx.Err() != nil || !redstart.Away(err)
		if err == nil {
			l.remember(id, p, need, now, d, gen)
		}
		h.mu.Lock()
		h.asking = nil
		if err == nil && d.Allowed {
			h.left, h.total = had+d.Granted, had+d.Granted
			h.ends, h.policies, h.decision = now+l.cfg.BatchFor, p.policies, d
			d.Granted = min(h.left, most)
			h.left -= d.Granted
			d.Remaining += h.left
		} else {
			h.left = had
		}
		h.mu.Unlock()
		close(a.done)
		return d, err
	}
}
