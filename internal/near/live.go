package near

import (
	"context"
	"math"
	"sync/atomic"
	"time"

	"github.com/redstart-go/redstart/internal/wake"
)

// beats is how many questions are asked in MaxStale. Two of them must be
// answered in that time, so half of it is left for the way.
const beats = 4

// life is how long what was read over a session may be served: until a time
// since Tier.base, which every answer to a question moves on.
type life struct {
	until atomic.Int64 // ended: for good
}

const ended = math.MinInt64

// over reports whether the life is over at now. If so it stays over, whatever
// answer comes later: who asked has looked elsewhere by then, and must not find
// the older value again.
func (l *life) over(now int64) bool {
	for {
		until := l.until.Load()
		if now < until {
			return false
		}
		if until == ended || l.until.CompareAndSwap(until, ended) {
			return true
		}
	}
}

// extend lets the life go on, unless it was seen to be over.
func (l *life) extend(until int64) bool {
	for {
		old := l.until.Load()
		if old == ended {
			return false
		}
		if l.until.CompareAndSwap(old, until) {
			return true
		}
	}
}

// live asks a session's node for signs of life; without them nothing that was
// read over it is served. When it ends, that is given up.
func (t *Tier[K, V]) live(ctx context.Context, s *wake.Session) {
	var l *life
	end := func() {
		if l != nil {
			l.until.Store(ended)
			t.setLife(s, nil)
			t.giveUp(l)
		}
	}
	s.Heartbeat(ctx, t.cfg.MaxStale/beats, func(told time.Time) {
		t.answered()
		until := int64(told.Sub(t.base) + t.cfg.MaxStale)
		if l == nil || !l.extend(until) {
			end()
			l = &life{}
			l.until.Store(until)
			t.setLife(s, l)
		}
	})
	end()
}

// setLife notes that of a session; nil: it has none.
func (t *Tier[K, V]) setLife(s *wake.Session, l *life) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if l == nil {
		delete(t.lives, s)
	} else {
		t.lives[s] = l
	}
}
