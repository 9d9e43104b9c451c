package entry

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/redis/rueidis"

	"github.com/redstart-go/redstart"
)

// Moving reports whether an answer says no more than that the key's slot is on
// its way from one node of a cluster to another. The command surely did not run.
func Moving(err error) bool {
	var reply *rueidis.RedisError
	if !errors.As(err, &reply) || redstart.OutcomeOf(err) != redstart.NotApplied {
		return false
	}
	_, moved := reply.IsMoved()
	_, ask := reply.IsAsk()
	return moved || ask || reply.IsTryAgain()
}

// Pauses are those of one call on a client that fails fast, which leaves it to
// its caller to wait for a slot on its way.
type Pauses struct {
	Within time.Duration // in all, for a caller without a deadline

	begun time.Time
	n     int
}

// Again pauses after such an answer, and reports whether to send the command
// again: false after any other, and at the caller's end, which then is the error.
func (p *Pauses) Again(ctx context.Context, err *error) bool {
	if *err == nil || !Moving(*err) {
		return false
	}
	if p.n == 0 {
		p.begun = time.Now()
	}
	p.n++
	if _, ok := ctx.Deadline(); !ok && time.Since(p.begun) >= p.Within {
		return false
	}
	timer := time.NewTimer(time.Millisecond + rand.N(min(5*time.Millisecond<<min(p.n, 8), pauseMost)))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		*err = ctx.Err()
		return false
	}
}

// pauseMost bounds a pause; those before it grow from 10 ms on.
const pauseMost = 250 * time.Millisecond

// Insist makes a call again, with pauses, while it is answered so.
func (p *Pauses) Insist(ctx context.Context, call func() error) error {
	for {
		if err := call(); !p.Again(ctx, &err) {
			return err
		}
	}
}
