package journal

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/redstart-go/redstart/internal/tenure"
)

// owner is a partition that this process has: a lease, and the token that tells
// it from every earlier one.
type owner struct {
	*tenure.Tenure
	p     *partition
	name  string // of this claim, which no other had
	token int64
	gone  chan struct{} // closed when nobody works on it any more
}

var errGivenUp = errors.New("the partition was given up")

// take claims a partition; nil: somebody else has it.
func (j *Journal[K, V]) take(ctx context.Context, p *partition, name string) (*owner, error) {
	ctx, cancel := context.WithTimeout(ctx, max(j.cfg.Lease/3, minLease))
	defer cancel()
	sent := time.Now()
	token, err := j.claim(ctx, p, name, 0)
	if err != nil || token <= 0 {
		return nil, err
	}
	return &owner{Tenure: tenure.Begin(j.cfg.Lease, sent), p: p, name: name, token: token, gone: make(chan struct{})}, nil
}

// claim asks for a partition's lease: for a first time with the token 0.
func (j *Journal[K, V]) claim(ctx context.Context, p *partition, name string, token int64) (int64, error) {
	return j.ask(ctx, ownScript, p.own, []string{name, millis(j.cfg.Lease), strconv.FormatInt(token, 10), strconv.FormatInt(p.seen.Load(), 10)})
}

// renew keeps the lease until it is given up or lost.
func (j *Journal[K, V]) renew(o *owner) {
	o.Keep(func(ctx context.Context) (bool, error) {
		token, err := j.claim(ctx, o.p, o.name, o.token)
		return token == o.token, err
	})
}
