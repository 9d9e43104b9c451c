package limit

import (
	"context"
	"crypto/rand"
	_ "embed"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/key"
)

var (
	//go:embed lua/slots.lua
	slotsText string

	slotsScript = redstart.NewScript("limit/slots", slotsText)
)

// What Enter and a Slot may say, for errors.Is.
var (
	// ErrBusy: every slot is taken.
	ErrBusy = errors.New("every slot is taken")
	// ErrLost: the slot's lease ended before it was left: the process was
	// frozen, the server away for as long, or somebody deleted the key.
	ErrLost = errors.New("the slot was lost")
)

// ConcurrencyConfig says how many may be at work at once. Slots is needed.
type ConcurrencyConfig struct {
	// Key is the template of the keys, with one placeholder for the id.
	// Default: "slots:{<id>}".
	Key string

	// Slots is how many of an id may be held at once, 1 to 100,000.
	Slots int64

	// Lease is after what time the slot of a dead holder is free; a living one
	// extends it. The same in all processes. At least 100 ms. Default: 10 s.
	Lease time.Duration

	// OnOutage says what Enter does while the server cannot be asked: Allow
	// gives a slot that nobody counts, Deny an error. Default: Allow.
	OnOutage Outage

	// Timeout is how long Enter waits for the server's answer; behind a
	// connection that is being made it may take the client's DialTimeout more.
	// Default: 100 ms, at most the client's Timeout.
	Timeout time.Duration
}

const (
	defaultSlots = "slots:{<id>}"
	defaultLease = 10 * time.Second
	minLease     = 100 * time.Millisecond
	maxSlots     = 100_000
)

// Concurrency bounds how many are at work for an id at once, across all
// processes.
type Concurrency struct {
	client   *redstart.Client
	cfg      ConcurrencyConfig
	template *key.Template
	keys     keys
}

// NewConcurrency makes a bound on the client. It sends nothing.
func NewConcurrency(client *redstart.Client, cfg ConcurrencyConfig) (*Concurrency, error) {
	var wrong []error
	bad := func(field, format string, args ...any) {
		wrong = append(wrong, fmt.Errorf("redstart/limit: concurrency config: %s: %s", field, fmt.Sprintf(format, args...)))
	}
	if cfg.Key == "" {
		cfg.Key = defaultSlots
	}
	c := &Concurrency{client: client.FailFast().OnPrimary()}
	var err error
	if c.template, err = keyTemplate(client, cfg.Key, false); err == nil {
		c.keys, err = keysOf(c.template)
	}
	if err != nil {
		bad("Key", "%v", err)
	}
	if cfg.Slots < 1 || cfg.Slots > maxSlots {
		bad("Slots", "%d is not between 1 and %d", cfg.Slots, maxSlots)
	}
	cfg.Lease = positive("Lease", cfg.Lease, defaultLease, bad)
	if cfg.Lease < minLease {
		bad("Lease", "%v is below %v; a pause of the process would lose it", cfg.Lease, minLease)
	}
	if cfg.OnOutage > Deny {
		bad("OnOutage", "is neither Allow nor Deny")
	}
	cfg.Timeout = positive("Timeout", cfg.Timeout, min(defaultTimeout, client.Config().Timeout), bad)
	c.cfg = cfg
	return c, errors.Join(wrong...)
}

// Slot is a place among those at work. It is shared by all goroutines.
type Slot struct {
	of     *Concurrency
	key    string
	holder string
	ctx    context.Context
	cancel context.CancelCauseFunc
	free   bool // nobody counts it
	left   sync.Once
	err    error
}

// errLeft ends the context of a slot that was left.
var errLeft = fmt.Errorf("the slot was left: %w", context.Canceled)

// Enter takes a slot of id until it is left. ErrBusy says that there is none.
// In the background the slot's lease is extended, each third of it, until Leave
// or until the client is closed; if that fails the slot's context ends before
// the lease does.
//
// One script, one round trip. A lost reply is asked for again, and what cannot
// be learned is given back in the background, or ends with the lease.
func (c *Concurrency) Enter(ctx context.Context, id string) (*Slot, error) {
	s := &Slot{of: c, key: c.keys.of(id), holder: rand.Text()}
	timed, cancel := context.WithTimeoutCause(ctx, c.cfg.Timeout, errTimeout)
	defer cancel()
	start := time.Now()
	n, err := s.keep(timed, c.cfg.Slots)
	if err != nil {
		err = c.fail("enter", s.key, cause(timed, err))
		if redstart.OutcomeOf(err) != redstart.NotApplied {
			_ = c.client.Go(func(background context.Context) { _ = s.remove(background) }) // else it ends with the lease
		}
		if c.cfg.OnOutage == Deny || ctx.Err() != nil || !redstart.Away(err) {
			return nil, err
		}
		s.free = true
		s.ctx, s.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
		return s, nil
	}
	if n == 0 {
		return nil, c.refuse("enter", ErrBusy)
	}
	s.ctx, s.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
	if err := c.client.Go(func(background context.Context) { s.renew(background, start) }); err != nil {
		return nil, err
	}
	return s, nil
}

func (c *Concurrency) fail(op, k string, err error) error {
	return redstart.NewError("redstart/limit: "+op, c.template.String(), k, err)
}

func (c *Concurrency) refuse(op string, err error) error {
	return &redstart.Error{Op: "redstart/limit: " + op, Template: c.template.String(), Outcome: redstart.NotApplied, Err: err}
}

// keep runs the script, again after a lost reply.
func (s *Slot) keep(ctx context.Context, slots int64) (n int64, err error) {
	for range 2 {
		n, err = slotsScript.Exec(ctx, s.of.client, []string{s.key},
			[]string{s.holder, decimal(slots), decimal(s.of.cfg.Lease.Microseconds())}).AsInt64()
		if err == nil || ctx.Err() != nil || redstart.OutcomeOf(err) != redstart.Unknown {
			return n, err
		}
	}
	return n, err
}

// remove gives the slot back, within a time of its own.
func (s *Slot) remove(ctx context.Context) error {
	timed, cancel := context.WithTimeoutCause(ctx, max(s.of.cfg.Timeout, time.Second), errTimeout)
	defer cancel()
	err := s.of.client.Do(timed, s.of.client.B().Zrem().Key(s.key).Member(s.holder).Build()).Error()
	return cause(timed, err)
}

// Context ends when the slot is left or lost; context.Cause then says ErrLost.
// It has the values of Enter's context.
func (s *Slot) Context() context.Context { return s.ctx }

// Leave gives the slot back, whatever has become of ctx. ErrLost says that it
// was lost before. Leaving again gives the same answer. One ZREM.
func (s *Slot) Leave(ctx context.Context) error {
	s.left.Do(func() {
		lost := errors.Is(context.Cause(s.ctx), ErrLost)
		s.cancel(errLeft)
		switch {
		case s.free:
		case lost:
			s.err = s.of.refuse("leave", ErrLost)
		default:
			s.err = s.of.fail("leave", s.key, s.remove(context.WithoutCancel(ctx)))
		}
	})
	return s.err
}

// renew extends the lease until the slot is left. What the lease still has is
// counted from before the request that got it, less a tenth for clocks that do
// not run alike.
func (s *Slot) renew(background context.Context, start time.Time) {
	lease := s.of.cfg.Lease
	ends := start.Add(lease - lease/10)
	for {
		timer := time.NewTimer(min(lease/3, time.Until(ends)))
		select {
		case <-timer.C:
		case <-s.ctx.Done():
			timer.Stop()
			return
		case <-background.Done():
			timer.Stop()
			s.cancel(ErrLost)
			return
		}
		if time.Until(ends) <= 0 {
			s.cancel(ErrLost)
			return
		}
		now := time.Now()
		ctx, cancel := context.WithDeadline(background, ends)
		stop := context.AfterFunc(s.ctx, cancel)
		n, err := s.keep(ctx, 0)
		stop()
		cancel()
		switch {
		case err == nil && n > 0:
			ends = now.Add(lease - lease/10)
		case err == nil:
			s.cancel(ErrLost)
			return
		}
	}
}
