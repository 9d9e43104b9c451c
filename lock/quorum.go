package lock

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"github.com/redstart-go/redstart"
)

// Quorum is a family of locks over independent servers, of which a majority must
// grant a lease (Redlock, with care): the lock is to be had while a minority of
// the servers is away, and the loss of one loses no lease.
//
// It gives no more than that. Two may hold it at once when a server forgets (it
// restarts without its AOF, or a replica takes its place) or its clock steps;
// nobody queues, so that a newcomer may be faster than who waits, and those who
// wait look again every so often. What one server with a replica and fencing
// gives is usually the better bargain. Tokens grow all the same, as long as a
// majority of the servers that knew the last one is among those that grant: each
// is told of the greatest before the lease begins.
type Quorum struct {
	locks []*Lock // one for each server
	cfg   Config
}

// NewQuorum makes a family of locks on at least three servers, of which none is
// a replica of another and no two are nodes of one cluster. Config.Permits must
// be 1. It sends nothing.
func NewQuorum(clients []*redstart.Client, cfg Config) (*Quorum, error) {
	var wrong []error
	if len(clients) < 3 {
		wrong = append(wrong, errors.New("redstart/lock: quorum: "+strconv.Itoa(len(clients))+" servers; a majority that survives the loss of one needs three"))
	}
	if cfg.Permits > 1 {
		wrong = append(wrong, errors.New("redstart/lock: config: Permits: a quorum has no permits; two majorities would count them differently"))
	}
	q := &Quorum{}
	for i, c := range clients {
		if slices.Contains(clients[:i], c) {
			wrong = append(wrong, errors.New("redstart/lock: quorum: the same client twice"))
		}
		l, err := New(c.FailFast(), cfg) // another server answers in its place
		if err != nil {
			wrong = append(wrong, err)
			break
		}
		q.locks, q.cfg = append(q.locks, l), l.cfg
	}
	if err := errors.Join(wrong...); err != nil {
		return nil, err
	}
	return q, nil
}

// Do is that of a Lock.
func (q *Quorum) Do(ctx context.Context, id string, fn func(ctx context.Context) error) error {
	lease, err := q.acquire(ctx, ctx, id, true)
	if err != nil {
		return err
	}
	return lease.during(ctx, fn)
}

// Acquire waits for the lock until ctx ends, or until there is no majority of
// servers that answer. Cost: two scripts a server; as many again for each look,
// from 10 ms apart to 250 ms, at random.
func (q *Quorum) Acquire(ctx context.Context, id string) (*Lease, error) {
	return q.acquire(ctx, context.WithoutCancel(ctx), id, true)
}

// TryAcquire takes the lock if a majority of the servers grants it at once;
// ErrHeld says that it does not. Two that try at the same time may both be told
// so.
func (q *Quorum) TryAcquire(ctx context.Context, id string) (*Lease, error) {
	return q.acquire(ctx, context.WithoutCancel(ctx), id, false)
}

const (
	quorumFirst = 10 * time.Millisecond
	quorumMost  = 250 * time.Millisecond
)

func (q *Quorum) acquire(ctx, parent context.Context, id string, wait bool) (*Lease, error) {
	k, err := q.locks[0].template.Key(id)
	if err != nil {
		return nil, q.locks[0].noKey(err)
	}
	for pause := quorumFirst; ; pause = min(2*pause, quorumMost) {
		m := &members{quorum: q}
		for _, l := range q.locks {
			m.claims = append(m.claims, &claim{lock: l, key: k, keys: keysOf(k), owner: l.inbox.owner(single)})
		}
		g, err := m.take(ctx)
		if err == nil {
			return newLease(parent, q.locks[0].client, m, q.cfg.Lease, g), nil
		}
		m.leave()
		if err == ErrHeld && wait { //nolint:errorlint // the bare value is an answer
			if sleep(ctx, pause/2+rand.N(pause)) {
				continue
			}
			err = ctx.Err()
		}
		if err != ErrHeld { //nolint:errorlint // as above
			err = m.fail("acquire", err)
		}
		return nil, err
	}
}

// members are the claims of one attempt, one for each server.
type members struct {
	quorum *Quorum
	claims []*claim
	token  int64 // the greatest of those granted
}

// majority is how many are one.
func (m *members) majority() int { return len(m.claims)/2 + 1 }

// patience is how long one server may keep the others waiting.
func (m *members) patience() time.Duration { return m.quorum.locks[0].terms.short / 4 }

// vote is what a server said.
type vote struct {
	yes   bool
	token int64
	err   error
}

// poll asks all servers at once and counts until a majority said yes, or cannot
// any more. Those that have not answered by then go on in the background.
func (m *members) poll(ctx context.Context, ask func(context.Context, *claim) vote) (yes, no int, most int64, err error) {
	votes := make(chan vote, len(m.claims))
	for _, c := range m.claims {
		if err := c.lock.client.Go(func(context.Context) {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), m.patience())
			defer cancel()
			votes <- ask(ctx, c)
		}); err != nil {
			votes <- vote{err: err}
		}
	}
	var failures []error
	for range m.claims {
		switch v := <-votes; {
		case v.err != nil:
			failures = append(failures, v.err)
		case v.yes:
			yes, most = yes+1, max(most, v.token)
		default:
			no++
		}
		if yes >= m.majority() || no > len(m.claims)-m.majority() {
			break
		}
	}
	return yes, no, most, errors.Join(failures...)
}

// take asks all for a lease, and tells them the greatest of their tokens: the
// next majority has a server that knows it.
func (m *members) take(ctx context.Context) (grant, error) {
	if err := ctx.Err(); err != nil {
		return grant{}, err
	}
	sent := time.Now()
	yes, no, most, err := m.poll(ctx, func(ctx context.Context, c *claim) vote {
		a, err := c.ask(ctx, false)
		return vote{a.token > 0, a.token, err}
	})
	if err := m.verdict(yes, no, err); err != nil {
		return grant{}, err
	}
	m.token = most
	if time.Since(sent) > m.quorum.locks[0].terms.short/2 {
		return grant{}, ErrHeld // too slow to be worth it
	}
	sent = time.Now()
	yes, no, _, err = m.poll(ctx, m.extend)
	if err := m.verdict(yes, no, err); err != nil {
		return grant{}, err
	}
	return grant{token: most, since: sent, lasts: m.quorum.cfg.Lease}, nil
}

// verdict is nil for a majority, ErrHeld when so many said no that there is none,
// else why they did not answer.
func (m *members) verdict(yes, no int, err error) error {
	switch {
	case yes >= m.majority():
		return nil
	case no > len(m.claims)-m.majority():
		return ErrHeld
	case yes+no >= m.majority():
		return ErrHeld // split between several who ask
	default:
		return fmt.Errorf("%w: no majority of the servers answers: %w", redstart.ErrUnavailable, err)
	}
}

func (m *members) extend(ctx context.Context, c *claim) vote {
	held, err := c.renewAbove(ctx, m.token)
	return vote{yes: held, err: err}
}

func (m *members) renew(ctx context.Context) (bool, error) {
	yes, no, _, err := m.poll(ctx, m.extend)
	switch {
	case yes >= m.majority():
		return true, nil
	case no > len(m.claims)-m.majority():
		return false, nil
	default:
		return false, errors.Join(redstart.ErrUnavailable, err)
	}
}

func (m *members) release(ctx context.Context) (bool, error) {
	yes, no, _, err := m.poll(ctx, func(ctx context.Context, c *claim) vote {
		was, err := c.release(ctx)
		return vote{yes: was, err: err}
	})
	switch {
	case yes >= m.majority():
		return true, nil
	case no > len(m.claims)-m.majority():
		return false, nil
	default:
		m.leave() // again, and for longer
		return false, errors.Join(redstart.ErrUnavailable, err)
	}
}

// leave gives up everywhere, in the background.
func (m *members) leave() {
	for _, c := range m.claims {
		c.leave()
	}
}

func (m *members) fail(op string, err error) error { return m.claims[0].fail(op, err) }
