package resilience

import (
	"fmt"
	"math"
	"time"

	"github.com/redstart-go/redstart/internal/outcome"
)

// probe is a place for a call while the breaker is half open. There are as
// many as successes are needed, so that no more calls pass than can be of use.
type probe struct {
	ticket uint64 // the call in it
	until  int64  // when its time is over and another may take the place; 0: free
	done   bool   // it succeeded
}

// allowProbe is Allow for a breaker that was not closed. It refuses without a
// lock while no probe is due.
func (b *Breaker) allowProbe() (Token, error) {
	now := b.now()
	if now < b.next.Load() {
		return Token{}, b.refused.Load()
	}
	t, err := b.admit(now)
	b.announce()
	return t, err
}

func (b *Breaker) admit(now int64) (Token, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch b.State() {
	case Closed:
		return Token{word: b.word.Load() &^ failureMask}, nil
	case Open:
		if now < b.next.Load() {
			return Token{}, b.refused.Load()
		}
		clear(b.probes)
		b.move(HalfOpen, nil)
	}
	for i := range b.probes {
		p := &b.probes[i]
		if p.done || p.until > now {
			continue
		}
		b.tickets++
		*p = probe{ticket: b.tickets, until: now + int64(b.cfg.ProbeTimeout)}
		b.setNext()
		return Token{word: b.word.Load(), probe: p.ticket}, nil
	}
	return Token{}, b.refused.Load()
}

// setNext notes when there may be a place for a probe, with mu held.
func (b *Breaker) setNext() {
	next := int64(math.MaxInt64)
	for _, p := range b.probes {
		if !p.done {
			next = min(next, p.until)
		}
	}
	b.next.Store(next)
}

// probed lets end change the place of a probe that reports, unless the place
// was taken from it or the state has changed since.
func (b *Breaker) probed(t Token, end func(*probe)) {
	b.mu.Lock()
	if b.word.Load() == t.word {
		for i := range b.probes {
			if b.probes[i].ticket == t.probe && !b.probes[i].done {
				end(&b.probes[i])
				break
			}
		}
		b.settle()
	}
	b.mu.Unlock()
	b.announce()
}

// settle closes a half-open breaker all of whose probes succeeded.
func (b *Breaker) settle() {
	if b.State() != HalfOpen {
		return
	}
	b.setNext()
	for _, p := range b.probes {
		if !p.done {
			return
		}
	}
	b.move(Closed, nil)
}

// openError is the refusal of an open breaker: one for each time it opens, so
// that refusing allocates nothing.
type openError struct {
	breaker *Breaker
	due     int64
}

// Error names the breaker, and when the next probe is due.
func (e *openError) Error() string {
	name := e.breaker.cfg.Name
	if name != "" {
		name = " " + name
	}
	if after := e.RetryAfter(); after > 0 {
		return fmt.Sprintf("redstart/resilience: the breaker%s is open: the next probe is due in %v", name, after.Round(time.Millisecond))
	}
	return fmt.Sprintf("redstart/resilience: the breaker%s is open: a probe is under way", name)
}

// Is makes it ErrOpen.
func (e *openError) Is(target error) bool { return target == ErrOpen }

// Outcome is NotApplied: the call did not run.
func (e *openError) Outcome() outcome.Outcome { return outcome.NotApplied }

// RetryAfter is the time until the next probe is due; zero while it is under
// way.
func (e *openError) RetryAfter() time.Duration {
	return time.Duration(max(e.due-e.breaker.now(), 0))
}
