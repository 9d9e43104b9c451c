package limit

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// Wait takes n units of id as soon as they are there, sleeping for as long as
// the server says in between. Those who wait for one id in this process are
// served in their order, and one of them asks; other processes, and Take, go
// by who comes first. When the units come later than the context's deadline it
// says so at once, with context.DeadlineExceeded.
func (l *Limiter) Wait(ctx context.Context, id string, n int64) error {
	p, err := l.plan("wait", id)
	if err != nil {
		return err
	}
	if d, _, ok := l.denied(id, p, n); ok && late(ctx, d) {
		return l.refuse("wait", errLate)
	}
	leave, err := l.lines.enter(ctx, id)
	if err != nil {
		return l.refuse("wait", err)
	}
	defer leave()
	for {
		d, err := l.take(ctx, "wait", id, n, n)
		if err != nil || d.Allowed {
			return err
		}
		if late(ctx, d) {
			return l.refuse("wait", errLate)
		}
		timer := time.NewTimer(d.RetryAfter)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return l.refuse("wait", ctx.Err())
		}
	}
}

var errLate = fmt.Errorf("the units come later than the deadline: %w", context.DeadlineExceeded)

// late says whether a denial outlasts the context.
func late(ctx context.Context, d Decision) bool {
	end, ok := ctx.Deadline()
	return ok && time.Until(end) < d.RetryAfter
}

// lines are those who wait, for each id in a line.
type lines struct {
	mu sync.Mutex
	of map[string]*line
}

type line struct {
	turn   chan struct{} // holds one: who is first
	people int
}

// enter gives the caller's turn, in the order of arrival.
func (ls *lines) enter(ctx context.Context, id string) (leave func(), err error) {
	ls.mu.Lock()
	if ls.of == nil {
		ls.of = map[string]*line{}
	}
	l := ls.of[id]
	if l == nil {
		l = &line{turn: make(chan struct{}, 1)}
		ls.of[id] = l
	}
	l.people++
	ls.mu.Unlock()
	gone := func() {
		ls.mu.Lock()
		defer ls.mu.Unlock()
		if l.people--; l.people == 0 {
			delete(ls.of, id)
		}
	}
	select {
	case l.turn <- struct{}{}:
		return func() { <-l.turn; gone() }, nil
	case <-ctx.Done():
		gone()
		return nil, ctx.Err()
	}
}
