package limit

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/key"
)

var (
	//go:embed lua/gcra.lua
	gcraText string
	//go:embed lua/limits.lua
	limitsText string

	gcraScript   = redstart.NewScript("limit/gcra", gcraText)
	limitsScript = redstart.NewScript("limit/limits", limitsText)
)

// Limiter decides how much of something each id may have. It is shared by all
// goroutines; all processes with the same Config.Key on the same server share
// the limits. See the package's documentation for its promises.
type Limiter struct {
	client    *redstart.Client
	cfg       Config
	template  *key.Template
	keys      keys
	plans     plans
	clock     func() time.Duration // monotonic, since whenever
	denials   *bounded[*denial]    // nil: off
	hands     *bounded[*hand]      // nil: no batches
	buckets   *bounded[*bucket]    // nil: not Local
	lines     lines
	places    chan struct{} // see place
	suspected atomic.Bool
	out       atomic.Bool // the last call that needed the server did not reach it
	stats     counters
}

// New makes a limiter on the client. It sends nothing.
func New(client *redstart.Client, cfg Config) (*Limiter, error) {
	cfg, template, err := cfg.withDefaults(client)
	if err != nil {
		return nil, err
	}
	start := time.Now().Add(-time.Hour)
	l := &Limiter{
		client:   client.FailFast().OnPrimary(), // the policy for an outage decides, not a wait
		cfg:      cfg,
		template: template,
		places:   make(chan struct{}, asksAtOnce),
		clock:    func() time.Duration { return time.Since(start) },
	}
	if l.keys, err = keysOf(template); err != nil {
		return nil, fmt.Errorf("redstart/limit: config: Key: %w", err)
	}
	if cfg.LimitsOf == nil {
		l.plans.fixed = planOf(cfg.Limits)
	}
	if cfg.Denials > 0 {
		l.denials = newBounded[*denial](cfg.Denials)
	}
	if cfg.Batch > 0 {
		l.hands = newBounded[*hand](idsAtOnce)
	}
	if cfg.OnOutage == Local {
		l.buckets = newBounded[*bucket](idsAtOnce)
	}
	return l, nil
}

// idsAtOnce bounds for how many ids units are kept in hand, or counted without
// the server. Beyond it some are forgotten: those in hand are lost, those
// counted come back.
const idsAtOnce = 100_000

// Limits are the limits of an id with their defaults, for headers and pages.
func (l *Limiter) Limits(id string) ([]Limit, error) {
	p, err := l.plan("limits", id)
	if err != nil {
		return nil, err
	}
	return p.limits(), nil
}

// Take takes n units of id, of every limit or of none. A denial is no error
// and takes nothing. ErrNever says that a limit can never have n units.
//
// One script, one round trip, within Config.Timeout; while the server cannot be
// asked Config.OnOutage decides. Where a reply is lost the units may have been
// taken, and then they are not given back.
func (l *Limiter) Take(ctx context.Context, id string, n int64) (Decision, error) {
	return l.take(ctx, "take", id, n, n)
}

// TakeUpTo takes as many units of id as there are, n at most. It is denied
// when there is none. It costs as much as Take.
func (l *Limiter) TakeUpTo(ctx context.Context, id string, n int64) (Decision, error) {
	return l.take(ctx, "take up to", id, 1, n)
}

// take takes at least the fewest and at the most the most units.
func (l *Limiter) take(ctx context.Context, op, id string, least, most int64) (Decision, error) {
	p, err := l.plan(op, id)
	if err != nil {
		return Decision{}, err
	}
	if err := p.ever(min(least, most)); err != nil {
		return Decision{}, l.refuse(op, err)
	}
	if err := ctx.Err(); err != nil {
		return Decision{}, l.refuse(op, err)
	}
	var d Decision
	if l.hands != nil {
		d, err = l.batched(ctx, id, p, least, most)
	} else {
		d, err = l.direct(ctx, id, p, least, most)
	}
	if err != nil {
		return l.without(ctx, op, id, p, least, most, err)
	}
	l.stats.count(d)
	return d, nil
}

// direct is the way of a call without batches.
func (l *Limiter) direct(ctx context.Context, id string, p plan, least, most int64) (Decision, error) {
	d, gen, ok := l.denied(id, p, least)
	if ok {
		return d, nil
	}
	timed, cancel := context.WithTimeoutCause(ctx, l.cfg.Timeout, errTimeout)
	defer cancel()
	start := l.clock()
	d, err := l.ask(timed, id, p, least, most)
	if err == nil {
		l.remember(id, p, least, start, d, gen)
	}
	return d, err
}

// ask lets the server decide, within the context's time.
func (l *Limiter) ask(ctx context.Context, id string, p plan, least, most int64) (d Decision, err error) {
	k := l.keys.of(id)
	if err := l.place(ctx); err != nil {
		err = cause(ctx, err)
		l.suspect(k, err)
		return Decision{}, err
	}
	d, err = l.aside(ctx, k, p, least, most)
	if err != nil {
		err = cause(ctx, err)
		l.suspect(k, err)
		return Decision{}, err
	}
	if l.out.Load() && l.out.CompareAndSwap(true, false) {
		l.client.Notify(redstart.PatternInfo{Pattern: "limit", Template: l.template.String(), Event: "back"})
	}
	return d, nil
}

// aside asks from another goroutine, since a connection that is being made, or
// whose queue is full, holds a call past its time.
func (l *Limiter) aside(ctx context.Context, k string, p plan, least, most int64) (Decision, error) {
	answers := make(chan answer, 1)
	err := l.client.Go(func(context.Context) {
		var a answer
		a.decision, a.err = l.run(ctx, k, p, least, most)
		<-l.places
		answers <- a
	})
	if err != nil {
		<-l.places
		return Decision{}, err
	}
	select {
	case a := <-answers:
		return a.decision, a.err
	case <-ctx.Done():
		return Decision{}, ctx.Err()
	}
}

// answer is what the server said to one question.
type answer struct {
	decision Decision
	err      error
}

// run sends the script.
func (l *Limiter) run(ctx context.Context, k string, p plan, least, most int64) (Decision, error) {
	if p.simple && least == most {
		one := p.policies[0]
		args := one.gcra[:]
		if most != 1 {
			args = []string{decimal(most * one.num), one.gcra[1]}
		}
		reply, err := gcraScript.Exec(ctx, l.client, []string{k + one.suffix}, args).AsInt64()
		if err != nil {
			return Decision{}, err
		}
		return one.decision(most, reply), nil
	}
	reply, err := limitsScript.Exec(ctx, l.client, p.keys(k), p.args(least, most)).AsIntSlice()
	if err != nil {
		return Decision{}, err
	}
	return p.decision(reply), nil
}

var errTimeout = errors.New("no decision within Config.Timeout")

// cause says of an error that it was the limiter's own patience that ended.
func cause(ctx context.Context, err error) error {
	if ctx.Err() == nil || !errors.Is(context.Cause(ctx), errTimeout) {
		return err
	}
	return &timeoutError{err}
}

// timeoutError is a server that did not answer in time.
type timeoutError struct{ err error }

func (e *timeoutError) Error() string { return errTimeout.Error() + ": " + e.err.Error() }
func (e *timeoutError) Unwrap() []error {
	return []error{errTimeout, redstart.ErrUnavailable, e.err}
}
func (e *timeoutError) Outcome() redstart.Outcome { return redstart.OutcomeOf(e.err) }

// outagePause is when those are told to come back who were denied for want of
// the server.
const outagePause = time.Second

// without decides when the server could not be asked, for an error that says
// so; any other is the caller's.
func (l *Limiter) without(ctx context.Context, op, id string, p plan, least, most int64, err error) (Decision, error) {
	err = l.fail(op, l.keys.of(id), err)
	if ctx.Err() != nil || !redstart.Away(err) {
		return Decision{}, err
	}
	if l.out.CompareAndSwap(false, true) {
		l.client.Notify(redstart.PatternInfo{Pattern: "limit", Template: l.template.String(), Event: "outage", Err: err})
	}
	d := Decision{Policy: p.policies[0].Name, Limit: p.policies[0].most(), Source: SourceOutage}
	switch l.cfg.OnOutage {
	case Deny:
		d.RetryAfter = outagePause
	case Local:
		d = l.local(id, p, least, most)
	default:
		d.Allowed, d.Granted, d.Remaining = true, most, d.Limit
	}
	d.Err = err
	l.stats.count(d)
	return d, nil
}

// Peek says what id has, and takes nothing: Allowed when there is at least one
// unit, Granted is 0. It is not answered from what this process remembers, and
// while the server cannot be asked it is an error. It, Refund and Reset may take
// the client's DialTimeout longer than Config.Timeout.
func (l *Limiter) Peek(ctx context.Context, id string) (Decision, error) {
	return l.look(ctx, "peek", id, 0)
}

// Refund gives n units of id back to every limit, as far as they are still
// counted: what was taken and not used, soon after. It is an error while the
// server cannot be asked.
func (l *Limiter) Refund(ctx context.Context, id string, n int64) error {
	if n <= 0 {
		return l.refuse("refund", ErrUnits)
	}
	_, err := l.look(ctx, "refund", id, -n)
	l.forget(id)
	return err
}

// look reads the state, and gives back units for n below 0.
func (l *Limiter) look(ctx context.Context, op, id string, n int64) (Decision, error) {
	p, err := l.plan(op, id)
	if err != nil {
		return Decision{}, err
	}
	k := l.keys.of(id)
	timed, cancel := context.WithTimeoutCause(ctx, l.cfg.Timeout, errTimeout)
	defer cancel()
	reply, err := limitsScript.Exec(timed, l.client, p.keys(k), p.args(min(n, 0), n)).AsIntSlice()
	if err != nil {
		return Decision{}, l.fail(op, k, cause(timed, err))
	}
	d := p.decision(reply)
	d.Granted, d.Allowed = 0, d.Remaining > 0
	return d, nil
}

// Reset forgets all that was counted of id. One DEL.
func (l *Limiter) Reset(ctx context.Context, id string) error {
	p, err := l.plan("reset", id)
	if err != nil {
		return err
	}
	k := l.keys.of(id)
	ctx, cancel := context.WithTimeoutCause(ctx, l.cfg.Timeout, errTimeout)
	defer cancel()
	if l.hands != nil {
		l.hands.drop(id)
	}
	err = l.client.Do(ctx, l.client.B().Del().Key(p.keys(k)...).Build()).Error()
	if l.hands != nil {
		l.hands.drop(id)
	}
	l.forget(id)
	return l.fail("reset", k, cause(ctx, err))
}
