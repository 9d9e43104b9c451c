package resilience

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// State of a [Breaker].
type State uint8

const (
	// Closed: every call passes.
	Closed State = iota
	// Open: no call passes until the cool-down is over.
	Open
	// HalfOpen: only probes pass.
	HalfOpen
)

// String gives the state in lower case, for logs and metrics.
func (s State) String() string {
	switch s {
	case Open:
		return "open"
	case HalfOpen:
		return "half open"
	default:
		return "closed"
	}
}

// Breaker is a circuit breaker: when the thing called fails again and again it
// refuses calls at once ([ErrOpen]) for a while, then lets a probe through and
// closes if that succeeds. One for each thing that can fail alone: a node, not
// a fleet.
//
// It may be used by any number of goroutines. In the closed state a call costs
// some nanoseconds, takes no lock and allocates nothing.
type Breaker struct {
	cfg   BreakerConfig
	epoch time.Time

	// word is the state, the failures in a row and a generation that grows
	// with every change of state: what a call that began earlier reports does
	// not count. Failures are counted by compare-and-swap, the rest changes
	// under mu.
	word    atomic.Uint64
	next    atomic.Int64 // while not closed: who comes before is refused at once
	refused atomic.Pointer[openError]
	window  *window // nil: not by rate

	mu         sync.Mutex
	probes     []probe
	tickets    uint64 // probes let through, ever
	pending    []Change
	announcing bool
}

const (
	stateBits       = 2
	failureBits     = 16
	generationShift = stateBits + failureBits

	stateMask   = uint64(1)<<stateBits - 1
	failureUnit = uint64(1) << stateBits
	failureMask = (uint64(1)<<failureBits - 1) << stateBits
)

// NewBreaker gives a closed breaker.
func NewBreaker(cfg BreakerConfig) (*Breaker, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	b := &Breaker{cfg: cfg, epoch: time.Now(), probes: make([]probe, cfg.Probes)}
	if cfg.Rate > 0 {
		b.window = newWindow(cfg.Window, b.now)
	}
	b.word.Store(1 << generationShift) // a zero Token is of no generation
	return b, nil
}

// now is the monotonic clock, in nanoseconds.
func (b *Breaker) now() int64 { return int64(time.Since(b.epoch)) }

// Token is one call that a breaker let through. The zero Token is none.
type Token struct {
	word  uint64 // the breaker's, without failures, when the call began
	probe uint64 // the number of the probe, zero for an ordinary call
}

// Allow lets a call through or refuses it with an error that is [ErrOpen],
// NotApplied, and says with RetryAfter when the next probe is due. Each Token
// is to be given to [Breaker.Record]; of a probe that is not, its time-out
// takes care. With Record it is for hot paths: no closure.
func (b *Breaker) Allow() (Token, error) {
	if w := b.word.Load(); State(w&stateMask) == Closed {
		return Token{word: w &^ failureMask}, nil
	}
	return b.allowProbe()
}

// Record says how a call ended that Allow let through. ctx is the call's own:
// its end is no failure of the thing called.
func (b *Breaker) Record(ctx context.Context, t Token, err error) {
	switch {
	case err == nil:
		b.succeed(t)
	case b.failure(ctx, err):
		b.fail(t, err)
	case ended(ctx, err):
		b.forget(t)
	default:
		b.succeed(t)
	}
}

func (b *Breaker) failure(ctx context.Context, err error) bool {
	if b.cfg.Failure != nil {
		return b.cfg.Failure(err)
	}
	return !ended(ctx, err)
}

// errNoReturn stands for the error of a function that panicked or ended its
// goroutine.
var errNoReturn = errors.New("redstart/resilience: the function panicked")

// Do runs fn if the breaker lets it through. A panic counts as a failure and
// passes on.
func (b *Breaker) Do(ctx context.Context, fn func(context.Context) error) error {
	t, err := b.Allow()
	if err != nil {
		return err
	}
	returned := false
	defer func() {
		if !returned {
			b.fail(t, errNoReturn)
		}
	}()
	err = fn(ctx)
	returned = true
	b.Record(ctx, t, err)
	return err
}

// State tells the state. An open breaker becomes half open with the first call
// after its cool-down, not by itself.
func (b *Breaker) State() State { return State(b.word.Load() & stateMask) }

// Trip opens the breaker, for one who knows from elsewhere that the thing is
// down; err is told to OnChange. One that is open begins its cool-down anew.
func (b *Breaker) Trip(err error) {
	b.mu.Lock()
	b.open(err)
	b.mu.Unlock()
	b.announce()
}

// Reset closes the breaker, for one who knows that the thing is back.
func (b *Breaker) Reset() {
	b.mu.Lock()
	if b.State() != Closed {
		b.move(Closed, nil)
	}
	b.mu.Unlock()
	b.announce()
}

// succeed counts a success. Nothing is written where nothing changes.
func (b *Breaker) succeed(t Token) {
	if t.probe != 0 {
		b.probed(t, func(p *probe) { p.done = true })
		return
	}
	w := b.word.Load()
	if w&^failureMask != t.word {
		return
	}
	if b.window != nil {
		b.window.add(1)
	}
	for w&failureMask != 0 && w&^failureMask == t.word {
		if b.word.CompareAndSwap(w, t.word) {
			return
		}
		w = b.word.Load()
	}
}

// fail counts a failure and opens the breaker if it is one too many.
func (b *Breaker) fail(t Token, err error) {
	if t.probe != 0 {
		b.probed(t, func(*probe) { b.open(err) })
		return
	}
	w := b.word.Load()
	if w&^failureMask != t.word {
		return
	}
	if b.inARow(t) || b.tooOften() {
		b.mu.Lock()
		if b.word.Load()&^failureMask == t.word {
			b.open(err)
		}
		b.mu.Unlock()
		b.announce()
	}
}

func (b *Breaker) inARow(t Token) bool {
	if b.cfg.Failures < 0 {
		return false
	}
	for {
		w := b.word.Load()
		n := int(w & failureMask / failureUnit)
		switch {
		case w&^failureMask != t.word:
			return false
		case n >= b.cfg.Failures: // somebody is about to open it
			return true
		case b.word.CompareAndSwap(w, w+failureUnit):
			return n+1 == b.cfg.Failures
		}
	}
}

func (b *Breaker) tooOften() bool {
	if b.window == nil {
		return false
	}
	calls, failures := b.window.fail()
	return calls >= uint64(b.cfg.MinCalls) && float64(failures) >= b.cfg.Rate*float64(calls)
}

// forget drops a call that says nothing: a probe's place is free again.
func (b *Breaker) forget(t Token) {
	if t.probe != 0 {
		b.probed(t, func(p *probe) { *p = probe{} })
	}
}

// open opens the breaker, with mu held.
func (b *Breaker) open(err error) {
	due := b.now() + int64(b.cfg.Cooldown)
	b.refused.Store(&openError{breaker: b, due: due})
	b.next.Store(due)
	b.move(Open, err)
}

// move changes the state, with mu held. Failures begin at zero.
func (b *Breaker) move(to State, err error) {
	w := b.word.Load()
	if to == Closed && b.window != nil {
		b.window.clear()
	}
	b.word.Store((w>>generationShift+1)<<generationShift | uint64(to))
	from := State(w & stateMask)
	if b.cfg.OnChange != nil && from != to {
		b.pending = append(b.pending, Change{Name: b.cfg.Name, From: from, To: to, Err: err})
	}
}

// announce tells of the changes, in order: one goroutine at a time, the lock
// released. A change that OnChange itself causes is told when it returns.
func (b *Breaker) announce() {
	if b.cfg.OnChange == nil {
		return
	}
	for b.announceOne() {
	}
}

func (b *Breaker) announceOne() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.announcing || len(b.pending) == 0 {
		return false
	}
	c := b.pending[0]
	b.pending = b.pending[1:]
	b.announcing = true
	defer func() { b.announcing = false }() // with the lock held again, also after a panic
	b.mu.Unlock()
	defer b.mu.Lock()
	b.cfg.OnChange(c)
	return true
}
