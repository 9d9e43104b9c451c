// Package flight is what the callers of one process that want the same key do
// together: one of them starts it, all have its end.
//
// Every command whose reply can decide what the callers get is counted before
// it is sent. A caller may take what a command decided only if he came aboard
// before it was sent; else an invalidation might have returned to him after
// the command ran and before he asked. The others look again.
package flight

import (
	"context"
	"sync"
	"time"
)

// Flights are those of one process, by their keys. They are about a T and end
// with an E.
type Flights[T, E any] struct {
	mu    sync.Mutex // guards what follows, and what is inside each
	byKey map[string]*Flight[T, E]
}

// Flight is one. Each has a context of its own, with the first caller's values,
// which ends when nobody waits for another's load any more.
type Flight[T, E any] struct {
	Key    string
	On     T
	Ctx    context.Context
	Cancel context.CancelFunc

	all    *Flights[T, E]
	sent   int  // deciding commands sent
	aboard int  // callers who wait
	claim  int  // the command that took the lease, once this process loads: the load goes on although nobody waits
	goesOn bool // although nobody waits
	doomed bool
	doom   chan struct{} // closed once the lease is known to be lost

	done chan struct{} // closed once end is set
	end  E
}

// Seat is a caller's place.
type Seat[T, E any] struct {
	*Flight[T, E]
	Number int  // how many commands had been sent before he came
	Joined bool // false: he is to start it
}

// New makes an empty set.
func New[T, E any]() *Flights[T, E] {
	return &Flights[T, E]{byKey: map[string]*Flight[T, E]{}}
}

// Alone makes a flight that nobody can join.
func (s *Flights[T, E]) Alone(ctx context.Context, key string, on T) *Flight[T, E] {
	f := &Flight[T, E]{all: s, Key: key, On: on, done: make(chan struct{}), doom: make(chan struct{})}
	f.Ctx, f.Cancel = context.WithCancel(context.WithoutCancel(ctx))
	return f
}

// Board takes a caller on the key's flight, the first to start one.
func (s *Flights[T, E]) Board(ctx context.Context, key string, on T) Seat[T, E] {
	s.mu.Lock()
	defer s.mu.Unlock()
	f, joined := s.byKey[key]
	if !joined {
		f = s.Alone(ctx, key, on)
		s.byKey[key] = f
	}
	f.aboard++
	return Seat[T, E]{f, f.sent, joined}
}

// Ridden is how a caller's time aboard ended.
type Ridden uint8

const (
	Landed    Ridden = iota // the flight has an end
	Alighted                // his context has ended
	SentAway                // what is being loaded will not do for him
	Impatient               // so has his patience; the flight goes on without him
)

// Ride waits until a caller's time aboard ends. Zero patience has no end.
func (s Seat[T, E]) Ride(ctx context.Context, patience time.Duration) Ridden {
	doom := s.doom
	var soft <-chan time.Time
	if patience > 0 {
		timer := time.NewTimer(patience)
		defer timer.Stop()
		soft = timer.C
	}
	for {
		select {
		case <-s.done:
			return Landed
		case <-ctx.Done():
			s.getOff(false)
			return Alighted
		case <-soft:
			s.getOff(true)
			return Impatient
		case <-doom:
			if doom = nil; s.Number >= s.claim { // claim was set before doom was closed
				s.getOff(false)
				return SentAway
			}
		}
	}
}

// End is how the flight ended, once Ride says that it has.
func (f *Flight[T, E]) End() *E { return &f.end }

// getOff lets a caller go who does not wait for the end. When he was the last
// and nobody here loads, the flight is given up, unless it is to go on.
func (f *Flight[T, E]) getOff(goOn bool) {
	f.all.mu.Lock()
	defer f.all.mu.Unlock()
	f.aboard--
	f.goesOn = f.goesOn || goOn
	if f.aboard == 0 && f.claim == 0 && !f.goesOn {
		f.drop()
		f.Cancel()
	}
}

// Send counts a deciding command and gives its number.
func (f *Flight[T, E]) Send() int {
	f.all.mu.Lock()
	defer f.all.mu.Unlock()
	f.sent++
	return f.sent
}

// Land ends the flight for everyone aboard.
func (f *Flight[T, E]) Land(end E) {
	f.all.mu.Lock()
	f.drop()
	f.all.mu.Unlock()
	f.end = end
	close(f.done)
}

// drop lets nobody else aboard. The mutex is held.
func (f *Flight[T, E]) drop() {
	if f.all.byKey[f.Key] == f {
		delete(f.all.byKey, f.Key)
	}
}

// Claimed notes that this process loads, under the lease that command n took.
func (f *Flight[T, E]) Claimed(n int) {
	f.all.mu.Lock()
	defer f.all.mu.Unlock()
	f.claim = n
}

// Claim is the number of the command that took the lease; zero for none.
func (f *Flight[T, E]) Claim() int {
	f.all.mu.Lock()
	defer f.all.mu.Unlock()
	return f.claim
}

// LeaseLost lets nobody else aboard and sends away those whom the load under
// way can no longer serve.
func (f *Flight[T, E]) LeaseLost() {
	f.all.mu.Lock()
	defer f.all.mu.Unlock()
	f.lost()
}

func (f *Flight[T, E]) lost() {
	f.drop()
	if f.claim > 0 && !f.doomed {
		f.doomed = true
		close(f.doom)
	}
}

// Forget is LeaseLost for the key's flight, if there is one.
func (s *Flights[T, E]) Forget(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f := s.byKey[key]; f != nil {
		f.lost()
	}
}

// Len is how many are under way that can be joined.
func (s *Flights[T, E]) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.byKey)
}
