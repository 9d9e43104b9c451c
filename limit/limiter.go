package limit

import (
	"context"
	_ "embed"
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
	client   *redstart.Client
	cfg      Config
	template *key.Template
	keys     keys
	plans    plans
	clock    func() time.Duration // monotonic, since whenever
	denials  *bounded[*denial]    // nil: off
	hands    *bounded[*hand]      // nil: no batches
	buckets  *bounded[*bucket]    // nil: not Local
	lines    lines
	lanes    *lanes
	out      atomic.Bool // the last call that needed the server did not reach it
	stats    counters
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
		clock:    func() time.Duration { return time.Since(start) },
	}
	if l.keys, err = keysOf(template); err != nil {
		return nil, fmt.Errorf("redstart/limit: config: Key: %w", err)
	}
	l.lanes = newLanes(l.client, cfg.Timeout)
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
	return l.take(ctx, "take up to", id, min(n, 1), min(n, maxRate))
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
	start := l.clock()
	d, err := l.ask(ctx, l.keys.of(id), p, least, most)
	if err == nil {
		l.remember(id, p, least, start, d, gen)
	}
	return d, err
}

// ask lets the server decide, within Config.Timeout.
func (l *Limiter) ask(ctx context.Context, k string, p plan, least, most int64) (Decision, error) {
	q := questions.Get().(*question)
	q.key, q.plan, q.least, q.most = k, p, least, most
	lane := &l.lanes.one
	if l.lanes.bySlot != nil {
		lane = l.lanes.of(k + p.policies[0].suffix)
	}
	if err := lane.join(q); err != nil {
		q.drop()
		return Decision{}, err
	}
	if ended := ctx.Done(); ended == nil {
		<-q.done
	} else {
		select {
		case <-q.done:
		case <-ended: // the question goes on alone
			return Decision{}, cause(ctx, ctx.Err())
		}
	}
	d, err := q.decision, q.err
	if err != nil {
		return Decision{}, err
	}
	q.drop()
	if l.out.Load() && l.out.CompareAndSwap(true, false) {
		l.client.Notify(redstart.PatternInfo{Pattern: "limit", Template: l.template.String(), Event: "back"})
	}
	return d, nil
}

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
// while the server cannot be asked it is an error.
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
	if err := ctx.Err(); err != nil {
		return Decision{}, l.refuse(op, err)
	}
	d, err := l.ask(ctx, k, p, min(n, 0), n)
	if err != nil {
		return Decision{}, l.fail(op, k, err)
	}
	d.Granted, d.Allowed = 0, d.Remaining > 0
	return d, nil
}

// Reset forgets all that was counted of id. One DEL, which may take the client's
// DialTimeout longer than Config.Timeout.
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
